package wire

import (
	"testing"

	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/port"
)

// byFirst gives a frame to the queue that its first byte names.
type byFirst struct{}

func (byFirst) Worker(frame []byte, n int) int { return int(frame[0]) % n }

func frames(t *testing.T, c *mbuf.Cache, queues ...byte) []*mbuf.Mbuf {
	t.Helper()
	var ms []*mbuf.Mbuf
	for _, q := range queues {
		m := c.Alloc()
		if m == nil || !m.Append([]byte{q}) {
			t.Fatal("no buffer")
		}
		ms = append(ms, m)
	}
	return ms
}

func TestAFanGivesEachQueueItsFramesInOrderAndHoldsBackWhatFindsNoRoom(t *testing.T) {
	c := newCache(t, 64)
	loops := []*loop{{room: 2}, {room: 8}}
	f := NewFan([]*Queue{{Queue: loops[0], Clock: func() int64 { return 7 }}, {Queue: loops[1], Clock: func() int64 { return 7 }}}, byFirst{}, 8)
	ms := frames(t, c, 0, 1, 0, 0, 1)
	if n := f.Send(ms, make([]int64, 5)); n != 5 {
		t.Fatalf("took %d", n)
	}
	if len(loops[0].ms) != 2 || loops[0].ms[0] != ms[0] || loops[0].ms[1] != ms[2] || len(loops[1].ms) != 2 || loops[1].ms[1] != ms[4] {
		t.Errorf("%v, %v", loops[0].ms, loops[1].ms)
	}
	more := frames(t, c, 1)
	if n := f.Send(more, []int64{0}); n != 0 {
		t.Errorf("took %d while one waits", n)
	}
	got := 0
	var out [port.Burst]*mbuf.Mbuf
	var at [port.Burst]int64
	for range 3 {
		n := f.Receive(out[:], at[:])
		c.FreeBurst(out[:n])
		got += n
	}
	if got != 4 || at[0] != 7 {
		t.Errorf("%d came", got)
	}
	if n := f.Send(more, []int64{0}); n != 1 || len(loops[0].ms) != 1 || loops[0].ms[0] != ms[3] {
		t.Errorf("took %d; %v", n, loops[0].ms)
	}
	loops[0].room = 0
	f.Send(frames(t, c, 0, 0), make([]int64, 2))
	f.Free(c)
	for _, l := range loops {
		c.FreeBurst(l.ms)
	}
	if c.Avail() != 64 {
		t.Errorf("%d of 64 buffers are back", c.Avail())
	}
}

func TestClocksOfSeveralQueuesMoveTogether(t *testing.T) {
	c := newCache(t, 64)
	turns := Turns{NewTurn("a", 4, true, c), NewTurn("a", 4, true, c)}
	w := NewClocks([]Clocked{turns[0], turns[1]}, byFirst{}, 8)
	w.Send(frames(t, c, 0, 1, 1, 1, 1, 1), []int64{1, 2, 2, 2, 2, 2})
	if left := w.Release(1); left != 5 || w.Delivered() != 1 {
		t.Errorf("%d are left, %d delivered", left, w.Delivered())
	}
	if left := w.Release(2); left != 0 || w.Missed() != 1 || w.Delivered() != 5 {
		t.Errorf("%d are left, %d missed, %d delivered", left, w.Missed(), w.Delivered())
	}
	for q := range turns.Queues() {
		var ms [port.Burst]*mbuf.Mbuf
		n := turns.Queue(q).RxBurst(ms[:])
		turns.Queue(q).TxBurst(ms[:n])
	}
	w.Stamp(5)
	var ms [8]*mbuf.Mbuf
	var at [8]int64
	came := 0
	for n := w.Receive(ms[:], at[:]); n > 0; n = w.Receive(ms[:], at[:]) {
		came += n
		if at[0] != 5 {
			t.Errorf("stamped at %d", at[0])
		}
		c.FreeBurst(ms[:n])
	}
	if err := w.Close(); came != 5 || err != nil || c.Avail() != 64 || !turns.Caps().RSS {
		t.Errorf("%d came, %d buffers are back, %v", came, c.Avail(), err)
	}
}
