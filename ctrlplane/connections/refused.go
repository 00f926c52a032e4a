package connections

import (
	"slices"

	"linecrypt/ctrlplane/outcome"
	"linecrypt/ctrlplane/policy"
	"linecrypt/ctrlplane/sessiontable"
	"linecrypt/ctrlplane/shm"
)

// ListRefused returns the latest connections that were refused, or aborted while they were set up, the oldest first. Of each network of far
// ends a few are remembered. The list is never nil.
func ListRefused(seg *shm.Segment) []Connection {
	found := []Connection{}
	now := monotonic()
	rules, _ := RuleSet(seg) // no name is known while there are none
	for i := range seg.Workers() {
		w := seg.Worker(i)
		if w == nil {
			continue
		}
		for _, n := range w.Outcomes.Refused() {
			c := Told(seg.Counters(), rules, &n)
			c.AgeS, c.IdleS, c.Created = seconds(now-n.At), seconds(now-n.At), n.At
			found = append(found, c)
		}
	}
	slices.SortStableFunc(found, oldestFirst)
	return found
}

// Told returns what a note of a worker says of a connection, its age aside. Rules name the rule; they may be nil.
func Told(table *shm.Table, rules *policy.Set, n *outcome.Note) Connection {
	c := Connection{Key: n.Key, VLAN: n.Key.VLAN, State: Plain, Verdict: n.Verdict.String(), Auth: sessiontable.AuthNone.String(), Created: n.Created}
	if n.Kind == outcome.Refused {
		c.State = Refused
	}
	c.Client, c.Server = endpoint(n.Key.Inside, n.Key.InsidePort), endpoint(n.Key.Outside, n.Key.OutsidePort)
	if !n.Active {
		c.Client, c.Server = c.Server, c.Client
	}
	c.Reason, c.Because = Reason(table, shm.Counter(n.Why))
	if rules != nil {
		c.Rule, _ = rules.Name(n.Rule)
	}
	return c
}
