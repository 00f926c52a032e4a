package cli

import (
	"strings"
	"testing"
	"unicode/utf8"

	"linecrypt/ctrlplane/connections"
	"linecrypt/ctrlplane/outcome"
	"linecrypt/ctrlplane/shm"
	"linecrypt/flowtable"
)

func TestSessionsTableLeavesOutWhatSaysNothing(t *testing.T) {
	s := Session{
		Client: "192.0.2.1:1", Server: "192.0.2.2:80", TEP: "0x23", AEAD: "AES_128_GCM", SessionID: "23" + strings.Repeat("ab", 32), Rule: "default",
		Sealed: connections.Traffic{Bytes: 2}, Opened: connections.Traffic{Bytes: 4567890}, AgeS: 61.4, IdleS: 0.2, Auth: "none", Rate: 1.25e9,
	}
	var b strings.Builder
	if err := printSessions(&b, []Session{s}, false); err != nil {
		t.Fatal(err)
	}
	const want = `CLIENT       SERVER        TEP     AEAD    RATE        DATA    IDLE  AGE    SESSION ID
192.0.2.1:1  192.0.2.2:80  X25519  AES128  1.2 Gbit/s  4.6 MB  0s    1m01s  23ababababababababababa…
1 encrypted connection, 2 B sealed, 4.6 MB opened, 1.2 Gbit/s now
`
	if b.String() != want {
		t.Errorf("got\n%swant\n%s", b.String(), want)
	}
}

// fullSession has something to say in every column.
func fullSession(client, server string) Session {
	return Session{
		Client: client, Server: server, TEP: "0x22", AEAD: "CHACHA20_POLY1305", SessionID: "22" + strings.Repeat("ab", 32), Rule: "payments-of-the-second-branch",
		VLAN: 4094<<12 | 4093, Sealed: connections.Traffic{Bytes: 999e12, Generation: 12}, Opened: connections.Traffic{Bytes: 1, Generation: 13},
		AgeS: 100 * 86400, IdleS: 86400, Auth: "mismatch", Resumed: true, Rate: 999.4e6, State: "plain", Reason: "no_eno_in_syn_ack", Verdict: "opportunistic",
		Because: "the far end's SYN-ACK has no ENO option",
	}
}

func TestTablesFitAHundredColumnsWhateverIsInThem(t *testing.T) {
	v4 := fullSession("192.168.100.100:65535", "198.51.100.100:65535")
	v6 := fullSession("[2001:db8:1111:2222:3333:4444:5555:6666]:65535", "[2001:db8:1111:2222:3333:4444:5555:7777]:65535")
	for name, list := range map[string][]Session{"IPv4": {v4}, "IPv6": {v6}, "both": {v4, v6, v4}} {
		for kind, print := range map[string]func(*strings.Builder) error{
			"encrypted": func(b *strings.Builder) error { return printSessions(b, list, false) },
			"plain":     func(b *strings.Builder) error { return printPlain(b, list, false) },
			"refused":   func(b *strings.Builder) error { return printRefused(b, list, false) },
		} {
			var b strings.Builder
			if err := print(&b); err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(b.String()) {
				if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > textWidth {
					t.Errorf("%s, %s: %d columns: %s", name, kind, n, line)
				}
			}
			for _, want := range []string{list[0].Client, list[0].Server, "4094.4093", "paymen"} {
				if !strings.Contains(b.String(), want) {
					t.Errorf("%s, %s: no %s in\n%s", name, kind, want, b.String())
				}
			}
		}
	}
	var b strings.Builder
	if err := printSessions(&b, []Session{v6}, true); err != nil || !strings.Contains(b.String(), v6.SessionID) || !strings.Contains(b.String(), v6.Rule) {
		t.Errorf("--wide shortens: %v\n%s", err, b.String())
	}
}

func TestRefusedConnectionsAreListedWithTheReasonOldestFirst(t *testing.T) {
	g := newFakeGateway(t)
	if out := must(t, "sessions", "--refused", "--name", "gw"); out != "no refused connections\n" {
		t.Errorf("%q", out)
	}
	pens := []outcome.Pen{outcome.NewPen(g.seg.Worker(0).Outcomes), outcome.NewPen(g.seg.Worker(1).Outcomes)}
	for n, why := range []shm.Counter{shm.RefusedNoENOInSynAck, shm.AbortUnauthenticated, shm.RefusedNoENOInSynAck} {
		pens[(n+1)%2].Write(&outcome.Note{At: now(t) - int64(30-n)*1e9, Key: v4Key(1, byte(2+n), uint16(1000+n), 80), Kind: outcome.Refused, Why: uint16(why), Verdict: flowtable.Require, Active: n != 1})
	}
	out := must(t, "sessions", "--refused", "--name", "gw")
	for _, want := range []string{
		"192.0.2.1:1000   198.51.100.2:80  no_eno_in_syn_ack  -     30s\n",
		"198.51.100.3:80  192.0.2.1:1001   unauthenticated    -     29s\n",
		"3 connections refused lately:\n",
		"     2  no_eno_in_syn_ack: the far end's SYN-ACK has no ENO option\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	list := decode(t, must(t, "sessions", "--refused", "--json", "--port", "1001", "--name", "gw")).([]any)
	if first := list[0].(map[string]any); len(list) != 1 || first["state"] != "refused" || first["reason"] != "unauthenticated" || first["verdict"] != "require" {
		t.Errorf("%v", list)
	}
}

func TestPlainConnectionsAreListedWithTheReason(t *testing.T) {
	g := newFakeGateway(t)
	g.add(0, v4Key(9, 9, 9, 9), flowtable.Encrypted)
	for n, c := range []struct {
		why   shm.Counter
		flags uint16
	}{{shm.PlainNoENOInSynAck, flowtable.FlagActive}, {shm.PlainMet, flowtable.FlagMet}, {shm.PlainMet, flowtable.FlagMet}} {
		_, r := g.add(n%2, v4Key(1, 2, uint16(1000+n), 80), flowtable.Plain)
		r.Rare.Abort, r.Flags, r.Verdict, r.Rare.Created = uint16(c.why), c.flags, flowtable.Opportunistic, now(t)-int64(3-n)*1e9
	}
	status, out, errs := call(t, "sessions", "--plain", "--name", "gw")
	if status != exitOK {
		t.Fatal(errs)
	}
	for _, want := range []string{
		"192.0.2.1:1000  198.51.100.2:80  no_eno_in_syn_ack  opportunistic",
		"3 connections in the clear:",
		"     2  met: they are older than the gateway, which met them in the middle",
		"     1  no_eno_in_syn_ack: the far end's SYN-ACK",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	list := decode(t, must(t, "sessions", "--plain", "--json", "--name", "gw")).([]any)
	if first := list[0].(map[string]any); len(list) != 3 || first["reason"] != "no_eno_in_syn_ack" || first["state"] != "plain" || first["client"] != "192.0.2.1:1000" || first["verdict"] != "opportunistic" {
		t.Errorf("%v", list)
	}
}

// must calls the command and returns what it printed.
func must(t *testing.T, args ...string) string {
	t.Helper()
	status, out, errs := call(t, args...)
	if status != exitOK {
		t.Fatalf("%v: status %d: %s", args, status, errs)
	}
	return out
}

func TestSessionsAreFilteredAndSorted(t *testing.T) {
	g := newFakeGateway(t)
	for n, bytes := range []uint64{10, 30, 20} {
		_, r := g.add(n%2, v4Key(1, byte(1+n), uint16(1000+n), uint16(80+n)), flowtable.Encrypted)
		r.Flags, r.TEP, r.AEAD, r.Role, r.Egress.PNext, r.Egress.WNext = flowtable.FlagActive, 0x23, 1, 1, bytes, bytes+20
		r.Rare.Created, r.LastSeen = now(t)-int64(n)*1e9, now(t)-int64(n)*1e9
	}
	for _, c := range []struct {
		args []string
		want string // the last byte of the far ends
	}{
		{nil, "321"},
		{[]string{"--sort", "bytes"}, "231"},
		{[]string{"--sort", "idle"}, "321"},
		{[]string{"--sort", "peer"}, "123"},
		{[]string{"--port", "1001"}, "2"},
		{[]string{"--port", "82"}, "3"},
		{[]string{"--peer", "198.51.100.1"}, "1"},
		{[]string{"--peer", "198.51.100.2/31", "--sort", "peer"}, "23"},
		{[]string{"--peer", "2001:db8::/32"}, ""},
	} {
		got := ""
		for _, s := range decode(t, must(t, append([]string{"sessions", "--json", "--name", "gw"}, c.args...)...)).([]any) {
			host, _, _ := strings.Cut(s.(map[string]any)["server"].(string), ":")
			got += host[len(host)-1:]
		}
		if got != c.want {
			t.Errorf("%v: %s, not %s", c.args, got, c.want)
		}
	}
	for _, args := range [][]string{{"--sort", "size"}, {"--port", "65536"}, {"--port", "-1"}, {"--port", "0"}, {"--peer", "host"}, {"--peer", ""}, {"--watch", "--plain"}, {"--watch", "--refused"}, {"--plain", "--refused"}, {"--watch", "--port", "1"}} {
		if status, _, errs := call(t, append([]string{"sessions", "--name", "gw"}, args...)...); status != exitUsage || !strings.Contains(errs, args[0]) {
			t.Errorf("%v: status %d, %s", args, status, errs)
		}
	}
}

func TestFlushTakesNoEmptyFlagForNone(t *testing.T) {
	for _, flag := range []string{"--peer", "--client", "--server"} {
		if status, _, errs := call(t, "resumption", "flush", "--name", "gw", flag, ""); status != exitUsage || !strings.Contains(errs, flag+" is empty") {
			t.Errorf("%s: status %d, %s", flag, status, errs)
		}
	}
}
