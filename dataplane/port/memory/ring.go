package memory

import (
	"encoding/binary"
	"sync/atomic"
)

// slotHeader is the length field in front of each frame of a ring.
const slotHeader = 4

// ring is a bounded queue of frames, copied in and copied out: one producer thread, one consumer thread, no lock. Its
// slots are laid out once, so that moving a frame allocates nothing.
type ring struct {
	slots  []byte
	stride int
	mask   uint64
	wake   func() // tells the consumer, which asked by arm, that frames came

	_          [64]byte
	head       atomic.Uint64 // frames pushed; written by the producer
	tailCached uint64        // the producer's last sight of tail
	_          [48]byte
	tail       atomic.Uint64 // frames popped; written by the consumer
	headCached uint64        // the consumer's last sight of head
	_          [48]byte
	armed      atomic.Bool // the consumer wants to be woken
}

// newRing makes a ring of frames slots (a power of two) of frameSize bytes each.
func newRing(frames, frameSize int) *ring {
	stride := (slotHeader + frameSize + 7) &^ 7
	return &ring{slots: make([]byte, frames*stride), stride: stride, mask: uint64(frames - 1)}
}

// reserve returns the body of the next free slot, or nil when the ring is full. Only the producer calls it.
func (r *ring) reserve() []byte {
	h := r.head.Load()
	if h-r.tailCached > r.mask {
		if r.tailCached = r.tail.Load(); h-r.tailCached > r.mask {
			return nil
		}
	}
	at := int(h&r.mask) * r.stride
	return r.slots[at+slotHeader : at+r.stride]
}

// commit publishes the slot that reserve returned as a frame of n bytes.
func (r *ring) commit(n int) {
	h := r.head.Load()
	binary.NativeEndian.PutUint32(r.slots[int(h&r.mask)*r.stride:], uint32(n))
	r.head.Store(h + 1)
}

// notify rings the consumer's bell if it waits. Called after a commit: both sides use sequentially consistent atomics, so either
// the producer sees armed or the consumer, which looks again after arming, sees the frame.
func (r *ring) notify() {
	if r.armed.Load() && r.armed.CompareAndSwap(true, false) {
		r.wake()
	}
}

// peek returns the oldest frame, or nil when the ring is empty. The slice is valid until pop. Only the consumer calls it.
func (r *ring) peek() []byte {
	t := r.tail.Load()
	if t == r.headCached {
		if r.headCached = r.head.Load(); t == r.headCached {
			return nil
		}
	}
	at := int(t&r.mask) * r.stride
	n := int(binary.NativeEndian.Uint32(r.slots[at:]))
	return r.slots[at+slotHeader : at+slotHeader+n]
}

// pop gives the slot that peek showed back to the producer.
func (r *ring) pop() { r.tail.Store(r.tail.Load() + 1) }

// arm asks for one wake-up at the next frame and reports whether the ring is still empty.
func (r *ring) arm() bool {
	r.armed.Store(true)
	return r.peek() == nil
}
