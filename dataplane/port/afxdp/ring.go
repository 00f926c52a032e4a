package afxdp

import (
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// ring is one side of a ring that a socket shares with the kernel, as <linux/if_xdp.h> has it: entries, of which there is a power of two, and
// two indices that only grow, each written by one side. What is read of the kernel's index is never trusted to be in bounds.
type ring[E any] struct {
	producer, consumer, flags *atomic.Uint32
	entries                   []E
	mine                      uint32 // the index of this side; the other one's is read where it is needed
}

// slot returns entry i behind this side's index.
func (r *ring[E]) slot(i uint32) *E { return &r.entries[(r.mine+i)&uint32(len(r.entries)-1)] }

// filled returns how many entries wait for this side, which consumes.
func (r *ring[E]) filled() uint32 {
	if n := r.producer.Load() - r.mine; n <= uint32(len(r.entries)) {
		return n
	}
	return 0
}

// release gives n entries back that this side has consumed.
func (r *ring[E]) release(n uint32) {
	r.mine += n
	r.consumer.Store(r.mine)
}

// unread returns how many entries of this side, which produces, the other one has not consumed.
func (r *ring[E]) unread() uint32 {
	return min(r.mine-r.consumer.Load(), uint32(len(r.entries)))
}

// room returns how many entries this side, which produces, may fill.
func (r *ring[E]) room() uint32 { return uint32(len(r.entries)) - r.unread() }

// publish hands over n entries that this side has filled.
func (r *ring[E]) publish(n uint32) {
	r.mine += n
	r.producer.Store(r.mine)
}

// asleep reports whether the kernel wants a system call to go on with what the ring holds.
func (r *ring[E]) asleep() bool { return r.flags.Load()&unix.XDP_RING_NEED_WAKEUP != 0 }
