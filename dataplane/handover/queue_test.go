package handover

import (
	"bytes"
	"encoding/binary"
	"runtime"
	"testing"
)

func TestMessagesComeInOrderFromOneThreadToAnother(t *testing.T) {
	const total = 50_000
	q := NewCircle(2).Next(0)
	go func() {
		for n := uint64(0); n < total; {
			m := q.Reserve()
			if m == nil {
				runtime.Gosched()
				continue
			}
			b := make([]byte, 8+n%1400)
			binary.BigEndian.PutUint64(b, n)
			m.Kind, m.Hops = Packet, uint8(n)
			m.SetPacket(b)
			q.Commit()
			n++
		}
	}()
	for n := uint64(0); n < total; {
		m := q.Peek()
		if m == nil {
			runtime.Gosched()
			continue
		}
		if b := m.Bytes(); binary.BigEndian.Uint64(b) != n || uint64(len(b)) != 8+n%1400 || m.Hops != uint8(n) {
			t.Fatalf("message %d: %x of %d bytes, %d hops", n, b[:8], len(b), m.Hops)
		}
		q.Release()
		n++
	}
	if q.Peek() != nil {
		t.Error("a message that was never sent")
	}
}

func TestFullQueueRefusesUntilOneIsReleased(t *testing.T) {
	q := new(Queue)
	for i := range slots {
		if q.Reserve() == nil {
			t.Fatalf("full behind %d messages", i)
		}
		q.Commit()
	}
	if q.Reserve() != nil {
		t.Fatal("more messages than slots")
	}
	q.Peek()
	q.Release()
	if q.Reserve() == nil {
		t.Error("a released slot is not free")
	}
}

func TestCircleLeadsThroughEveryWorkerAndBack(t *testing.T) {
	c := NewCircle(3)
	at := 0
	for range c.Workers() {
		q := c.Next(at)
		at = (at + 1) % c.Workers()
		if c.Before(at) != q {
			t.Fatalf("worker %d does not read what its neighbour writes", at)
		}
	}
	if at != 0 {
		t.Error("the circle does not close")
	}
}

func TestPacketThatDoesNotFitIsRefused(t *testing.T) {
	var m Message
	if m.SetPacket(make([]byte, maxPacket+1)) {
		t.Error("taken")
	}
	if b := bytes.Repeat([]byte{3}, maxPacket); !m.SetPacket(b) || !bytes.Equal(m.Bytes(), b) {
		t.Error("a packet as long as a buffer does not come through")
	}
}

func TestHandingOverAllocatesNothing(t *testing.T) {
	q, b := new(Queue), make([]byte, 600)
	if n := testing.AllocsPerRun(100, func() {
		q.Reserve().SetPacket(b)
		q.Commit()
		q.Peek()
		q.Release()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
