package pktgen

import (
	"strings"
	"testing"

	"linecrypt/bench/pktgen/scenario"
)

func TestALatencyScenarioFailsWhereItsRateDoesNotHold(t *testing.T) {
	sc := scenario.Default()
	sc.Measure, sc.Search.Loss = scenario.Latency, 1
	for _, tt := range []struct {
		name  string
		loads []Load
		want  string // "" for passed
	}{
		{"no rate was found", nil, "search.loss: no rate was found"},
		{"a load that lost", []Load{{Percent: 10}, {Percent: 90, Loss: 69.65}}, "search.loss: 69.65 % of the packets are lost at 90 % of the largest rate, more than 1"},
		{"as much as is allowed", []Load{{Percent: 10}, {Percent: 90, Loss: 1}}, ""},
	} {
		r := &Result{Measure: string(scenario.Latency), Loads: tt.loads}
		r.judge(sc, nil)
		if got := strings.Join(r.Failures, "; "); (tt.want == "") != (got == "") || !strings.Contains(got, tt.want) {
			t.Errorf("%s: %q", tt.name, got)
		}
	}
}

func TestAFewAllocationsAreTheRuntimesOwn(t *testing.T) {
	sc := scenario.Default()
	r := &Result{Allocs: 0.004, AllocsTotal: 4}
	if r.judge(sc, nil); len(r.Failures) > 0 {
		t.Errorf("%v", r.Failures)
	}
	r = &Result{Allocs: 0.004, AllocsTotal: 4000}
	if r.judge(sc, nil); len(r.Failures) != 1 {
		t.Errorf("%v", r.Failures)
	}
}
