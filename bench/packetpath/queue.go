package packetpath

import (
	"sync/atomic"

	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/port"
)

// txRing is the number of sent buffers that a queue keeps, as a NIC's ring does until it has sent them.
const txRing = 1024

// rxGood is what a port says of a packet whose checksums it has verified.
const rxGood = mbuf.RxL4CksumGood | mbuf.RxIPCksumGood

// descriptor is a received packet as a NIC describes it.
type descriptor struct {
	m *mbuf.Mbuf
	n uint16 // bytes
}

// queue is a port queue in memory. The harness fills it while the clock stands; each poll takes one burst of what is in it.
type queue struct {
	cache *mbuf.Cache // the worker's, as a driver shares it

	rx   []descriptor
	ends []int // of the bursts, as places in rx
	next int
	turn int          // burst of the next poll
	peer *queue       // of several workers: the other port's
	came atomic.Int64 // bursts taken, for the peer

	tx      [txRing]*mbuf.Mbuf
	old     [txRing]*mbuf.Mbuf // to be freed
	txNext  int
	packets uint64 // sent, ever
	refused uint64 // polls that did not take all of their burst
}

// RxBurst implements port.Queue.
func (q *queue) RxBurst(ms []*mbuf.Mbuf) int {
	if q.peer != nil {
		return q.share(ms)
	}
	return q.take(ms)
}

// share takes as many bursts as fit, but not far more than were taken at the other port: each of several workers asks for all.
func (q *queue) share(ms []*mbuf.Mbuf) (n int) {
	until := int(q.peer.came.Load()) + window
	if until >= len(q.peer.ends)+window {
		until = len(q.ends) // it has nothing more
	}
	for q.turn < until && q.turn < len(q.ends) && q.ends[q.turn]-q.next <= len(ms)-n {
		n += q.take(ms[n:])
	}
	q.came.Store(int64(q.turn))
	return n
}

// take takes a burst.
func (q *queue) take(ms []*mbuf.Mbuf) int {
	if q.turn == len(q.ends) {
		return 0
	}
	from, to := q.next, q.ends[q.turn]
	q.turn++
	if to-from > len(ms) {
		q.refused++
		to = from + len(ms)
	}
	for i, d := range q.rx[from:to] {
		ms[i] = d.m
	}
	mbuf.PrefetchStructs(ms[:to-from])
	for _, d := range q.rx[from:to] {
		d.m.SetBounds(mbuf.Headroom, int(d.n))
		d.m.NbSegs, d.m.OlFlags = 1, rxGood
	}
	q.next = to
	return to - from
}

// TxBurst implements port.Queue.
func (q *queue) TxBurst(ms []*mbuf.Mbuf) int {
	for sent := ms; len(sent) > 0; {
		place := q.tx[q.txNext:min(q.txNext+len(sent), txRing)]
		n := 0
		for _, m := range place {
			if m != nil {
				q.old[n] = m
				n++
			}
		}
		q.cache.FreeBurst(q.old[:n])
		sent = sent[copy(place, sent):]
		q.txNext = (q.txNext + len(place)) % txRing
	}
	q.packets += uint64(len(ms))
	return len(ms)
}

// Stats implements port.Queue.
func (q *queue) Stats() port.Stats { return port.Stats{} }

// begin empties the receive side, all of which was polled, for the next batch.
func (q *queue) begin() {
	q.rx, q.ends, q.next, q.turn = q.rx[:0], q.ends[:0], 0, 0
	q.came.Store(0)
}

// put adds a packet of n bytes to the burst being made.
func (q *queue) put(m *mbuf.Mbuf, n int) { q.rx = append(q.rx, descriptor{m, uint16(n)}) }

// endBurst ends the burst being made, which may be empty.
func (q *queue) endBurst() { q.ends = append(q.ends, len(q.rx)) }

// made is the number of packets in the burst being made.
func (q *queue) made() int {
	if len(q.ends) == 0 {
		return len(q.rx)
	}
	return len(q.rx) - q.ends[len(q.ends)-1]
}

// latest calls f for the n packets sent last, the oldest of them first.
func (q *queue) latest(n int, f func(m *mbuf.Mbuf) error) error {
	n = min(n, txRing)
	for i := range n {
		if m := q.tx[(q.txNext-n+i+txRing)%txRing]; m != nil {
			if err := f(m); err != nil {
				return err
			}
		}
	}
	return nil
}
