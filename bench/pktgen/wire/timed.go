package wire

import "linecrypt/dataplane/mbuf"

// timed is what wires with a clock that their user moves have in common: packets on their way to the gateway, which are not due yet, and
// those that came out of it.
type timed struct {
	cache     *mbuf.Cache // to which what finds no room, and what is left at the end, is given back
	sent      fifo
	came      fifo
	last      int64
	delivered uint64
}

// Send implements ends.Wire: packets that are due before those sent earlier come right behind them.
func (t *timed) Send(ms []*mbuf.Mbuf, at []int64) int {
	for i, m := range ms {
		t.last = max(t.last, at[i])
		t.sent.push(entry{m, t.last})
	}
	return len(ms)
}

// Receive implements ends.Wire.
func (t *timed) Receive(ms []*mbuf.Mbuf, at []int64) int {
	n := min(len(ms), t.came.size)
	for i := range n {
		e := t.came.pop()
		ms[i], at[i] = e.m, e.at
	}
	return n
}

// due reports whether a packet is due at a time.
func (t *timed) due(now int64) bool { return t.sent.size > 0 && t.sent.peek(0).at <= now }

// Delivered counts the packets that the gateway's port has got.
func (t *timed) Delivered() uint64 { return t.delivered }

// empty gives back what is in queues.
func (t *timed) empty(fs ...*fifo) {
	for _, f := range fs {
		for f.size > 0 {
			t.cache.Free(f.pop().m)
		}
	}
}
