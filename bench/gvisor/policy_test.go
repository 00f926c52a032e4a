package gvisor

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"linecrypt/bench/hosts"
	"linecrypt/ctrlplane/policy"
)

// dialTo opens a connection to a port of the server's and returns both its ends.
func dialTo(t *testing.T, n *hosts.Network, l *hosts.Listener) (client, server *hosts.Conn, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), hosts.Patience)
	defer cancel()
	if client, err = n.Client.Dial(ctx, l.Addr); err != nil {
		return nil, nil, err
	}
	server, err = l.AcceptWithin(hosts.Patience)
	return client, server, err
}

func listenAt(t *testing.T, n *hosts.Network, port uint16) *hosts.Listener {
	t.Helper()
	l, err := n.Server.Listen(netip.AddrPortFrom(n.Server.V4, port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

func TestEachConnectionGoesByTheFirstRuleThatFits(t *testing.T) {
	n := hosts.New(t, hosts.Options{
		Both: hosts.Settings{"resume": "off"}, // a resumed session has the cipher of the one before it
		A: hosts.Settings{"rules": "[{name: legacy, ports: [8001], policy: off}, {name: inbound-only, direction: inbound, policy: off}," +
			" {name: aware, ports: [8002], policy: require, application_aware: mandatory}, {name: chacha, ports: [8003], aeads: [CHACHA20_POLY1305]}]"},
	})
	for _, c := range []struct {
		port    uint16
		rule    string
		verdict policy.Verdict
		aead    uint16
	}{{8001, "legacy", policy.Off, 0}, {8002, "aware", policy.Refused, 0}, {8003, "chacha", policy.Encrypted, 0x10}, {8004, "default", policy.Encrypted, 1}} {
		client, server, err := dialTo(t, n, listenAt(t, n, c.port))
		if (err != nil) != (c.verdict == policy.Refused) {
			t.Errorf("port %d: %v", c.port, err)
			continue
		}
		if got := n.A.Verdicts(t, c.rule, c.verdict); got != 1 {
			t.Errorf("port %d: rule %s has %d connections that are %v", c.port, c.rule, got, c.verdict)
		}
		if err != nil {
			continue
		}
		e, ok := n.A.Session(client.Local(), client.Remote())
		if ok != (c.verdict == policy.Encrypted) {
			t.Errorf("port %d: encrypted %v", c.port, ok)
		}
		if ok && (n.A.RuleName(t, e.Rule) != c.rule || e.AEAD != c.aead) {
			t.Errorf("port %d: rule %q, cipher %d", c.port, n.A.RuleName(t, e.Rule), e.AEAD)
		}
		mustExchange(t, client, server, 10_000, 10_000, 2000)
	}
}

func TestMandatoryApplicationAwareModeOfARuleTakesAFarEndThatIsAware(t *testing.T) {
	n := hosts.New(t, hosts.Options{
		A: hosts.Settings{"rules": "[{name: aware, ports: [8002], policy: require, application_aware: mandatory}]"},
		B: hosts.Settings{"rules": "[{name: its-clients, ports: [8002], application_aware: on}]"},
	})
	client, server, err := dialTo(t, n, listenAt(t, n, 8002))
	if err != nil {
		t.Fatal(err)
	}
	e, ok := n.B.Session(client.Remote(), client.Local())
	if !ok || n.B.RuleName(t, e.Rule) != "its-clients" || !e.OwnAware || !e.PeerAware {
		t.Errorf("gateway B says %v, %+v, by rule %q", ok, e, n.B.RuleName(t, e.Rule))
	}
	mustExchange(t, client, server, 1000, 1000, 500)
}

func TestReloadedRulesAreForNewConnectionsAtOnce(t *testing.T) {
	n := hosts.New(t, hosts.Options{A: hosts.Settings{"rules": "[{name: first, ports: [8001], policy: require}, {name: passed, ports: [8002], policy: off}]"}})
	one, two := listenAt(t, n, 8001), listenAt(t, n, 8002)
	client, server, err := dialTo(t, n, one)
	if err != nil {
		t.Fatal(err)
	}
	plain, plainServer, err := dialTo(t, n, two)
	if err != nil {
		t.Fatal(err)
	}
	if err := exchangeByte(plain, plainServer); err != nil {
		t.Fatal(err)
	}
	n.A.Reload(t, "rules", "[{name: second, policy: require}]")
	other, otherServer, err := dialTo(t, n, two)
	if err != nil {
		t.Fatal(err)
	}
	if e, ok := n.A.Session(other.Local(), other.Remote()); !ok || n.A.RuleName(t, e.Rule) != "second" {
		t.Errorf("a new connection: encrypted %v, by rule %q", ok, n.A.RuleName(t, e.Rule))
	}
	if e, ok := n.A.Session(client.Local(), client.Remote()); !ok || n.A.RuleName(t, e.Rule) != "first" {
		t.Errorf("the old connection: encrypted %v, by rule %q", ok, n.A.RuleName(t, e.Rule))
	}
	mustExchange(t, client, server, 10_000, 10_000, 2000)
	mustExchange(t, other, otherServer, 10_000, 10_000, 2000)
	mustExchange(t, plain, plainServer, 10_000, 10_000, 2000) // what was decided to be off stays so under require
}

func TestRulesStayWhileTheControlPlaneIsAwayAndNamesBehindIt(t *testing.T) {
	n := hosts.New(t, hosts.Options{A: hosts.Settings{"rules": "[{name: strict, ports: [8001], policy: require}, {name: loose, ports: [8002]}]"}})
	strict, loose := listenAt(t, n, 8001), listenAt(t, n, 8002)
	client, _, err := dialTo(t, n, strict)
	if err != nil {
		t.Fatal(err)
	}
	n.A.StopControl()
	time.Sleep(200 * time.Millisecond)
	if _, _, err := dialTo(t, n, strict); err == nil {
		t.Error("a connection that must be encrypted came about without a control plane")
	}
	if c, s, err := dialTo(t, n, loose); err != nil {
		t.Error(err)
	} else {
		mustExchange(t, c, s, 1000, 1000, 500)
	}
	if err := n.A.Config.Set("test", "rules", "[{name: other, ports: [8002]}, {name: strict, ports: [8001], policy: require}]"); err != nil {
		t.Fatal(err)
	}
	n.A.StartControl(t)
	if _, _, err := dialTo(t, n, strict); err != nil {
		t.Error(err)
	}
	e, ok := n.A.Session(client.Local(), client.Remote())
	if !ok || n.A.RuleName(t, e.Rule) != "strict" {
		t.Errorf("the first connection: %v, by rule %q", ok, n.A.RuleName(t, e.Rule))
	}
}
