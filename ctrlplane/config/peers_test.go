package config

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"linecrypt/ctrlplane/peering/identity"
)

// Public keys of no particular gateways.
const (
	keyB = "wmx2u2k0sS4Am1wmMhVKfdTCKpfrBh0PpLXYqxz1mTk="
	keyC = "7PNB5RTbxJdbC7jHbUXPLBaRcCUn1jRBXrEGEoTmKU8="
)

func TestPeersAreReadInOrder(t *testing.T) {
	c := mustParse(t, `
peering: {key: /etc/linecrypt/key, listen: "0.0.0.0:9470", timeout: 3s}
peers:
  - name: b
    key: `+keyB+`
    prefixes: [10.2.0.0/16, fd00:2::/32]
    address: gw-b.example:9470
  - {name: c, key: "`+keyC+`", prefixes: [10.3.0.1]}
`)
	if len(c.Peers) != 2 || c.Peering.Key != "/etc/linecrypt/key" || c.Peering.Listen != "0.0.0.0:9470" || c.Peering.Timeout != 3e9 {
		t.Fatalf("%+v, %+v", c.Peering, c.Peers)
	}
	b, second := c.Peers[0], c.Peers[1]
	if b.Name != "b" || identity.Public(b.Key) != keyB || b.Address != "gw-b.example:9470" ||
		!slices.Equal(b.Prefixes, []netip.Prefix{netip.MustParsePrefix("10.2.0.0/16"), netip.MustParsePrefix("fd00:2::/32")}) {
		t.Errorf("%+v", b)
	}
	if second.Name != "c" || second.Address != "" || !slices.Equal(second.Prefixes, []netip.Prefix{netip.MustParsePrefix("10.3.0.1/32")}) {
		t.Errorf("%+v", second)
	}
	again := Default()
	for _, key := range []string{"peering.key", "peering.listen", "peers"} {
		if err := again.Set("test", key, lookup(key).Value(c)); err != nil {
			t.Fatalf("%s: %q: %v", key, lookup(key).Value(c), err)
		}
	}
	if now, later := Changes(c, mustParse(t, "")); len(now) != 1 || len(later) != 3 {
		t.Errorf("%v, %v", now, later)
	}
	if now, later := Changes(mustParse(t, ""), c); len(now) != 3 || len(later) != 1 { // where there was no key, peering begins
		t.Errorf("%v, %v", now, later)
	}
	if err := again.Set("test", "peering.timeout", "3s"); err != nil {
		t.Fatal(err)
	}
	if now, later := Changes(c, again); len(now)+len(later) != 0 {
		t.Errorf("set from its own text it differs: %v, %v", now, later)
	}
}

func TestEveryMistakeAboutPeersIsToldWithItsLine(t *testing.T) {
	const own = "peering: {key: k, listen: '0.0.0.0:9470'}\n"
	item := func(name, key, prefixes string) string {
		return "  - {name: " + name + ", key: " + key + ", prefixes: " + prefixes + "}\n"
	}
	for name, c := range map[string]struct{ yaml, want string }{
		"no list":         {own + "peers: b\n", "f.yaml:2: peers: want a list, each item of which has keys and values"},
		"no mapping":      {own + "peers: [b]\n", "f.yaml:2: peers[0]: want keys and values"},
		"unknown key":     {own + "peers:\n  - {name: b, kez: x}\n", "f.yaml:3: peers[0].kez: unknown key; did you mean key"},
		"key twice":       {own + "peers:\n  - {name: b, name: c}\n", "f.yaml:3: peers[0].name: is given twice, first in line 3"},
		"no public key":   {own + "peers:\n" + item("b", "abc", "[10.0.0.0/8]"), "f.yaml:3: peers[0].key: \"abc\" is not a public key: want the 44 characters that `linecrypt key show` prints"},
		"no prefix":       {own + "peers:\n" + item("b", keyB, "[10.0.0.0/33]"), "peers[0].prefixes: \"10.0.0.0/33\" is not a prefix"},
		"host bits":       {own + "peers:\n" + item("b", keyB, "[10.0.0.1/8]"), "did you mean 10.0.0.0/8?"},
		"no prefixes":     {own + "peers:\n" + item("b", keyB, "[]"), "peers[0].prefixes: the list is empty"},
		"missing":         {own + "peers:\n" + item("b", keyB, "[10.0.0.0/8]") + "  - {name: c}\n", "f.yaml:4: peers[1]: the key key is missing"},
		"bad address":     {own + "peers:\n  - {name: b, address: gw}\n", "peers[0].address: \"gw\" is not host:port"},
		"anchor":          {own + "peers: &x []\n", "f.yaml:2: peers: anchors and aliases are not supported"},
		"alias":           {own + "peers: [*x]\n", "f.yaml:1: not YAML"},
		"same name":       {own + "peers:\n" + item("b", keyB, "[10.0.0.0/8]") + item("b", keyC, "[11.0.0.0/8]"), "f.yaml:2: peers: two peers have the name b"},
		"same key":        {own + "peers:\n" + item("b", keyB, "[10.0.0.0/8]") + item("c", keyB, "[11.0.0.0/8]"), "b and c have the same key"},
		"same prefix":     {own + "peers:\n" + item("b", keyB, "[10.0.0.0/8]") + item("c", keyC, "[10.0.0.0/8]"), "10.0.0.0/8 is behind b and behind c"},
		"no own key":      {"peering: {listen: '0.0.0.0:9470'}\npeers:\n" + item("b", keyB, "[10.0.0.0/8]"), "peering.key: peers are listed, and this gateway has no key of its own: `linecrypt key generate FILE` makes one"},
		"nobody dials":    {"peering: {key: k}\npeers:\n" + item("b", keyB, "[10.0.0.0/8]"), "peers: b has no address, and peering.listen is off"},
		"too many":        {own + "peers:\n" + strings.Repeat(item("b", keyB, "[10.0.0.0/8]"), MaxPeers+1), "257 items are more than 256"},
		"section in item": {own + "peers:\n  - {name: {a: b}}\n", "peers[0].name: want a value, not further keys"},
	} {
		_, err := Parse("f.yaml", []byte(c.yaml))
		if err == nil || !strings.Contains(strings.ReplaceAll(err.Error(), "line 2: unknown anchor", ""), c.want) && name != "alias" {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, text := range []string{"b", "[{name: b}]", "[{", "[b]"} {
		if err := Default().Set("command line", "peers", text); err == nil || !strings.Contains(err.Error(), "command line: peers: ") {
			t.Errorf("--set peers=%s: %v", text, err)
		}
	}
}

// withPeer is the part of a file that lists a peer.
const withPeer = "peering: {key: k, listen: '0.0.0.0:9470'}\npeers: [{name: b, key: \"" + keyB + "\", prefixes: [10.0.0.0/8]}]\n"

func TestFarEndsThatNobodyCanAuthenticateAreNotDemanded(t *testing.T) {
	if _, err := Parse("f.yaml", []byte("authenticated: yes\n")); err == nil || !strings.Contains(err.Error(), "f.yaml:1: authenticated: no peers are listed") {
		t.Errorf("%v", err)
	}
	if _, err := Parse("f.yaml", []byte(withPeer+"authenticated: yes\n")); err == nil || !strings.Contains(err.Error(), "f.yaml:3: authenticated: with policy opportunistic") {
		t.Errorf("%v", err)
	}
	if c := mustParse(t, withPeer+"policy: require\nauthenticated: yes\n"); !c.Authenticated {
		t.Error("not read")
	}
}
