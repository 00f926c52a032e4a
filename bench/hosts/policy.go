package hosts

import (
	"testing"

	"linecrypt/ctrlplane/policy"
	"linecrypt/ctrlplane/responder"
	"linecrypt/ctrlplane/shm"
	"linecrypt/flowtable"
)

// Rules returns the set of rules that is in force in the gateway.
func (g *Gateway) Rules(t testing.TB) *policy.Set {
	t.Helper()
	var r shm.Rules
	seg := g.data.Segment()
	if !seg.Rules(&r) {
		t.Fatalf("gateway %s has no rules", g.Config.Name)
	}
	set, err := seg.RuleSet(r.Set)
	if err != nil {
		t.Fatalf("gateway %s: %v", g.Config.Name, err)
	}
	return set
}

// RuleName returns the name of the rule that a reference names.
func (g *Gateway) RuleName(t testing.TB, ref uint32) string {
	t.Helper()
	name, _ := g.Rules(t).Name(flowtable.RuleRef(ref))
	return name
}

// Verdicts returns how many connections of a rule have come to a verdict.
func (g *Gateway) Verdicts(t testing.TB, rule string, v policy.Verdict) uint64 {
	t.Helper()
	set := g.Rules(t)
	for i := range set.Len() {
		if set.Rule(i).Name == rule {
			return g.data.Segment().RuleConnections(set.Ref(i).Slot(), v)
		}
	}
	t.Fatalf("gateway %s has no rule %s", g.Config.Name, rule)
	return 0
}

// Reload puts a key of the configuration in force for new connections, as a reload does.
func (g *Gateway) Reload(t testing.TB, key, value string) {
	t.Helper()
	if err := g.Config.Set("test", key, value); err != nil {
		t.Fatal(err)
	}
	if err := g.Config.Validate(); err != nil {
		t.Fatal(err)
	}
	if err := g.Control().SetTerms(responder.TermsOf(g.Config)); err != nil {
		t.Fatal(err)
	}
}
