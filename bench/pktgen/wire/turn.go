package wire

import (
	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/port"
)

// Turn is a port of a gateway in memory with its far side, used by one thread. It implements port.Port with one queue, and the ends'
// Wire. Buffers of both sides are of one pool.
type Turn struct {
	timed
	name   string
	caps   port.Caps
	slots  int  // of the receive queue
	ready  fifo // in the receive queue
	fresh  int  // of what came, the last ones, which are not stamped
	missed port.Count
}

// mtu is what the port carries.
const mtu = 1500

// NewTurn returns a port whose receive queue holds so many packets. Nic says that it verifies and fills in checksums, as NICs do: what
// the ends send counts as verified, and nobody fills in what the gateway leaves to the port.
func NewTurn(name string, slots int, nic bool, cache *mbuf.Cache) *Turn {
	return &Turn{name: name, caps: port.Caps{RxCksum: nic, TxTCPCksum: nic}, slots: slots, timed: timed{cache: cache}}
}

// Receive implements ends.Wire.
func (t *Turn) Receive(ms []*mbuf.Mbuf, at []int64) int {
	n := t.timed.Receive(ms, at)
	t.fresh = min(t.fresh, t.came.size)
	return n
}

// Release moves what is due at a time into the receive queue; what finds no room there is lost. It returns how many packets are not due
// yet.
func (t *Turn) Release(now int64) (left int) {
	for t.due(now) {
		e := t.sent.pop()
		if t.ready.size >= t.slots {
			t.missed.Add(1)
			t.cache.Free(e.m)
			continue
		}
		t.delivered++
		t.ready.push(e)
	}
	return t.sent.size
}

// Waiting returns how many packets are in the receive queue.
func (t *Turn) Waiting() int { return t.ready.size }

// Stamp says when what the gateway has sent since the last call has left.
func (t *Turn) Stamp(now int64) {
	for i := t.came.size - t.fresh; i < t.came.size; i++ {
		t.came.peek(i).at = now
	}
	t.fresh = 0
}

// Missed counts the packets that found no room in the receive queue.
func (t *Turn) Missed() uint64 { return t.missed.Load() }

// RxBurst implements port.Queue.
func (t *Turn) RxBurst(ms []*mbuf.Mbuf) int {
	n := min(len(ms), t.ready.size)
	for i := range n {
		ms[i] = t.ready.pop().m
	}
	return n
}

// TxBurst implements port.Queue.
func (t *Turn) TxBurst(ms []*mbuf.Mbuf) int {
	for _, m := range ms {
		t.came.push(entry{m: m})
	}
	t.fresh += len(ms)
	return len(ms)
}

// Stats implements port.Queue.
func (t *Turn) Stats() port.Stats { return port.Stats{RxMissed: t.Missed()} }

// Name implements port.Port.
func (t *Turn) Name() string { return t.name }

// Kind implements port.Port.
func (t *Turn) Kind() string { return "memory" }

// Queue implements port.Port.
func (t *Turn) Queue(int) port.Queue { return t }

// Queues implements port.Port.
func (t *Turn) Queues() int { return 1 }

// Caps implements port.Port.
func (t *Turn) Caps() port.Caps { return t.caps }

// MTU implements port.Port.
func (t *Turn) MTU() int { return mtu }

// Follow implements port.Port.
func (t *Turn) Follow() port.State { return port.State{Link: port.LinkUp, MTU: mtu, Attached: 1} }

// Close implements port.Port: it gives back what is on its way.
func (t *Turn) Close() error {
	t.empty(&t.sent, &t.ready, &t.came)
	t.fresh = 0
	return nil
}
