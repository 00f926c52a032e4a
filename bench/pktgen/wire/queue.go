package wire

import (
	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/port"
)

// Queue is a wire over a queue of a port of the ends' own, in real time.
type Queue struct {
	Queue port.Queue
	Clock func() int64 // in the unit of the latencies
}

// Send implements ends.Wire: packets leave at once, whatever their times.
func (q *Queue) Send(ms []*mbuf.Mbuf, _ []int64) int {
	sent := 0
	for sent < len(ms) {
		n := q.Queue.TxBurst(ms[sent:min(sent+port.Burst, len(ms))])
		if n == 0 {
			break
		}
		sent += n
	}
	return sent
}

// Receive implements ends.Wire.
func (q *Queue) Receive(ms []*mbuf.Mbuf, at []int64) int {
	n := q.Queue.RxBurst(ms[:min(len(ms), port.Burst)])
	if n == 0 {
		return 0
	}
	now := q.Clock()
	for i := range n {
		at[i] = now
	}
	return n
}
