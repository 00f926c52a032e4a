//go:build dpdk && cgo

package pktgen

import (
	"errors"
	"fmt"
	"os"

	"linecrypt/bench/pktgen/scenario"
	"linecrypt/dataplane/hugepages"
	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/port"
	"linecrypt/dataplane/port/dpdk"
	"linecrypt/dataplane/port/dpdk/rings"
)

// poolBuffers is how many packet buffers DPDK's pool holds.
func (p *plan) poolBuffers() int {
	if p.kind == scenario.PortsDevice {
		return deviceBuffers
	}
	n := gatewayBuffers(p.sc) + generatorBuffers
	if p.sc.Measure != scenario.Scaling {
		return n
	}
	one := *p.sc
	one.Cores.Workers = 1
	all := gatewayBuffers(&one) + generatorBuffers + n
	if p.spreads() {
		all += n
	}
	return all
}

// poolMB is the memory in MiB that EAL is asked for.
func (p *plan) poolMB() int { return dpdk.MemMB(p.poolBuffers(), mbuf.DefaultDataRoom) }

// hugePagesFor returns why there are no huge pages for so many MiB, with what to change.
func hugePagesFor(mb int) error {
	s, err := hugepages.Read("/")
	switch {
	case err != nil:
		return err
	case s.FreeBytes() < uint64(mb)<<20:
		short := (uint64(mb)<<20 - s.FreeBytes() + s.PageBytes - 1) / s.PageBytes
		return fmt.Errorf("%d MiB of huge pages are needed, and %d MiB are free: `linecrypt setup hugepages --size %d` reserves enough",
			mb, s.FreeBytes()>>20, (uint64(s.Total)+short)*s.PageBytes>>20)
	case os.Geteuid() != 0 && len(s.Mounts) == 0:
		return errors.New("huge pages take root, or a mounted hugetlbfs")
	}
	return nil
}

// startEAL starts DPDK and makes the pool, once.
func (p *plan) startEAL(pci bool) (mbuf.Pool, error) {
	if p.pool != nil {
		return p.pool, nil
	}
	if pci {
		if why := hugePagesFor(p.poolMB()); why != nil {
			return nil, p.sc.Err("ports.inside", why)
		}
	}
	if _, err := dpdk.Init(dpdk.Options{Name: fmt.Sprintf("bench-%d", os.Getpid()), MemMB: p.poolMB(), PCI: pci, Args: p.sc.Ports.EAL}); err != nil {
		return nil, p.sc.Err("ports.eal", err)
	}
	pool, err := dpdk.NewPool("packets", p.poolBuffers(), mbuf.DefaultDataRoom)
	if err == nil {
		p.pool = pool
	}
	return p.pool, err
}

// openRings joins gateway and generator by two pairs of ring ports. The workers, to whom the caches belong, poll those of the gateway.
func (p *plan) openRings(pool mbuf.Pool, caches []*mbuf.Cache) (pairs [2]pair, undo func() error, err error) {
	var done []func() error
	undo = func() error { return undoAll(done) }
	for s, name := range sideNames {
		cache := mbuf.NewShare(pool, p.workers())
		cfg := port.Config{Queues: p.queues()}
		for range cfg.Queues {
			cfg.Caches = append(cfg.Caches, cache)
		}
		r, err := rings.Open(name+p.suffix, cfg, cfg)
		if err != nil {
			return pairs, nil, errors.Join(err, undo())
		}
		done = append(done, r.Close)
		pairs[s] = pair{gateway: r.A, generator: r.B}
		if p.spreads() {
			if pairs[s].gateway, err = p.spread(r.A, cache, caches); err != nil {
				return pairs, nil, errors.Join(err, undo())
			}
			r.A = nil // the spreader's
			done = append(done, pairs[s].gateway.Close)
		}
	}
	return pairs, undo, nil
}
