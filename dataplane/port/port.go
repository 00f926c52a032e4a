// Package port is the interface between the pipeline and whatever moves packets: DPDK poll-mode drivers, AF_PACKET
// and AF_XDP sockets, or memory for tests. It holds the interface and the small types it speaks in; the kinds of port live in the
// packages below it, and Open in package portspec chooses among them.
package port

import (
	"errors"
	"time"

	"linecrypt/dataplane/mbuf"
)

// Burst is the number of packets a worker asks for and hands over at a time, LargeBurst that at ports with Caps.LargeBursts. It is a
// compromise: what is done once in a burst, and the first misses of each of its loops, cost less of each packet in a longer one, and what
// one burst touches is to stay in the caches of the core.
const (
	Burst      = 64
	LargeBurst = 2 * Burst
)

// Queue is one receive and one transmit queue of a port. One worker polls it; it is not safe for concurrent use, except for Stats.
// It stays the same while the port's device goes away and comes back.
type Queue interface {
	// RxBurst fills ms with received packets and returns how many there are, without waiting. The caller owns them. A packet
	// is one buffer (never a chain); its OlFlags say what the port verified of its checksums.
	RxBurst(ms []*mbuf.Mbuf) int
	// TxBurst sends packets in order and returns how many it took; it owns those from then on, the caller keeps the rest.
	TxBurst(ms []*mbuf.Mbuf) int
	// Stats returns the queue's own counters since it was opened. It may have to ask the device, which can be slow, so it is not
	// for the worker, but for the goroutine that calls Port.Follow.
	Stats() Stats
}

// Waiter is implemented by queues that can sleep until a packet may have arrived. A worker that backs off when idle uses
// it; busy polling does not.
type Waiter interface {
	// Fd returns a file descriptor that polls readable when packets are waiting. It is the same as long as the port is open.
	Fd() int
}

// MultiWaiter is implemented by queues that have several descriptors to wait for, instead of Waiter.
type MultiWaiter interface {
	// Fds returns the descriptors, nil where the queue cannot be waited for. They are the same as long as the port is open.
	Fds() []int
}

// Fds returns the descriptors by which a queue can be waited for, nil when there are none.
func Fds(q Queue) []int {
	switch w := q.(type) {
	case MultiWaiter:
		return w.Fds()
	case Waiter:
		return []int{w.Fd()}
	}
	return nil
}

// Caps says what a port does in hardware.
type Caps struct {
	RxCksum     bool // verifies IPv4 and TCP checksums and says so in OlFlags
	TxIPv4Cksum bool
	TxTCPCksum  bool
	TxUDPCksum  bool
	LargeBursts bool // a call costs so much that it should be for many packets
	RSS         bool // spreads flows over queues symmetrically: both directions of a connection reach the same queue
}

// ErrFewQueues is wrapped by the error of opening a port with more queues than its device has.
var ErrFewQueues = errors.New("too few queues")

// Port is an open device.
type Port interface {
	// Name is the name the user gave it.
	Name() string
	// Kind is `dpdk`, `packet`, `xdp` or `memory`, with `+spread` behind it where workers share out what one queue receives.
	Kind() string
	// Queue returns queue i, 0 <= i < Queues().
	Queue(i int) Queue
	Queues() int
	Caps() Caps
	// MTU is the largest IP packet in bytes that the port carries, as Follow saw it last. Any goroutine may ask.
	MTU() int
	// Follow looks at the device and brings the port up to date with it: a new MTU, an interface that was removed and made anew,
	// to which the port attaches again. One goroutine, not a worker's, calls it every now and then while the port is open, on a
	// thread of the network namespace that the port was opened in. It may take as long as opening a port does; a worker that polls
	// is not held up by it.
	Follow() State
	// Close releases the device. No queue may be polled any more, and Follow has returned.
	Close() error
}

// Config is what the data plane asks of a port when it opens it.
type Config struct {
	// Queues is the number of queue pairs, one a worker.
	Queues int
	// Caches holds one buffer cache for each queue; the queue's worker shares it.
	Caches []*mbuf.Cache
	// MTU is what a device without an interface of the kernel's is opened with; 0 leaves it to its driver. Interfaces keep their own.
	MTU int
	// OpenTimeout bounds how long opening may wait for a link to come up.
	OpenTimeout time.Duration
	// Claim is asked before the port attaches to a kernel interface, by its name and number, and again whenever the port is to
	// attach to one of that name that was made anew. An error keeps the port away from it. Nil allows everything.
	Claim func(name string, index int) error
}
