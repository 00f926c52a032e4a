package spread

import (
	"fmt"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/port"
)

// queue is what one worker polls of a Port.
type queue struct {
	p      *Port
	index  int
	event  int  // eventfd that is written when rx has something for a worker that sleeps
	waited bool // the worker asked for the descriptors, so that empty polls arm the bell

	// The worker's own while it has the turn.
	mine  ring    // what it has received for itself, and not taken yet: older than what is in rx
	to    []*ring // by worker: where packets for it go
	burst [maxBurst]*mbuf.Mbuf
	_     [apart]byte

	rx    ring // from whose turn it is to the worker
	armed atomic.Bool
	_     [apart]byte

	tx   ring       // from the worker to whose turn it is
	full port.Count // packets for which rx had no room; whose turn it is adds
	_    [apart]byte
}

func newQueue(p *Port, index, rx, tx int) (*queue, error) {
	fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	q := &queue{p: p, index: index, event: fd}
	q.mine.init(maxBurst)
	q.rx.init(rx)
	q.tx.init(tx)
	return q, nil
}

// RxBurst implements port.Queue.
func (q *queue) RxBurst(ms []*mbuf.Mbuf) int {
	n := q.take(ms)
	switch {
	case n == 0 || n < len(ms)/2:
		if n += q.poll(ms[n:]); n == 0 && q.waited {
			n = q.arm(ms)
		}
	case !q.tx.empty():
		q.flush()
	}
	return n
}

// take takes what is there already.
func (q *queue) take(ms []*mbuf.Mbuf) int {
	n := 0
	if !q.mine.empty() {
		n = q.mine.take(ms)
	}
	return n + q.takeOthers(ms[n:])
}

// takeOthers takes what another worker has received: what that wrote of a packet comes from its core, and is asked for before it is looked at.
func (q *queue) takeOthers(ms []*mbuf.Mbuf) int {
	n := q.rx.take(ms)
	mbuf.PrefetchStructs(ms[:n])
	return n
}

// poll receives from the device for all workers, if nobody else does.
func (q *queue) poll(ms []*mbuf.Mbuf) int {
	p := q.p
	if !p.take() {
		return 0
	}
	// Only whose turn it is adds to the ring, so what is not in it now is not before what the device has.
	n := q.takeOthers(ms)
	if n < len(ms) {
		p.receive(q)
		n += q.mine.take(ms[n:])
	}
	p.give(q, p.send(q))
	return n
}

// flush sends what is left in the ring, if nobody has the turn. Who has it does so.
func (q *queue) flush() {
	if q.p.take() {
		q.p.give(q, q.p.send(q))
	}
}

// TxBurst implements port.Queue. A full ring, or a full device, leaves packets with the caller.
func (q *queue) TxBurst(ms []*mbuf.Mbuf) int {
	p := q.p
	if q.tx.empty() && p.take() {
		n := p.q.TxBurst(ms)
		p.give(q, n < len(ms) || p.send(q))
		return n
	}
	n := 0
	for n < len(ms) && q.tx.add(ms[n]) {
		n++
	}
	q.tx.publish()
	q.flush()
	return n
}

// wake rings the worker's bell if it sleeps. It comes behind publish, and arm looks at the ring behind the bell: with both in one
// order for all threads, one of the two sees the other.
func (q *queue) wake() {
	if q.armed.Load() && q.armed.CompareAndSwap(true, false) {
		one := [8]byte{1}
		_, _ = unix.Write(q.event, one[:])
	}
}

// arm asks for the bell, and takes what came before it did.
func (q *queue) arm(ms []*mbuf.Mbuf) int {
	if q.armed.Load() {
		return 0
	}
	var count [8]byte
	_, _ = unix.Read(q.event, count[:])
	q.armed.Store(true)
	return q.takeOthers(ms)
}

// Fds implements port.MultiWaiter. After it was called, a poll that finds nothing arms the worker's own descriptor.
func (q *queue) Fds() []int {
	if q.p.fds == nil {
		return nil
	}
	q.waited = true
	return append([]int{q.event}, q.p.fds...)
}

// Stats implements port.Queue. What the device counts stands in queue 0.
func (q *queue) Stats() port.Stats {
	s := port.Stats{RxSpreadFull: q.full.Load()}
	if q.index == 0 {
		s.Add(q.p.dev.Queue(0).Stats())
	}
	return s
}

func (q *queue) close() error {
	if err := unix.Close(q.event); err != nil {
		return fmt.Errorf("close eventfd: %w", err)
	}
	return nil
}
