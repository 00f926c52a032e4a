package worker

import (
	"testing"

	"linecrypt/ctrlplane/shm"
	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/port"
)

func TestPacketsReceivedAheadAreWorkedByTheNextPollOrFreed(t *testing.T) {
	g := newRig(t, 4, 512, true)
	for _, q := range []*testQueue{g.in, g.out} {
		q.fill = func(m *mbuf.Mbuf) bool { return m.Append(make([]byte, 60)) }
		q.limit = 2 * port.Burst
	}
	for poll, want := range []uint64{2 * port.Burst, 4 * port.Burst, 4 * port.Burst} {
		g.w.Poll(g.now)
		if n := g.w.n[shm.PassedPackets]; n != want {
			t.Fatalf("%d packets have passed after poll %d, want %d", n, poll+1, want)
		}
	}
	g.in.limit = port.Burst - 1
	g.w.Poll(g.now)
	if g.w.got != [2]int{} {
		t.Fatalf("%v packets were received ahead behind bursts that were not full", g.w.got)
	}
	g.in.limit = 2 * port.Burst
	g.w.Poll(g.now) // half of them are left to Shutdown, after which all buffers must be back
}

func TestPortThatBroughtNothingAheadIsNotAskedBeforeTheOther(t *testing.T) {
	g := newRig(t, 4, 512, true)
	for _, q := range []*testQueue{g.in, g.out} {
		q.fill = func(m *mbuf.Mbuf) bool { return m.Append(make([]byte, 60)) }
	}
	g.in.limit = 3 * port.Burst
	g.w.Poll(g.now)
	g.out.limit = 1
	for poll, want := range []uint64{0, 1} { // what answers a packet must not overtake it
		g.w.Poll(g.now)
		if n := g.w.n[shm.RxOutsidePackets]; n != want {
			t.Fatalf("%d packets of the outside port were worked in poll %d, want %d", n, poll+2, want)
		}
	}
}
