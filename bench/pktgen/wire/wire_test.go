package wire

import (
	"testing"

	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/port"
)

func newCache(t *testing.T, n int) *mbuf.Cache {
	t.Helper()
	a, err := mbuf.NewArena(n, mbuf.DefaultDataRoom)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return mbuf.NewCache(a)
}

func send(t *testing.T, w *Turn, c *mbuf.Cache, at ...int64) {
	t.Helper()
	for _, a := range at {
		m := c.Alloc()
		if m == nil || w.Send([]*mbuf.Mbuf{m}, []int64{a}) != 1 {
			t.Fatal("not sent")
		}
	}
}

func TestAPacketComesWhenItIsDue(t *testing.T) {
	c := newCache(t, 64)
	w := NewTurn("w", 8, true, c)
	send(t, w, c, 10, 20, 15) // the third was sent behind the second, and so comes behind it
	var ms [port.Burst]*mbuf.Mbuf
	for _, tt := range []struct {
		now        int64
		left, came int
	}{{9, 3, 0}, {10, 2, 1}, {19, 2, 0}, {20, 0, 2}} {
		left := w.Release(tt.now)
		n := w.RxBurst(ms[:])
		c.FreeBurst(ms[:n])
		if left != tt.left || n != tt.came {
			t.Errorf("at %d: %d came, %d are left", tt.now, n, left)
		}
	}
}

func TestAFullReceiveQueueLosesAndCounts(t *testing.T) {
	c := newCache(t, 64)
	w := NewTurn("w", 4, true, c)
	send(t, w, c, 0, 0, 0, 0, 0, 0)
	w.Release(0)
	if w.Waiting() != 4 || w.Missed() != 2 || w.Stats().RxMissed != 2 {
		t.Errorf("%d wait, %d are missed", w.Waiting(), w.Missed())
	}
	if err := w.Close(); err != nil || c.Avail() != 64 {
		t.Errorf("%d of 64 buffers are back, %v", c.Avail(), err)
	}
}

func TestWhatLeavesIsStampedOnce(t *testing.T) {
	c := newCache(t, 8)
	w := NewTurn("w", 4, true, c)
	w.TxBurst([]*mbuf.Mbuf{c.Alloc()})
	w.Stamp(5)
	w.TxBurst([]*mbuf.Mbuf{c.Alloc(), c.Alloc()})
	w.Stamp(7)
	w.Stamp(9)
	var ms [4]*mbuf.Mbuf
	var at [4]int64
	if n := w.Receive(ms[:], at[:]); n != 3 || at[0] != 5 || at[1] != 7 || at[2] != 7 {
		t.Errorf("%d came, at %v", n, at)
	}
	c.FreeBurst(ms[:3])
}

// loop is a queue that receives what was sent, as long as it has room.
type loop struct {
	ms   []*mbuf.Mbuf
	room int
}

func (l *loop) RxBurst(ms []*mbuf.Mbuf) int {
	n := copy(ms, l.ms)
	l.ms = l.ms[n:]
	return n
}

func (l *loop) TxBurst(ms []*mbuf.Mbuf) int {
	n := max(min(len(ms), l.room-len(l.ms)), 0)
	l.ms = append(l.ms, ms[:n]...)
	return n
}

func (l *loop) Stats() port.Stats { return port.Stats{} }

func TestAPacedWireHoldsBackAndCountsWhatFindsNoRoom(t *testing.T) {
	c := newCache(t, 64)
	w := NewPaced(&loop{room: 3}, c)
	var ms [6]*mbuf.Mbuf
	c.AllocBurst(ms[:])
	w.Send(ms[:], []int64{1, 2, 3, 4, 5, 6})
	if left := w.Release(2); left != 4 || w.Missed() != 0 {
		t.Errorf("%d are left, %d missed", left, w.Missed())
	}
	if left := w.Release(6); left != 0 || w.Missed() != 3 {
		t.Errorf("%d are left, %d missed", left, w.Missed())
	}
	w.Stamp(9)
	var at [6]int64
	if n := w.Receive(ms[:], at[:]); n != 3 || at[0] != 9 {
		t.Errorf("%d came, at %v", n, at)
	}
	c.FreeBurst(ms[:3])
	if c.Avail() != 64 {
		t.Errorf("%d of 64 buffers are back", c.Avail())
	}
}
