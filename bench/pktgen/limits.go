package pktgen

import (
	"fmt"

	"linecrypt/bench/pktgen/scenario"
)

// runtimeAllocs is how many allocations a packet the Go runtime is allowed by itself: its background work goes on while a run, which may
// be short, is measured.
const runtimeAllocs = 0.001

// fewAllocs is how many it is allowed where few packets are measured.
const fewAllocs = 100

// judge notes which limits are not kept, and what was wrong.
func (r *Result) judge(sc *scenario.Scenario, faults []error) {
	r.Failures = []string{}
	fail := func(format string, args ...any) { r.Failures = append(r.Failures, fmt.Sprintf(format, args...)) }
	if r.Wrong > 0 {
		fail("%d packets out of the gateway are not what they should be", r.Wrong)
		for _, err := range faults {
			fail("%v", err)
		}
	}
	if r.Incomplete {
		return // what there is says little about limits
	}
	l := &sc.Limits
	if l.Loss >= 0 && r.Loss > l.Loss {
		fail("limits.loss: %.4g %% of the data never arrived, more than %.4g", r.Loss, l.Loss)
	}
	if sc.Measure == scenario.LossFree && (r.Mpps == 0 || r.PacketLoss > sc.Search.Loss) || sc.Measure == scenario.Latency && len(r.Loads) == 0 {
		fail("search.loss: no rate was found at which no more than %.4g %% of the packets are lost", sc.Search.Loss)
	}
	if r.Mpps < l.Mpps {
		fail("limits.mpps: %.3f are fewer than %.3f", r.Mpps, l.Mpps)
	}
	if r.GoodputGbps < l.GoodputGbps {
		fail("limits.goodput_gbps: %.3f are fewer than %.3f", r.GoodputGbps, l.GoodputGbps)
	}
	if l.Allocs >= 0 && r.Allocs > l.Allocs+runtimeAllocs && r.AllocsTotal > fewAllocs {
		fail("limits.allocs: %.3g allocations a packet are more than %.3g", r.Allocs, l.Allocs)
	}
	if l.AllocsTotal >= 0 && r.AllocsTotal > uint64(l.AllocsTotal) {
		fail("limits.allocs_total: %d allocations are more than %d", r.AllocsTotal, l.AllocsTotal)
	}
	if l.GCCycles >= 0 && r.GCCycles > uint64(l.GCCycles) {
		fail("limits.gc_cycles: %d garbage collections are more than %d", r.GCCycles, l.GCCycles)
	}
	if sc.Measure == scenario.Handshakes && r.HandshakesPerSecond < l.Handshakes {
		fail("limits.handshakes: %.0f a second are fewer than %.0f", r.HandshakesPerSecond, l.Handshakes)
	}
	for _, at := range r.Loads {
		if at.Loss > sc.Search.Loss {
			fail("search.loss: %.4g %% of the packets are lost at %d %% of the largest rate, more than %.4g", at.Loss, at.Percent, sc.Search.Loss)
		}
		if p := l.P50.Seconds() * 1e6; p > 0 && at.P50 > p {
			fail("limits.p50: %.2f us at %d %% are more than %.2f", at.P50, at.Percent, p)
		}
		if p := l.P99.Seconds() * 1e6; p > 0 && at.P99 > p {
			fail("limits.p99: %.2f us at %d %% are more than %.2f", at.P99, at.Percent, p)
		}
	}
}
