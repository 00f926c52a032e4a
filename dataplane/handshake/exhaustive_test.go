package handshake

import (
	"slices"
	"testing"

	"linecrypt/flowtable"
)

// failures are the troubles that a worker may meet at a step.
var failures = []map[ActionKind]Failure{
	nil,
	{ActBlock: FailBlock},
	{ActEstablish: FailPlace},
	{ActInit1: FailBuffer, ActKeys: FailBuffer, ActHoldKeys: FailBuffer},
	{ActKeys: FailKeys, ActHoldKeys: FailKeys},
	{ActAsk: FailRing},
	{ActClaim: FailClaim},
	{ActForwardENO: FailEdit, ActForwardBare: FailEdit},
}

// meets reports whether a step has an action that fails.
func meets(mach *Machine, m model, e Event, f map[ActionKind]Failure) bool {
	var out Actions
	mach.Step(&m.c, &e, m.now, &out)
	return f == nil || slices.ContainsFunc(out.All(), func(a Action) bool { return f[a.Kind] != FailNone })
}

// TestEveryOrderOfEventsKeepsTheRules goes through every state that any order of events and failures leads to, until there are no
// new ones. Times are those of the deadlines.
func TestEveryOrderOfEventsKeepsTheRules(t *testing.T) {
	segs := segments()
	mach := NewMachine(testParams)
	for policy := flowtable.Opportunistic; policy < flowtable.NumPolicies; policy++ {
		rules := testRules(policy)
		seen := map[model]bool{}
		reached := map[flowtable.State]bool{}
		front := []model{{now: second}}
		steps := 0
		for depth := 0; len(front) > 0 && depth < 10; depth++ {
			var next []model
			for _, m := range front {
				for _, e := range events(&m, rules, segs) {
					for _, f := range failures {
						n := m
						if e.Kind == EventTimer {
							n.now = max(n.now, Deadline(&n.c.Setup))
						}
						if !meets(mach, n, e, f) {
							continue
						}
						steps++
						if err := n.apply(mach, e, f); err != nil {
							t.Fatalf("policy %v, depth %d, failures %v: %v", policy, depth, f, err)
						}
						if n.over {
							continue
						}
						k := n.key()
						if seen[k] {
							continue
						}
						seen[k] = true
						reached[n.c.State] = true
						if err := n.ends(mach, rules); err != nil {
							t.Fatalf("policy %v, from %+v: %v", policy, n.c, err)
						}
						next = append(next, n)
					}
				}
			}
			front = next
		}
		t.Logf("policy %v: %d states, %d steps, %d left to go on from", policy, len(seen), steps, len(front))
		if policy == flowtable.Disabled {
			continue
		}
		for _, s := range []flowtable.State{
			flowtable.PlainSyn, flowtable.ActiveSyn, flowtable.ActiveAnswer, flowtable.ActiveInit, flowtable.ActiveKeys,
			flowtable.PassiveSyn, flowtable.PassiveAck, flowtable.PassiveInit, flowtable.PassiveKeys, flowtable.Encrypted,
		} {
			if !reached[s] {
				t.Errorf("policy %v: state %v is never reached", policy, s)
			}
		}
	}
}
