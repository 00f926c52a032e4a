package kernel

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"linecrypt/bench/topology"
	"linecrypt/ctrlplane/cli"
	"linecrypt/ctrlplane/peering"
	"linecrypt/ctrlplane/policy"
)

// Addresses of the gateways' control planes for each other.
const mgmtA, mgmtB = "192.0.2.1:9470", "192.0.2.2:9470"

// manage connects the control planes of both gateways, beside the wire.
func (b *bed) manage() {
	b.t.Helper()
	for _, args := range []string{
		"-n %a link add mgmt type veth peer name mgmt netns %b", "-n %a addr add 192.0.2.1/30 dev mgmt", "-n %b addr add 192.0.2.2/30 dev mgmt",
		"-n %a link set mgmt up", "-n %b link set mgmt up",
	} {
		args = strings.NewReplacer("%a", string(b.top.A), "%b", string(b.top.B)).Replace(args)
		if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			b.t.Fatalf("ip %s: %v: %s", args, err, out)
		}
	}
}

// newKey makes a key as a user does, and returns its file and what others list.
func (b *bed) newKey(name string) (file, public string) {
	b.t.Helper()
	file = filepath.Join(b.top.Dir, name)
	out, err := exec.Command(filepath.Join(programs, "linecrypt"), "key", "generate", file).Output()
	if err != nil {
		b.t.Fatal(err)
	}
	return file, strings.TrimSpace(string(out))
}

// peers is what `linecrypt peers --json` prints.
func (b *bed) peers(g *topology.Gateway) []peering.Status {
	b.t.Helper()
	list, err := g.Peers()
	if err != nil {
		b.t.Fatal(err)
	}
	return list
}

// eventually polls until f, and fails when it takes too long.
func (b *bed) eventually(what string, f func() bool) {
	b.t.Helper()
	for start := time.Now(); !f(); time.Sleep(20 * time.Millisecond) {
		if time.Since(start) > patience {
			b.t.Fatalf("not in time: %s", what)
		}
	}
}

// auth returns what a gateway shows of a connection's far end.
func (b *bed) auth(g *topology.Gateway, c *net.TCPConn) string {
	b.t.Helper()
	s, _ := b.session(g, c)
	return s.Auth
}

func (b *bed) reload(g *topology.Gateway, text string, want ...string) {
	b.t.Helper()
	b.rulesFile(text)
	out, err := g.Command("reload")
	if err != nil {
		b.t.Fatal(err)
	}
	for _, w := range want {
		if !strings.Contains(out, w) {
			b.t.Errorf("reload says %q, not %q", out, w)
		}
	}
}

const (
	servers = "[10.99.0.2, \"fd99::2\"]" // prefixes
	clients = "[10.99.0.1, \"fd99::1\"]"
)

// TestPeersChangeByReload has the peers of a running gateway listed, taken out, and listed with other keys and other prefixes.
func TestPeersChangeByReload(t *testing.T) {
	b := newBed(t)
	b.manage()
	keyA, publicA := b.newKey("a.key")
	keyB, publicB := b.newKey("b.key")
	_, publicC := b.newKey("c.key")
	const rules = "policy: opportunistic\nrules: [{name: proven, ports: [7001], policy: require, authenticated: yes}]\n"
	own := fmt.Sprintf("peering: {key: %s, timeout: 40s}\n", keyA)
	siteB := func(public, prefixes string) string {
		return rules + own + fmt.Sprintf("peers: [{name: site-b, key: %q, prefixes: %s, address: %q}]\n", public, prefixes, mgmtB)
	}
	b.startFileA(topology.Packet, "policy: opportunistic\n", "peering.timeout=40s")
	b.startB(topology.Packet, "peering.key="+keyB, "peering.listen="+mgmtB,
		fmt.Sprintf("peers=[{name: site-a, key: %q, prefixes: %s}]", publicA, clients))
	old, oldSrv := b.mustConnect(ipv4)
	if auth := b.auth(b.a, old); auth != "none" {
		t.Fatalf("without a peer the far end is %s", auth)
	}

	// A key that others may read is refused, and nothing changes by it.
	b.check(os.Chmod(keyA, 0o644))
	b.rulesFile(siteB(publicB, servers))
	if _, err := b.a.Command("reload"); err == nil || !strings.Contains(err.Error(), "peering.key") || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a key that all may read: %v", err)
	}
	if n := len(b.peers(b.a)); n != 0 {
		t.Errorf("%d peers", n)
	}
	b.check(os.Chmod(keyA, 0o600))

	// From none to one: connections from before are authenticated as well.
	b.reload(b.a, siteB(publicB, servers), "reloaded: peers (none -> ", "reloaded: peering.key", "reloaded: rules")
	for _, g := range []*topology.Gateway{b.a, b.b} {
		b.eventually("authenticated", func() bool { return b.auth(g, old) == "authenticated" })
	}
	const to = topology.Server4 + ":7001"
	proven := outcome{rule: "proven", verdict: policy.Encrypted}
	b.wire()
	first, firstSrv, s := b.wantOutcome(b.top.Client, b.top.Server, to, proven)
	if s.Auth != "authenticated" {
		t.Errorf("%+v", s)
	}

	// Another key is another peer: what the old one has said is forgotten, and who holds the old key is not spoken to.
	b.reload(b.a, siteB(publicC, servers), "reloaded: peers ")
	if auth := b.auth(b.a, old); auth != "waiting" {
		t.Errorf("by another key the far end is %s", auth)
	}
	b.eventually("the old key is refused", func() bool { l := b.peers(b.a); return len(l) == 1 && !l[0].Connected && l[0].Why != "" })
	b.check(exchange(first, firstSrv, 1000, 1000, false)) // it began by the old word, and goes on
	waits := make(chan error, 1)
	began := time.Now()
	go func() {
		_, _, err := b.between(b.top.Client, b.top.Server, to)
		waits <- err
	}()
	b.eventually("a connection waits for its peer", func() bool { return b.peers(b.a)[0].Sessions == 3 })

	// Without a peer behind which its far end lies it is refused at once, and so are those behind it.
	b.reload(b.a, siteB(publicB, "[10.55.0.0/16]"), "reloaded: peers ", "protected less")
	if err := <-waits; !errors.Is(err, syscall.ECONNREFUSED) && !errors.Is(err, syscall.ECONNRESET) || time.Since(began) > 30*time.Second {
		t.Errorf("the connection that waited: %v after %v", err, time.Since(began))
	}
	if _, _, err := b.between(b.top.Client, b.top.Server, to); err == nil {
		t.Error("a connection whose far end lies behind no peer")
	}
	if auth := b.auth(b.a, old); auth != "none" {
		t.Errorf("behind no peer the far end is %s", auth)
	}
	b.eventually("the peer is connected again", func() bool { return b.peers(b.a)[0].Connected })

	// The prefix back, a connection waits no longer than its peer takes.
	b.reload(b.a, siteB(publicB, servers), "reloaded: peers ")
	b.eventually("authenticated again", func() bool { return b.auth(b.a, old) == "authenticated" })
	b.wire()
	b.wantOutcome(b.top.Client, b.top.Server, to, proven)
	b.check(exchange(old, oldSrv, 1000, 1000, true))

	// Peers that are not in the file any more are no reason to protect less than before.
	b.rulesFile("policy: opportunistic\nrules: []\nauthenticated: no\n")
	if _, err := b.a.Command("reload"); err == nil || !strings.Contains(err.Error(), "write `peers: []` there") {
		t.Errorf("without a word of peers: %v", err)
	}
	b.reload(b.a, "policy: opportunistic\nrules: []\nauthenticated: no\npeers: []\n", "protected less than before: peers", "needs a restart: peering.key")
	if n := len(b.peers(b.a)); n != 0 {
		t.Errorf("%d peers", n)
	}
	b.check(exchange(first, firstSrv, 1000, 1000, true))
	b.eventually("the other side sees it", func() bool { return !b.peers(b.b)[0].Connected })
}

// TestKeyFilesThatOthersMayReadKeepAGatewayFromStarting, and what it says is what to do.
func TestKeyFilesThatOthersMayReadKeepAGatewayFromStarting(t *testing.T) {
	b := newBed(t)
	key, _ := b.newKey("a.key")
	b.check(os.Chmod(key, 0o640))
	if _, err := b.top.Start(topology.SideA, topology.Packet, "peering.key="+key); err == nil || !strings.Contains(err.Error(), "chmod 600 "+key) {
		t.Errorf("peering.key: %v", err)
	}
	dir := certify(t, map[string]string{"gateway": "127.0.0.1"})
	private := filepath.Join(dir, "gateway-key.pem")
	b.check(os.Chmod(private, 0o644))
	if _, err := b.top.Start(topology.SideA, topology.Packet, "sessions.listen=127.0.0.1:8548", "sessions.certificate="+filepath.Join(dir, "gateway.pem"),
		"sessions.key="+private, "sessions.client_ca="+filepath.Join(dir, "ca.pem")); err == nil || !strings.Contains(err.Error(), "chmod 600 "+private) {
		t.Errorf("sessions.key: %v", err)
	}
	b.startA(topology.Packet) // nothing is left in its way
}

// metric returns a metric's value as a gateway's control plane serves it.
func (b *bed) metric(g *topology.Gateway, name string) string {
	b.t.Helper()
	out, err := g.Metrics()
	if err != nil {
		b.t.Fatal(err)
	}
	for line := range strings.Lines(out) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// TestWhoIsInTheMiddleIsFoundOutAsRulesSay puts two gateways between two that are each other's peers.
func TestWhoIsInTheMiddleIsFoundOutAsRulesSay(t *testing.T) {
	b := newBed(t)
	b.manage()
	keyA, publicA := b.newKey("a.key")
	keyB, publicB := b.newKey("b.key")
	b.startFileA(topology.Packet, fmt.Sprintf(`
policy: opportunistic
peering: {key: %s, timeout: 5s}
peers: [{name: site-b, key: %q, prefixes: %s, address: %q}]
rules:
  - {name: proven, ports: [7001], policy: require, authenticated: yes}
  - {name: watched, ports: [7002], on_mismatch: reset}
`, keyA, publicB, servers, mgmtB))
	b.startB(topology.Packet, "peering.key="+keyB, "peering.listen="+mgmtB,
		fmt.Sprintf("peers=[{name: site-a, key: %q, prefixes: %s}]", publicA, clients))
	b.eventually("the control planes are connected", func() bool { return b.peers(b.a)[0].Connected })
	for _, rule := range []string{"proven", "watched"} {
		port := map[string]int{"proven": 7001, "watched": 7002}[rule]
		if _, _, s := b.wantOutcome(b.top.Client, b.top.Server, fmt.Sprintf("%s:%d", topology.Server4, port), outcome{rule: rule, verdict: policy.Encrypted}); s.Auth == "mismatch" {
			t.Errorf("with nobody in the middle: %+v", s)
		}
	}
	toA, toB, err := b.top.StartMiddle(insist)
	if err != nil {
		t.Fatal(err)
	}
	opened := func(g *topology.Gateway) (n uint64) {
		t.Helper()
		list, err := g.Sessions()
		b.check(err)
		for _, s := range list {
			n += s.Opened.Bytes
		}
		return n
	}
	// Where the far end must be authenticated he gets no byte.
	if _, _, err := b.between(b.top.Client, b.top.Server, topology.Server4+":7001"); err == nil {
		t.Error("a connection with somebody in the middle has come about")
	}
	if a, z := opened(toA), opened(toB); a+z != 0 {
		t.Errorf("he has opened %d bytes of the client's and %d of the server's", a, z)
	}
	// Where a rule says so the connection is reset, when he has been found out.
	c, srv, err := b.between(b.top.Client, b.top.Server, topology.Server4+":7002")
	if err != nil {
		t.Fatal(err)
	}
	b.check(exchange(c, srv, 100, 100, false))
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("with somebody in the middle: %v", err)
	}
	// Elsewhere it is an alarm.
	client, other := b.mustConnect(ipv6)
	b.eventually("a mismatch", func() bool { return b.auth(b.a, client) == "mismatch" })
	b.check(exchange(client, other, 1000, 1000, true))
	if said := b.a.Stderr(); !strings.Contains(said, "somebody is in the middle of the connection") {
		t.Errorf("the log says nothing:\n%s", said)
	}
	if n := b.metric(b.a, "linecrypt_ctrlplane_session_mismatches_total"); n != "3" {
		t.Errorf("%s mismatches are counted", n)
	}
	st, err := b.a.Status()
	b.check(err)
	if n := count(st.Aborts, "abort_mismatch"); n != 2 {
		t.Errorf("%d connections are counted as reset", n)
	}
}

// count returns a counter of a list.
func count(list []cli.NamedCount, name string) uint64 {
	for _, c := range list {
		if c.Name == name {
			return c.Count
		}
	}
	return 0
}
