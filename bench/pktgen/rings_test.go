//go:build dpdk && cgo

package pktgen

import (
	"context"
	"testing"

	"linecrypt/bench/pktgen/scenario"
)

func TestScenarioOverRingsOfDPDK(t *testing.T) {
	sc := short(t, "both", "traffic.flows=50")
	p, err := newPlan(sc)
	if err != nil {
		t.Fatal(err)
	}
	// Without huge pages this is refused, but for a test it goes.
	p.kind, p.set.ports = scenario.PortsRings, string(scenario.PortsRings)
	d, err := p.driver()
	if err != nil {
		t.Fatal(err)
	}
	res, err := driveAll(context.Background(), sc, d, &live{})
	if err != nil {
		t.Fatal(err)
	}
	if len(res.Failures) > 0 || res.SegmentsMps <= 0 || res.Checksums != "gateway" {
		t.Errorf("%+v", res)
	}
}
