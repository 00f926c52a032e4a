package handover

import (
	"sync/atomic"

	"linecrypt/dataplane/mbuf"
	"linecrypt/flowtable"
)

// Kind says what a message holds.
type Kind uint8

// The kinds of message.
const (
	Packet Kind = iota // a packet as a port received it
	Path               // the MTU of a path
)

// maxPacket is the longest packet that a message holds: what fits into a buffer.
const maxPacket = mbuf.JumboDataRoom

// Message is what one worker hands to the next. It lies in the queue: a worker fills it in between Reserve and Commit, and
// reads it between Peek and Release.
type Message struct {
	Kind Kind
	Side flowtable.Side // the port the packet came from, or behind which the path is
	Hops uint8          // workers it may still go on to
	MTU  uint16         // of a path
	VLAN uint32         // of a path, folded as in flowtable.Key
	Addr [16]byte       // of a path's far end
	n    uint16
	data [maxPacket]byte
}

// SetPacket copies a packet into the message and reports whether it fits.
func (m *Message) SetPacket(b []byte) bool {
	if len(b) > len(m.data) {
		return false
	}
	m.n = uint16(copy(m.data[:], b))
	return true
}

// Bytes returns the message's packet.
func (m *Message) Bytes() []byte { return m.data[:m.n] }

// slots is the number of messages that a queue holds, a power of two.
const slots = 128

// Queue leads from one worker, the only one to use Reserve and Commit, to another, the only one to use Peek and Release.
type Queue struct {
	tail  atomic.Uint64 // written by the sender: messages before it are there
	_     [56]byte
	head  atomic.Uint64 // written by the receiver: messages before it are done with
	_     [56]byte
	slots [slots]Message
}

// Reserve returns the next free message, which Commit sends; nil when the queue is full.
func (q *Queue) Reserve() *Message {
	t := q.tail.Load()
	if t-q.head.Load() == slots {
		return nil
	}
	return &q.slots[t%slots]
}

// Commit sends the message that Reserve returned.
func (q *Queue) Commit() { q.tail.Store(q.tail.Load() + 1) }

// Peek returns the oldest message, nil when there is none.
func (q *Queue) Peek() *Message {
	h := q.head.Load()
	if h == q.tail.Load() {
		return nil
	}
	return &q.slots[h%slots]
}

// Release gives the message that Peek returned back to the sender.
func (q *Queue) Release() { q.head.Store(q.head.Load() + 1) }

// Circle is the queues of a data plane's workers.
type Circle struct {
	queues []*Queue // queue i leads from worker i to its neighbour
}

// NewCircle makes the queues for n workers, of which there are at least one.
func NewCircle(n int) *Circle {
	c := &Circle{queues: make([]*Queue, n)}
	for i := range c.queues {
		c.queues[i] = new(Queue)
	}
	return c
}

// Workers is the number of workers in the circle.
func (c *Circle) Workers() int { return len(c.queues) }

// Next is the queue from worker i to its neighbour.
func (c *Circle) Next(i int) *Queue { return c.queues[i] }

// Before is the queue to worker i from its other neighbour.
func (c *Circle) Before(i int) *Queue { return c.queues[(i+len(c.queues)-1)%len(c.queues)] }
