package pktgen

import (
	"linecrypt/bench/pktgen/scenario"
	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/port"
	"linecrypt/dataplane/port/spread"
)

// Several workers have a queue each, over which the generator spreads connections as a NIC does, or one queue, which they share by the
// gateway's own spreader.

// workers is how many threads poll what is measured.
func (p *plan) workers() int { return p.sc.Cores.Workers }

// queues is how many queues a port has.
func (p *plan) queues() int {
	if p.sc.Ports.Queues == scenario.OneQueue {
		return 1
	}
	return p.workers()
}

// spreads reports whether the workers take turns at the ports.
func (p *plan) spreads() bool { return p.workers() > 1 && p.queues() == 1 }

// workerCaches makes the workers' caches over a pool.
func (p *plan) workerCaches(pool mbuf.Pool) []*mbuf.Cache {
	var caches []*mbuf.Cache
	for range p.workers() {
		caches = append(caches, mbuf.NewShare(pool, p.workers()))
	}
	return caches
}

// shared makes a pool of an arena that as many threads may use as there are workers.
func (p *plan) shared(arena *mbuf.Arena) mbuf.Pool {
	if p.workers() == 1 {
		return arena
	}
	return mbuf.NewShared(arena)
}

// spread puts the spreader over a port of one queue, where several workers are to poll it. The cache is that of the port's queue. What it
// returns owns the port.
func (p *plan) spread(dev port.Port, cache *mbuf.Cache, caches []*mbuf.Cache) (port.Port, error) {
	if !p.spreads() {
		return dev, nil
	}
	return spread.New(dev, cache, caches, p.hash, spread.Options{})
}

// flush gives back what caches hold, to a pool that outlives them.
func flush(caches []*mbuf.Cache) {
	for _, c := range caches {
		c.Flush()
	}
}
