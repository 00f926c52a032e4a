package kernel

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"linecrypt/bench/topology"
	"linecrypt/ctrlplane/cli"
	"linecrypt/ctrlplane/policy"
)

// between opens a connection from a host to an address of another, and returns both ends. They are closed when the test ends.
func (b *bed) between(from, to topology.NetNS, addr string) (opener, other *net.TCPConn, err error) {
	b.t.Helper()
	l, err := to.Listen(addr)
	if err != nil {
		return nil, nil, err
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if opener, err = from.Dial(ctx, addr); err != nil {
		return nil, nil, err
	}
	b.t.Cleanup(func() { opener.Close() })
	deadline := time.Now().Add(patience)
	b.check(l.SetDeadline(deadline))
	if other, err = l.AcceptTCP(); err != nil {
		return nil, nil, fmt.Errorf("connected, and never accepted: %w", err)
	}
	b.t.Cleanup(func() { other.Close() })
	return opener, other, errors.Join(opener.SetDeadline(deadline), other.SetDeadline(deadline))
}

// decided is what a rule has decided on, by verdict.
func (b *bed) decided(g *topology.Gateway, rule string) map[string]uint64 {
	b.t.Helper()
	rules, err := g.Rules()
	if err != nil {
		b.t.Fatal(err)
	}
	for _, r := range rules {
		if r.Name == rule {
			return r.Connections
		}
	}
	b.t.Fatalf("gateway %s has no rule %s", g.Side, rule)
	return nil
}

// outcome is what becomes of a connection by the rules of gateway A.
type outcome struct {
	rule    string
	verdict policy.Verdict
	tep     string // of the session; empty where it does not matter
	aead    string
}

// wantOutcome opens a connection, uses it, and fails unless it has come about by the rule, as the rule says, and is counted there; the
// wire must have carried nothing else since the last look. It returns both ends, nil for a connection that is refused.
func (b *bed) wantOutcome(from, to topology.NetNS, addr string, want outcome) (opener, other *net.TCPConn, s cli.Session) {
	b.t.Helper()
	const n = 20_000
	before := b.decided(b.a, want.rule)[want.verdict.String()]
	opener, other, err := b.between(from, to, addr)
	what := fmt.Sprintf("%s from %s", addr, from)
	switch refused := want.verdict == policy.Refused; {
	case (err != nil) != refused:
		b.t.Fatalf("%s: %v", what, err)
	case err == nil:
		b.check(exchange(opener, other, n, n, false))
	}
	after := b.decided(b.a, want.rule)[want.verdict.String()]
	// The far end's gateway takes a reset for a path that hates ENO, and tries once more without.
	if again := want.verdict == policy.Refused && after == before+2; after != before+1 && !again {
		b.t.Errorf("%s: rule %s has %d connections more that are %v", what, want.rule, after-before, want.verdict)
	}
	if w := b.wire(); (w.Plaintext > 0) != (want.verdict == policy.Clear || want.verdict == policy.Off) {
		b.t.Errorf("%s: on the wire %+v", what, w)
	}
	if err != nil {
		return nil, nil, s
	}
	s, listed := b.session(b.a, opener)
	if listed != (want.verdict == policy.Encrypted) {
		b.t.Errorf("%s: listed %t, %+v", what, listed, s)
	}
	if listed && (s.Rule != want.rule || want.tep != "" && s.TEP != want.tep || want.aead != "" && s.AEAD != want.aead) {
		b.t.Errorf("%s: rule %s, %s, %s, not %+v", what, s.Rule, s.TEP, s.AEAD, want)
	}
	return opener, other, s
}

// rulesFile writes a configuration and returns its path.
func (b *bed) rulesFile(text string) string {
	b.t.Helper()
	path := filepath.Join(b.top.Dir, "linecrypt.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
	return path
}

// startFileA starts the client's gateway with a configuration in a file.
func (b *bed) startFileA(kind topology.PortKind, text string, set ...string) {
	b.t.Helper()
	needPorts(b.t, kind)
	var err error
	if b.a, err = b.top.StartFile(topology.SideA, kind, b.rulesFile(text), append([]string{insist}, set...)...); err != nil {
		b.t.Fatal(err)
	}
}

// TestConnectionsGoByTheRuleOfTheirPrefixPortAndDirection has rules of all kinds at the client's gateway, and real connections for each.
func TestConnectionsGoByTheRuleOfTheirPrefixPortAndDirection(t *testing.T) {
	b := newBed(t)
	b.startFileA(topology.Packet, `
policy: opportunistic
rules:
  - {name: off, ports: [7001], policy: off}
  - {name: strict, ports: [7002], policy: require, teps: [ECDHE_P256], aeads: [CHACHA20_POLY1305]}
  - {name: unheard, ports: [7010], policy: require}
  - {name: to-server-4, destination: [10.99.0.2], ports: [7003], aeads: [AES_256_GCM]}
  - {name: aware, ports: [7004], policy: require, application_aware: mandatory}
  - {name: aware-if, ports: [7005], application_aware: mandatory}
  - {name: aware-both, ports: [7011], policy: require, application_aware: mandatory}
  - {name: aware-said, ports: [7012], application_aware: on}
  - {name: fresh, ports: [7006], resume: off}
  - {name: rekeys, ports: [7007], rekey: {frames: 4}}
  - {name: net-6, inside: ["fd99::/64"], ports: [7000-7100], aeads: [CHACHA20_POLY1305], resume: off}
  - {name: inbound-aware, direction: inbound, ports: [7111], policy: require, application_aware: mandatory, resume: off}
  - {name: inbound-both, direction: inbound, ports: [7112], policy: require, application_aware: mandatory, resume: off}
  - {name: inbound, direction: inbound, teps: [ECDHE_Curve448], aeads: [AES_256_GCM], resume: off}
`)
	// The server's gateway is for every port but one; on another one its applications are aware.
	b.startB(topology.Packet, "rules=[{name: none, ports: [7010, 7013], policy: off}, {name: aware, ports: [7011, 7112], application_aware: on}]")
	const x25519, p256, x448 = "0x23", "0x21", "0x24"
	to := func(host string, port int) string { return net.JoinHostPort(host, fmt.Sprint(port)) }
	out := func(host string, port int, want outcome) (*net.TCPConn, *net.TCPConn, cli.Session) {
		t.Helper()
		return b.wantOutcome(b.top.Client, b.top.Server, to(host, port), want)
	}
	// A gateway that offers to resume has room for one key agreement beside it, so that these come first.
	in := func(host string, port int, want outcome) {
		t.Helper()
		b.wantOutcome(b.top.Server, b.top.Client, to(host, port), want)
	}
	in(topology.Client4, 7100, outcome{"inbound", policy.Encrypted, x448, "AES_256_GCM"})
	in(topology.Client6, 7100, outcome{"net-6", policy.Encrypted, x25519, "CHACHA20_POLY1305"})
	in(topology.Client4, 7111, outcome{rule: "inbound-aware", verdict: policy.Refused})
	in(topology.Client6, 7112, outcome{rule: "inbound-both", verdict: policy.Encrypted})
	for _, host := range []string{topology.Server4, topology.Server6} {
		out(host, 7001, outcome{rule: "off", verdict: policy.Off})
		out(host, 7002, outcome{"strict", policy.Encrypted, p256, "CHACHA20_POLY1305"})
	}
	const host, host6 = topology.Server4, topology.Server6
	out(host, 7010, outcome{rule: "unheard", verdict: policy.Refused})
	out(host6, 7004, outcome{rule: "aware", verdict: policy.Refused})
	out(host, 7005, outcome{rule: "aware-if", verdict: policy.Clear})
	if _, _, s := out(host6, 7011, outcome{rule: "aware-both", verdict: policy.Encrypted}); !s.OwnAware || !s.PeerAware {
		t.Errorf("both are aware: %+v", s)
	}
	if _, _, s := out(host, 7012, outcome{rule: "aware-said", verdict: policy.Encrypted}); !s.OwnAware || s.PeerAware {
		t.Errorf("one is aware: %+v", s)
	}
	for range 2 { // it would resume otherwise: the hosts have spoken before
		if _, _, s := out(host, 7006, outcome{rule: "fresh", verdict: policy.Encrypted}); s.Resumed {
			t.Errorf("resumed by a rule that does not: %+v", s)
		}
	}
	client, srv, _ := out(host6, 7007, outcome{rule: "rekeys", verdict: policy.Encrypted})
	b.check(exchange(client, srv, 100_000, 100, false))
	b.wire()
	if s := b.wantSameSession(client); s.Sealed.Generation < 2 {
		t.Errorf("after %d frames the keys are of generation %d, by a limit of 4", s.Sealed.Frames, s.Sealed.Generation)
	}
	// Rules of other ciphers have left sessions to resume with: a rule resumes none but of its own.
	out(topology.Server4, 7003, outcome{"to-server-4", policy.Encrypted, "", "AES_256_GCM"})
	out(topology.Server6, 7003, outcome{"net-6", policy.Encrypted, "", "CHACHA20_POLY1305"})
	out(topology.Server4, 7013, outcome{rule: "default", verdict: policy.Clear})
	if n := b.metric(b.a, `linecrypt_rule_connections_total{rule="strict",verdict="encrypted"}`); n != "2" {
		t.Errorf("the metric of a rule is %q", n)
	}
}
