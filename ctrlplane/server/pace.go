package server

import (
	"sync"
	"time"
)

// pace bounds the requests of one connection.
type pace struct {
	mu    sync.Mutex
	begin time.Time
	n     int
}

type paceKey struct{}

func (p *pace) allows(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now.Sub(p.begin) >= time.Second {
		p.begin, p.n = now, 0
	}
	p.n++
	return p.n <= remoteRate
}
