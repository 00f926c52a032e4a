package afxdp

import (
	"sync/atomic"

	"golang.org/x/sys/unix"

	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/port"
)

// queue is the one queue pair of a Port. One worker at a time uses it.
type queue struct {
	*port.Descriptor
	cache *mbuf.Cache
	at    *attachment                // the worker's own
	next  atomic.Pointer[attachment] // what the worker is to go over to, nil for nothing
	looks port.Inspector
	counts

	// What follows belongs to the goroutine that opens, follows and closes the port.
	current *attachment // in use or handed over
	before  port.Stats  // of what was in use earlier, as the kernel counted it
}

func newQueue(cache *mbuf.Cache) (*queue, error) {
	d, err := port.NewDescriptor()
	if err != nil {
		return nil, err
	}
	return &queue{Descriptor: d, cache: cache, at: &attachment{promisc: -1}}, nil
}

// RxBurst implements port.Queue. Each socket is the first in its turn, so that a full one does not keep the others waiting.
func (q *queue) RxBurst(ms []*mbuf.Mbuf) int {
	a, n := q.at, 0
	longest := int(a.maxFrame.Load())
	for i := range a.sockets {
		if n == len(ms) {
			break
		}
		n += q.receive(a.sockets[(a.turn+i)%len(a.sockets)], ms[n:], longest)
	}
	if len(a.sockets) > 1 {
		a.turn = (a.turn + 1) % len(a.sockets)
	}
	if n == 0 {
		q.rest()
		return 0
	}
	q.looks.Look(ms[:n])
	return n
}

// rest is what a poll does that found nothing: it sends what the kernel left at the last time, and goes over to other sockets where there are
// some.
func (q *queue) rest() {
	if a := q.at; len(a.sockets) > 0 && a.sockets[0].waits {
		q.wake(a)
	}
	if next := q.next.Load(); next != nil && q.next.CompareAndSwap(next, nil) {
		q.drop()
		q.at = next
	}
}

// receive takes packets from a socket, and gives the chunks that they came in back to the kernel.
func (q *queue) receive(s *socket, ms []*mbuf.Mbuf, longest int) (n int) {
	var used, back uint32
	for filled := s.rx.filled(); used < filled && n < len(ms); used++ {
		d := *s.rx.slot(used) // read once: the kernel could change it
		b, chunk, sound := s.piece(d)
		if m := s.gather.add(b, sound, d.Options&unix.XDP_PKT_CONTD != 0, longest, q.cache, &q.counts); m != nil {
			ms[n] = m
			n++
		}
		// There are as many chunks as the ring has entries, so there is always room for one, unless it is not one of this socket's.
		if d.Addr < uint64(s.received) {
			*s.fill.slot(back) = chunk
			back++
		}
	}
	if used == 0 {
		return 0
	}
	s.rx.release(used)
	s.fill.publish(back)
	if s.fill.asleep() {
		_, _, _ = unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(s.fd), 0, 0, unix.MSG_DONTWAIT, 0, 0)
	}
	return n
}

// drop frees what has come of packets that are not whole.
func (q *queue) drop() {
	for _, s := range q.at.sockets {
		s.gather.drop(q.cache)
	}
}

// Stats implements port.Queue.
func (q *queue) Stats() port.Stats {
	s := q.before
	if q.current != nil {
		s.Add(q.current.stats())
	}
	s.Add(port.Stats{RxNoMbuf: q.noMbuf.Load(), RxSuperPacket: q.superPackets.Load(), RxTruncated: q.truncated.Load(),
		RxCsumUnfinished: q.looks.Unfinished(), TxErrors: q.txErrors.Load()})
	return s
}

// hand gives the worker something else to poll, after which taken says when it has let go of what it polled until then.
func (q *queue) hand(a *attachment) error {
	if q.current == nil {
		q.at = a
	} else {
		q.next.Store(a)
	}
	q.current = a
	return q.Watch(a.fds()...)
}

// taken reports whether the worker polls what it was given last.
func (q *queue) taken() bool { return q.next.Load() == nil }
