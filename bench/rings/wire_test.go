//go:build dpdk && cgo

package rings

import (
	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/port"
)

// wire is a port on a ring that sends as a device does. A ring hands the buffer itself over, and the far gateway opens frames in place:
// where the near one keeps the frame to send it again, it would find plaintext. So buffers with further references go as copies.
type wire struct {
	port.Port
	queues []*wireQueue
}

// newWire wraps a port whose buffers are of a pool that any thread may use.
func newWire(p port.Port, pool mbuf.Pool) *wire {
	w := &wire{Port: p}
	for i := range p.Queues() {
		w.queues = append(w.queues, &wireQueue{Queue: p.Queue(i), cache: mbuf.NewCache(pool)})
	}
	return w
}

// Queue implements port.Port.
func (w *wire) Queue(i int) port.Queue { return w.queues[i] }

type wireQueue struct {
	port.Queue
	cache *mbuf.Cache // of whoever polls the queue
	ms    [2 * port.Burst]*mbuf.Mbuf
}

// TxBurst implements port.Queue.
func (q *wireQueue) TxBurst(ms []*mbuf.Mbuf) int {
	ms = ms[:min(len(ms), len(q.ms))]
	n := 0
	for _, m := range ms {
		if q.ms[n] = m; m.RefCnt() > 1 {
			if q.ms[n] = q.copy(m); q.ms[n] == nil {
				break
			}
		}
		n++
	}
	sent := q.Queue.TxBurst(q.ms[:n])
	for i, m := range ms[:n] {
		if q.ms[i] == m {
			continue
		}
		if i < sent {
			q.cache.Free(m)
		} else {
			q.cache.Free(q.ms[i])
		}
	}
	q.cache.Flush()
	return sent
}

// copy returns a copy of a packet in one buffer, nil where there is no buffer for it.
func (q *wireQueue) copy(m *mbuf.Mbuf) *mbuf.Mbuf {
	c := q.cache.Alloc()
	if c == nil {
		return nil
	}
	if !c.Append(m.Data()) {
		q.cache.Free(c)
		return nil
	}
	c.OlFlags, c.TxOffload = m.OlFlags, m.TxOffload
	return c
}
