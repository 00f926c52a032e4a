package spread

import (
	"sync/atomic"

	"linecrypt/dataplane/mbuf"
)

// apart is how far from each other in bytes lie what two cores write: two cache lines, because a core fetches them in pairs.
const apart = 128

// ring is a bounded queue of packets: one producer and one consumer at a time. Either role may go from thread to thread, if something
// else orders their uses (the turn does).
type ring struct {
	slots []*mbuf.Mbuf
	mask  uint64
	_     [apart]byte

	// The producer's.
	head     atomic.Uint64 // packets published
	put      uint64        // packets in the ring, published or not
	tailSeen uint64        // what tail was when it was last looked at
	_        [apart]byte

	// The consumer's.
	tail     atomic.Uint64 // packets taken
	headSeen uint64        // what head was when it was last looked at
	_        [apart]byte
}

// init makes room for n packets, a power of two.
func (r *ring) init(n int) {
	r.slots = make([]*mbuf.Mbuf, n)
	r.mask = uint64(n - 1)
}

// add puts a packet into the ring, which the consumer sees at the next publish, and reports whether there was room.
func (r *ring) add(m *mbuf.Mbuf) bool {
	if r.put-r.tailSeen > r.mask {
		if r.tailSeen = r.tail.Load(); r.put-r.tailSeen > r.mask {
			return false
		}
	}
	r.slots[r.put&r.mask] = m
	r.put++
	return true
}

// publish shows the consumer what was added and reports whether there was something.
func (r *ring) publish() bool {
	if r.head.Load() == r.put {
		return false
	}
	r.head.Store(r.put)
	return true
}

// peek copies up to len(ms) packets from the front and returns how many; they stay in the ring.
func (r *ring) peek(ms []*mbuf.Mbuf) int {
	t := r.tail.Load()
	if r.headSeen-t < uint64(len(ms)) {
		r.headSeen = r.head.Load()
	}
	n := int(min(r.headSeen-t, uint64(len(ms))))
	for i := range n {
		ms[i] = r.slots[(t+uint64(i))&r.mask]
	}
	return n
}

// drop takes n packets from the front that peek has shown.
func (r *ring) drop(n int) { r.tail.Store(r.tail.Load() + uint64(n)) }

// take moves up to len(ms) packets from the front to ms.
func (r *ring) take(ms []*mbuf.Mbuf) int {
	n := r.peek(ms)
	if n > 0 {
		r.drop(n)
	}
	return n
}

// empty reports whether nothing is there to be taken. Any thread may ask.
func (r *ring) empty() bool { return r.head.Load() == r.tail.Load() }
