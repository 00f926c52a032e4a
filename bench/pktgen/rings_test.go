//go:build dpdk && cgo

package pktgen

import (
	"context"
	"sync"
	"testing"

	"linecrypt/bench/pktgen/scenario"
	"linecrypt/dataplane/mbuf"
)

// ringPool is one for the process, as EAL is: that of the run which takes most.
var ringPool = sync.OnceValues(func() (mbuf.Pool, error) {
	sc, err := load([]string{"both"}, []string{"cores.workers=2"})
	if err != nil {
		return nil, err
	}
	p := &plan{sc: sc, kind: scenario.PortsRings}
	return p.startEAL(false)
})

// ringPlan makes the plan of a scenario over rings. Without huge pages this is refused, but for a test it goes.
func ringPlan(t *testing.T, sc *scenario.Scenario) *plan {
	t.Helper()
	p, err := newPlan(sc)
	if err != nil {
		t.Fatal(err)
	}
	if p.pool, err = ringPool(); err != nil {
		t.Fatal(err)
	}
	p.kind, p.set.ports = scenario.PortsRings, string(scenario.PortsRings)
	return p
}

func runOverRings(t *testing.T, sc *scenario.Scenario) *Result {
	t.Helper()
	d, err := ringPlan(t, sc).driver()
	if err != nil {
		t.Fatal(err)
	}
	res, err := driveAll(context.Background(), sc, d, &live{})
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func TestScenarioOverRingsOfDPDK(t *testing.T) {
	res := runOverRings(t, short(t, "both", "traffic.flows=50"))
	if len(res.Failures) > 0 || res.SegmentsMps <= 0 || res.Checksums != "gateway" {
		t.Errorf("%+v", res)
	}
}

func TestSeveralWorkersOverRingsOfDPDK(t *testing.T) {
	if len(allowed(t)) < 2 {
		t.Skip("it takes two cores")
	}
	for _, queues := range []string{"own", "one"} {
		severalRun(t, runOverRings(t, short(t, "both", "traffic.flows=100", "cores.workers=2", "ports.queues="+queues)), 2)
	}
}

func TestAForwarderOverRingsOfDPDK(t *testing.T) {
	modes := []string{"turns"}
	if len(allowed(t)) > 1 {
		modes = append(modes, "beside")
	}
	for _, mode := range modes {
		p := ringPlan(t, short(t, "latency", "traffic.flows=50", "cores.mode="+mode, "time.duration=20ms"))
		for range 2 { // the rings go and come again
			res := &Result{rate: 20_000, Loads: []Load{{Percent: 50, Latency: Latency{P50: 1, P99: 1}}}}
			if err := p.compareWithForwarder(context.Background(), res, &live{}); err != nil {
				t.Fatal(err)
			}
			if f := res.Loads[0].Forwarder; len(res.Failures) > 0 || f == nil || f.P50 <= 0 {
				t.Errorf("%s: %+v, %v", mode, f, res.Failures)
			}
		}
	}
}
