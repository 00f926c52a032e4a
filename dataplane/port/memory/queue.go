package memory

import (
	"fmt"

	"golang.org/x/sys/unix"

	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/port"
)

// queue is one queue pair of a Port.
type queue struct {
	rx, tx                    *ring
	cache                     *mbuf.Cache
	rxFlags                   uint64
	event                     int  // eventfd that rx.wake writes
	waited                    bool // the worker asked for the descriptor, so empty polls arm the bell
	noMbuf, tooLong, txErrors port.Count

	_ [56]byte // to whole cache lines: another worker's may follow
}

func newQueue(rx, tx *ring, cache *mbuf.Cache, rxFlags uint64) (*queue, error) {
	fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	q := &queue{rx: rx, tx: tx, cache: cache, rxFlags: rxFlags, event: fd}
	rx.wake = func() {
		one := [8]byte{1}
		_, _ = unix.Write(fd, one[:])
	}
	return q, nil
}

// RxBurst implements port.Queue: each frame is copied out of the ring into a buffer of the queue's cache.
func (q *queue) RxBurst(ms []*mbuf.Mbuf) int {
	n := q.receive(ms)
	if n == 0 && q.waited && !q.rx.armed.Load() {
		var count [8]byte
		_, _ = unix.Read(q.event, count[:])
		if !q.rx.arm() {
			n = q.receive(ms)
		}
	}
	return n
}

func (q *queue) receive(ms []*mbuf.Mbuf) int {
	for i := 0; i < len(ms); {
		frame := q.rx.peek()
		if frame == nil {
			return i
		}
		m := q.cache.Alloc()
		switch {
		case m == nil:
			q.noMbuf.Add(1)
		case !m.Append(frame):
			q.cache.Free(m)
			q.tooLong.Add(1)
		default:
			m.OlFlags = q.rxFlags
			ms[i] = m
			i++
		}
		q.rx.pop()
	}
	return len(ms)
}

// TxBurst implements port.Queue: each packet is copied into the ring; a full ring leaves the rest with the caller.
func (q *queue) TxBurst(ms []*mbuf.Mbuf) int {
	sent := 0
	for _, m := range ms {
		slot := q.tx.reserve()
		if slot == nil {
			break
		}
		if n := flatten(slot, m); n >= 0 {
			q.tx.commit(n)
		} else {
			q.txErrors.Add(1)
		}
		q.cache.Free(m)
		sent++
	}
	if sent > 0 {
		q.tx.notify()
	}
	return sent
}

// flatten copies the segments of m into dst and returns the packet's length, or -1 when it does not fit.
func flatten(dst []byte, m *mbuf.Mbuf) int {
	n := 0
	for ; m != nil; m = (*mbuf.Mbuf)(m.Next) {
		if int(m.DataLen) > len(dst)-n {
			return -1
		}
		n += copy(dst[n:], m.Data())
	}
	return n
}

// Stats implements port.Queue.
func (q *queue) Stats() port.Stats {
	return port.Stats{RxNoMbuf: q.noMbuf.Load(), RxSuperPacket: q.tooLong.Load(), TxErrors: q.txErrors.Load()}
}

// Fd implements port.Waiter. After it was called, a poll that finds nothing arms the descriptor.
func (q *queue) Fd() int {
	q.waited = true
	return q.event
}
