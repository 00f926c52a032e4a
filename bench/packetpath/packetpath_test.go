package packetpath

import (
	"errors"
	"fmt"
	"testing"

	"linecrypt/ctrlplane/shm"
	"linecrypt/flowtable"
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
	for _, flows := range []int{1, 64, 1000} {
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
						// The runtime counts for the whole process, which may have done something else; a packet path that allocates does so
						// each time.
						for range 3 {
							if err != nil || r.Allocs == 0 {
								break
							}
							r, err = w.Measure(l, 30_000)
						}
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

// begun returns a world of a load that has come out right so far, and the batch that left last.
func begun(t *testing.T, l Load) (*World, *batch, *shm.Block) {
	t.Helper()
	w := newWorld(t, Options{Flows: 10})
	l = l.withDefaults()
	w.begin(l)
	if err := w.run(nil, l, txRing/2, true); err != nil {
		t.Fatal(err)
	}
	b, before := new(batch), *w.n
	if err := w.fill(b, l, txRing/2); err != nil {
		t.Fatal(err)
	}
	for range b.bursts {
		w.worker.Poll(w.now())
	}
	if err := errors.Join(w.count(b, &before), w.look(b, true)); err != nil {
		t.Fatal(err)
	}
	return w, b, &before
}

func TestWrongPacketsAreNoticed(t *testing.T) {
	type sent struct {
		w *World
		b *batch
		n *shm.Block
	}
	latest := func(w *World, s flowtable.Side) []byte {
		q := w.queues[s]
		return q.tx[(q.txNext+txRing-1)%txRing].Data()
	}
	for _, tt := range []struct {
		name string
		c    Case
		harm func(s sent)
	}{
		{"tag", Seal, func(s sent) { b := latest(s.w, flowtable.Outside); b[len(b)-1] ^= 1 }},
		{"ciphertext", Seal, func(s sent) { latest(s.w, flowtable.Outside)[payloadAt+9] ^= 1 }},
		{"plaintext", Open, func(s sent) { latest(s.w, flowtable.Inside)[payloadAt+9] ^= 1 }},
		{"sequence number", Open, func(s sent) { latest(s.w, flowtable.Inside)[tcpAt+7] ^= 1 }},
		{"acknowledgement", Seal, func(s sent) { latest(s.w, flowtable.Outside)[tcpAt+11] ^= 1 }},
		{"timestamp", Open, func(s sent) { latest(s.w, flowtable.Inside)[optionsAt+4] ^= 1 }},
		{"IP checksum", Open, func(s sent) { latest(s.w, flowtable.Inside)[ipAt+11] ^= 1 }},
		{"one twice", Seal, func(s sent) {
			q := s.w.queues[flowtable.Outside]
			copy(q.tx[(q.txNext+txRing-2)%txRing].Data(), latest(s.w, flowtable.Outside))
		}},
		{"one missing", Seal, func(s sent) { s.w.queues[flowtable.Outside].packets-- }},
		{"one dropped by name", Seal, func(s sent) { s.w.n[shm.DropEgressGap]++ }},
		{"a frame too many", Open, func(s sent) { s.w.n[shm.OpenedFrames]++ }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, b, before := begun(t, Load{Case: tt.c, Size: 64})
			tt.harm(sent{w, b, before})
			if err := errors.Join(w.count(b, before), w.look(b, true)); !errors.Is(err, ErrWrong) {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestBadLoadsAreRefused(t *testing.T) {
	w := newWorld(t, Options{Flows: 2})
	for _, l := range []Load{
		{Case: "sael", Size: 64}, {Case: Pass, Size: 64}, {Case: Seal}, {Case: Seal, Size: MaxSize + 1}, {Case: Seal, Size: 64, DataPerAck: 9},
		{Case: Seal, Size: 64, Apart: -1}, {Case: Seal, Size: 64, Lag: 5000}, {Case: Seal, Size: 64, Batch: 1 << 20},
	} {
		if _, err := w.Measure(l, 1000); err == nil || errors.Is(err, ErrWrong) {
			t.Errorf("%+v: error %v", l, err)
		}
	}
	for _, flows := range []int{0, MaxFlows + 1} {
		if _, err := New(Options{Flows: flows}); err == nil {
			t.Errorf("%d flows are accepted", flows)
		}
	}
}

func TestLargestSegmentsFit(t *testing.T) {
	w := newWorld(t, Options{Flows: 3})
	if _, err := w.Measure(Load{Case: Both, Size: MaxSize, Batch: 512}, 2000); err != nil {
		t.Error(err)
	}
}

func TestHeadersAreReadAsTheyWereWritten(t *testing.T) {
	for _, flow := range []int64{0, 1, 5, 999_999, MaxFlows - 1} {
		_, peer, _, peerP := ends(flow)
		if got := flowOf(peer, peerP); got != flow {
			t.Errorf("flow %d is taken for %d", flow, got)
		}
	}
}

func TestMedianIsOfTheMiddleRun(t *testing.T) {
	r := Median([]Result{{Mpps: 3, Allocs: 1}, {Mpps: 1}, {Mpps: 2, Allocs: 4}})
	if r.Mpps != 2 || r.Allocs != 5 {
		t.Errorf("%+v", r)
	}
}
