package wire

import (
	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/port"
)

// Paced is a wire over a queue of a port of the ends' own, with a clock that its user moves, as Turn has one: what is not due waits here.
type Paced struct {
	timed
	queue  port.Queue
	missed uint64
	ms     [port.Burst]*mbuf.Mbuf
}

// NewPaced returns one for a queue, whose buffers of both ends are of the cache's pool.
func NewPaced(q port.Queue, cache *mbuf.Cache) *Paced {
	return &Paced{timed: timed{cache: cache}, queue: q}
}

// Release sends what is due at a time; what the queue has no room for is lost. It returns how many packets are not due yet.
func (p *Paced) Release(now int64) (left int) {
	for p.due(now) {
		n := 0
		for n < len(p.ms) && p.due(now) {
			p.ms[n] = p.sent.pop().m
			n++
		}
		took := p.queue.TxBurst(p.ms[:n])
		p.delivered += uint64(took)
		p.missed += uint64(n - took)
		p.cache.FreeBurst(p.ms[took:n])
	}
	return p.sent.size
}

// Stamp takes what the gateway has sent since the last call, which has left at this time.
func (p *Paced) Stamp(now int64) {
	for {
		n := p.queue.RxBurst(p.ms[:])
		for _, m := range p.ms[:n] {
			p.came.push(entry{m, now})
		}
		if n < len(p.ms) {
			return
		}
	}
}

// Missed counts the packets that found no room.
func (p *Paced) Missed() uint64 { return p.missed }

// Close gives back what is on its way.
func (p *Paced) Close() error {
	p.empty(&p.sent, &p.came)
	return nil
}
