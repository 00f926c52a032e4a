package packetpath

import (
	"sync"
	"sync/atomic"

	"linecrypt/dataplane/mbuf"
)

// pool hands out the buffer that has been free the longest, so that none comes back to use while it is warm. It takes a lock, once in
// mbuf.CacheChunk buffers, and so serves several workers.
type pool struct {
	mu    sync.Mutex
	arena *mbuf.Arena
	ring  []*mbuf.Mbuf
	head  int // next to be handed out
	n     int
	avail atomic.Int64 // n, for those who only look
}

// newPool makes a pool, in reserved huge pages where those are wanted and enough are free.
func newPool(buffers int, reserved bool) (*pool, error) {
	newArena := mbuf.NewArena
	if reserved {
		newArena = mbuf.NewReservedArena
	}
	arena, err := newArena(buffers, mbuf.DefaultDataRoom)
	if err != nil {
		return nil, err
	}
	p := &pool{arena: arena, ring: make([]*mbuf.Mbuf, buffers), n: buffers}
	p.avail.Store(int64(buffers))
	arena.AllocBulk(p.ring)
	return p, nil
}

// AllocBulk implements mbuf.Pool.
func (p *pool) AllocBulk(ms []*mbuf.Mbuf) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(ms) > p.n {
		return false
	}
	for i := range ms {
		ms[i] = p.ring[p.head]
		if p.head++; p.head == len(p.ring) {
			p.head = 0
		}
	}
	p.n -= len(ms)
	p.avail.Store(int64(p.n))
	return true
}

// FreeBulk implements mbuf.Pool.
func (p *pool) FreeBulk(ms []*mbuf.Mbuf) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := p.head + p.n
	for _, m := range ms {
		if at >= len(p.ring) {
			at -= len(p.ring)
		}
		p.ring[at] = m
		at++
	}
	p.n += len(ms)
	p.avail.Store(int64(p.n))
}

// Size implements mbuf.Pool.
func (p *pool) Size() int { return len(p.ring) }

// Avail implements mbuf.Pool. It takes no lock: a worker looks every few packets, and a locked instruction would wait for all its stores.
func (p *pool) Avail() int { return int(p.avail.Load()) }

// AnyThread implements mbuf.AnyThread.
func (p *pool) AnyThread() {}

// DataRoom implements mbuf.Pool.
func (p *pool) DataRoom() int { return p.arena.DataRoom() }

func (p *pool) close() error { return p.arena.Close() }
