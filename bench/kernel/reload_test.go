package kernel

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"linecrypt/bench/topology"
	"linecrypt/ctrlplane/policy"
)

// awaitSaid waits until a gateway has logged a text, behind what it had logged before.
func (b *bed) awaitSaid(g *topology.Gateway, before, text string) {
	b.t.Helper()
	for start := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		if said := g.Stderr(); strings.Contains(strings.TrimPrefix(said, before), text) {
			return
		}
		if time.Since(start) > patience {
			b.t.Fatalf("gateway %s does not say %q:\n%s", g.Side, text, g.Stderr())
		}
	}
}

// TestReloadSwapsTheRulesOfNewConnectionsAlone has the rules of a running gateway changed by `linecrypt reload` and by SIGHUP.
func TestReloadSwapsTheRulesOfNewConnectionsAlone(t *testing.T) {
	b := newBed(t)
	const first = "policy: opportunistic\nrules:\n  - {name: first, ports: [7001], policy: require}\n  - {name: passed, ports: [7002], policy: off}\n"
	b.startFileA(topology.Packet, first)
	b.startB(topology.Packet)
	out := func(port int, want outcome) *pair {
		t.Helper()
		client, srv, _ := b.wantOutcome(b.top.Client, b.top.Server, fmt.Sprintf("%s:%d", topology.Server4, port), want)
		return &pair{client, srv}
	}
	firstRule, passed := outcome{rule: "first", verdict: policy.Encrypted}, outcome{rule: "passed", verdict: policy.Off}
	encrypted, plain := out(7001, firstRule), out(7002, passed)
	id := b.wantSameSession(encrypted.client).SessionID

	// Files that are wrong in several ways leave the rules in force, and say why: where asked, and in the log.
	for _, c := range []struct{ text, why string }{
		{"rules:\n  - {name: first, prots: [7001]}\n", "linecrypt.yaml:2: rules[0].prots: unknown key; did you mean ports"},
		{"rules:\n  - {name: first, ports: [7001]}\n  - {name: first}\n", "linecrypt.yaml:3: rules[1].name: first is the name of rules[0] too"},
		{"policy: opportunistic\nrules:\n  - {name: first, ports: [7001], policy: require}\n  - {name: worse, destination: [10.99.0.300/24]}\n", "linecrypt.yaml:4: rules[1].destination"},
		{"policy: [\n", "linecrypt.yaml:"},
		{"policy: opportunistic\n", "rule first is not there any more"}, // protects less, without a word
	} {
		b.rulesFile(c.text)
		before := b.a.Stderr()
		if out, err := b.a.Command("reload"); err == nil || !strings.Contains(err.Error(), c.why) || !strings.Contains(err.Error(), "nothing is changed") {
			t.Errorf("%q: reload says %q, %v; want %q", c.text, out, err, c.why)
		}
		b.awaitSaid(b.a, before, "the old policy stays")
		before = b.a.Stderr()
		b.check(b.a.Hangup())
		b.awaitSaid(b.a, before, "the old policy stays")
		if said := strings.TrimPrefix(b.a.Stderr(), before); !strings.Contains(said, c.why) {
			t.Errorf("%q: behind SIGHUP the log says\n%s", c.text, said)
		}
	}
	out(7001, firstRule)
	out(7002, passed)

	// Good ones hold for the next connection, and for no older one.
	b.rulesFile("policy: opportunistic\nrules:\n  - {name: second, ports: [7001-7002], policy: require, aeads: [AES_256_GCM]}\n")
	said, err := b.a.Command("reload")
	if err != nil || !strings.Contains(said, "reloaded: rules") {
		t.Fatalf("reload says %q, %v", said, err)
	}
	out(7002, outcome{"second", policy.Encrypted, "", "AES_256_GCM"})
	b.rulesFile("policy: opportunistic\nrules:\n  - {name: third, ports: [7002], policy: require}\n  - {name: second, policy: require, aeads: [AES_256_GCM]}\n")
	if _, err := b.a.Command("reload"); err == nil || !strings.Contains(err.Error(), "aeads (AES_256_GCM -> AES_128_GCM, AES_256_GCM, CHACHA20_POLY1305)") {
		t.Errorf("a new rule with more ciphers: %v", err)
	}
	b.rulesFile("policy: opportunistic\nrules:\n  - {name: third, ports: [7002], policy: require, teps: [ECDHE_P256], aeads: [AES_256_GCM], resume: off}\n  - {name: second, policy: require, aeads: [AES_256_GCM]}\n")
	before := b.a.Stderr()
	b.check(b.a.Hangup())
	b.awaitSaid(b.a, before, "the configuration is loaded again")
	out(7002, outcome{"third", policy.Encrypted, "0x21", ""})
	out(7001, outcome{"second", policy.Encrypted, "", "AES_256_GCM"})
	if s := b.wantSameSession(encrypted.client); s.Rule != "first" || s.SessionID != id {
		t.Errorf("the connection from before: %+v", s)
	}
	for what, p := range map[string]*pair{"encrypted": encrypted, "plain": plain} {
		if err := exchange(p.client, p.srv, 10_000, 10_000, true); err != nil {
			t.Errorf("the %s connection from before: %v", what, err)
		}
	}
	if w := b.wire(); w.Plaintext == 0 {
		t.Errorf("the plain connection from before is not plain any more: %+v", w)
	}
	if out, err := b.a.Command("reload"); err != nil || !strings.Contains(out, "nothing has changed") {
		t.Errorf("once more: %q, %v", out, err)
	}
	b.check(os.Remove(filepath.Join(b.top.Dir, "linecrypt.yaml")))
	if _, err := b.a.Command("reload"); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("without the file: %v", err)
	}
	out(7002, outcome{"third", policy.Encrypted, "0x21", ""})
}
