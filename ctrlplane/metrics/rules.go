package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"linecrypt/ctrlplane/policy"
	"linecrypt/ctrlplane/shm"
)

// maxRules bounds how many rules have metrics of their own, in their order; the rest is summed up under otherRules.
const (
	maxRules   = 1000
	otherRules = "(others)"
)

var descRule = prometheus.NewDesc(namespace+"_rule_connections_total", "connections by the policy rule that was decided by, and what became of them",
	[]string{"rule", "verdict"}, nil)

// collectRules collects what became of connections by rule. Rules to which nothing has come yet are left out.
func collectRules(ch chan<- prometheus.Metric, s *shm.Segment) {
	var r shm.Rules
	if !s.Rules(&r) || r.Set == 0 {
		return
	}
	set, err := s.RuleSet(r.Set)
	if err != nil {
		return // others are being published
	}
	var others [policy.NumVerdicts]uint64
	shown := 0
	for i := range set.Len() {
		at := (i + set.Len() - 1) % set.Len() // the default rule first
		slot := set.Ref(at).Slot()
		var n [policy.NumVerdicts]uint64
		any := false
		for v := range n {
			n[v] = s.RuleConnections(slot, policy.Verdict(v))
			any = any || n[v] > 0
		}
		if !any {
			continue
		}
		if shown++; shown > maxRules {
			for v := range n {
				others[v] += n[v]
			}
			continue
		}
		for v := range n {
			ch <- counter(descRule, n[v], set.Rule(at).Name, policy.Verdict(v).String())
		}
	}
	if shown > maxRules {
		for v := range others {
			ch <- counter(descRule, others[v], otherRules, policy.Verdict(v).String())
		}
	}
}
