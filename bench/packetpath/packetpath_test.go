package packetpath

import (
	"errors"
	"fmt"
	"testing"

	"linecrypt/ctrlplane/shm"
)

func newWorld(t testing.TB, o Options) *World {
	t.Helper()
	w, err := New(o)
	if errors.Is(err, ErrMemory) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

func TestEveryPacketComesOutRightAndNothingIsAllocated(t *testing.T) {
	for _, flows := range []int{1, 1000} {
		for _, plain := range []bool{false, true} {
			w := newWorld(t, Options{Flows: flows, Plain: plain})
			for _, c := range Cases() {
				if (c == Pass) != plain {
					continue
				}
				for _, l := range []Load{{Size: 64}, {Size: 1380}, {Size: 100, DataPerAck: 1, Apart: 7, Lag: 100, Batch: 500}} {
					l.Case = c
					t.Run(fmt.Sprintf("%s/flows=%d/%d", c, flows, l.Size), func(t *testing.T) {
						r, err := w.Measure(l, 30_000)
						if err != nil {
							t.Fatal(err)
						}
						if r.Allocs != 0 {
							t.Errorf("%d allocations", r.Allocs)
						}
						want := float64(r.DataPerAck) / float64(r.DataPerAck+1)
						if share := float64(r.Segments) / float64(r.Packets); share < want-0.01 || share > want+0.01 {
							t.Errorf("%.3f of the packets carry data, not %.3f", share, want)
						}
						if r.Mpps <= 0 || r.Stages[shm.StageRx.String()] <= 0 || r.NsSegment < r.NsPacket {
							t.Errorf("figures do not agree: %+v", r)
						}
					})
				}
			}
		}
	}
}
