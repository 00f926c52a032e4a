package packetpath

import (
	"fmt"
	"slices"
	"testing"
)

func TestOrderAgreesWithCounting(t *testing.T) {
	for _, c := range []struct{ flows, turn, apart, shift int }{
		{1, 1, 1, 0}, {1, 2, 64, 0}, {7, 2, 64, 3}, {1000, 2, 64, 0}, {64, 3, 16, 32}, {12, 1, 5, 6},
	} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			o := newOrder(c.flows, c.turn, c.apart, c.shift)
			if o.flows%o.apart != 0 || o.apart > int64(max(c.apart, 1)) {
				t.Fatalf("groups of %d", o.apart)
			}
			sent, acked := make([]int64, c.flows), make([]int64, c.flows)
			v := int64(0)
			for d := range int64(3*c.flows*c.turn + 5) {
				flow, before := o.data(d)
				if before != sent[flow] {
					t.Fatalf("segment %d: flow %d sent %d, not %d", d, flow, sent[flow], before)
				}
				if n := o.number(flow, before); n != d {
					t.Fatalf("segment %d is taken for %d", d, n)
				}
				sent[flow]++
				for ; o.last(v) <= d; v++ {
					flow, segments := o.ack(v)
					if acked[flow] += o.turn; segments != acked[flow] || segments > sent[flow] {
						t.Fatalf("acknowledgement %d: %d of %d segments, not %d", v, segments, sent[flow], acked[flow])
					}
				}
				for f := range int64(c.flows) {
					if o.sent(f, d+1) != sent[f] || o.acked(f, v) != acked[f] {
						t.Fatalf("behind segment %d: flow %d sent %d and %d are acknowledged, not %d and %d", d, f, o.sent(f, d+1), o.acked(f, v), sent[f], acked[f])
					}
				}
				if (d+1)%(o.turn*o.flows) == 0 && slices.Min(sent) != slices.Max(sent) {
					t.Fatalf("flows are not level behind segment %d", d)
				}
			}
		})
	}
}

func TestSegmentsOfAFlowAreApart(t *testing.T) {
	o := newOrder(1000, 2, 64, 0)
	last := map[int64]int64{}
	for d := range int64(4000) {
		flow, before := o.data(d)
		if before%2 == 1 && d-last[flow] < 32 {
			t.Fatalf("flow %d: segments %d and %d lie in one burst", flow, last[flow], d)
		}
		last[flow] = d
	}
}
