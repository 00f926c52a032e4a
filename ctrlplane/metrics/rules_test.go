package metrics

import (
	"fmt"
	"testing"

	dto "github.com/prometheus/client_model/go"

	"linecrypt/ctrlplane/config"
	"linecrypt/ctrlplane/policy"
	"linecrypt/ctrlplane/shm"
)

// ruled makes a segment with as many rules as that beside the default rule, and returns it with the set.
func ruled(t *testing.T, rules int) (*shm.Segment, *policy.Set) {
	t.Helper()
	dir := t.TempDir()
	seg := newSegmentIn(t, dir)
	spec := config.Default().Spec()
	terms, err := spec.Terms()
	if err != nil {
		t.Fatal(err)
	}
	list := make([]policy.Rule, rules)
	for i := range list {
		list[i] = policy.Rule{Name: fmt.Sprintf("rule-%d.a_B", i), Match: policy.Match{Ports: []policy.Range{{Low: uint32(i + 1), High: uint32(i + 1)}}}, Terms: terms}
	}
	set, err := policy.New(list, terms, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	control, err := shm.OpenControl(dir, "m")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { control.Close() })
	if err := control.PublishRuleSet(set); err != nil {
		t.Fatal(err)
	}
	if err := control.PublishRules(&shm.Rules{Terms: terms, Set: set.Number(), Usable: true}); err != nil {
		t.Fatal(err)
	}
	return seg, set
}

// ruleMetrics returns what is served of rules, by rule and verdict.
func ruleMetrics(t *testing.T, f map[string]*dto.MetricFamily) map[string]map[string]float64 {
	t.Helper()
	all := map[string]map[string]float64{}
	for _, m := range f["linecrypt_rule_connections_total"].GetMetric() {
		labels := map[string]string{}
		for _, l := range m.GetLabel() {
			labels[l.GetName()] = l.GetValue()
		}
		if len(labels) != 2 {
			t.Fatalf("labels %v", labels)
		}
		if all[labels["rule"]] == nil {
			all[labels["rule"]] = map[string]float64{}
		}
		all[labels["rule"]][labels["verdict"]] = m.GetCounter().GetValue()
	}
	return all
}

func TestConnectionsAreCountedByRuleAndVerdictOfAllWorkers(t *testing.T) {
	seg, set := ruled(t, 3)
	seg.Verdicts(0).Add(set.Ref(1).Slot(), policy.Encrypted)
	seg.Verdicts(1).Add(set.Ref(1).Slot(), policy.Encrypted)
	seg.Verdicts(1).Add(set.Ref(1).Slot(), policy.Refused)
	seg.Verdicts(0).Add(0, policy.Clear)
	m, _ := newSet(t, seg)
	got := ruleMetrics(t, scrape(t, m))
	if len(got) != 2 || len(got["rule-1.a_B"]) != int(policy.NumVerdicts) {
		t.Fatalf("%v", got) // a rule to which nothing has come has no series
	}
	if r := got["rule-1.a_B"]; r["encrypted"] != 2 || r["refused"] != 1 || r["clear"] != 0 || r["off"] != 0 || got[policy.DefaultRule]["clear"] != 1 {
		t.Errorf("%v", got)
	}
}

func TestNoMoreRulesThanAThousandHaveMetricsOfTheirOwn(t *testing.T) {
	const rules = maxRules + 250
	seg, set := ruled(t, rules)
	for i := range set.Len() {
		seg.Verdicts(0).Add(set.Ref(i).Slot(), policy.Encrypted)
		seg.Verdicts(1).Add(set.Ref(i).Slot(), policy.Off)
	}
	m, _ := newSet(t, seg)
	f := scrape(t, m)
	got := ruleMetrics(t, f)
	if n := len(f["linecrypt_rule_connections_total"].GetMetric()); n != (maxRules+1)*int(policy.NumVerdicts) || len(got) != maxRules+1 {
		t.Errorf("%d series of %d rules", n, len(got))
	}
	sum := 0.0
	for _, r := range got {
		sum += r["encrypted"]
	}
	if o := got[otherRules]; o["encrypted"] != rules+1-maxRules || o["off"] != rules+1-maxRules || sum != rules+1 || got[policy.DefaultRule] == nil {
		t.Errorf("the others have %v, all together %v", o, sum)
	}
	if policy.CheckName(otherRules) == nil {
		t.Errorf("a rule may be called %s", otherRules)
	}
}

// TestNamesOfRulesAreServedAsTheyAre: what would have to be escaped is no name, and what may be one is what is read back.
func TestNamesOfRulesAreServedAsTheyAre(t *testing.T) {
	for _, name := range []string{"", "a\"b", "a\\b", "a\nb", "a b", "ä", "a{b}", "a=b"} {
		if policy.CheckName(name) == nil {
			t.Errorf("%q may be the name of a rule", name)
		}
	}
	seg, set := ruled(t, 1)
	seg.Verdicts(0).Add(set.Ref(0).Slot(), policy.Off)
	m, _ := newSet(t, seg)
	if got := ruleMetrics(t, scrape(t, m)); got["rule-0.a_B"]["off"] != 1 {
		t.Errorf("%v", got)
	}
}
