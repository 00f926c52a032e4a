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
	return gatewayBuffers(p.sc) + generatorBuffers
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

// startEAL starts DPDK and makes the pool.
func (p *plan) startEAL(pci bool) (mbuf.Pool, error) {
	if pci {
		if why := hugePagesFor(p.poolMB()); why != nil {
			return nil, p.sc.Err("ports.inside", why)
		}
	}
	if _, err := dpdk.Init(dpdk.Options{Name: fmt.Sprintf("bench-%d", os.Getpid()), MemMB: p.poolMB(), PCI: pci, Args: p.sc.Ports.EAL}); err != nil {
		return nil, p.sc.Err("ports.eal", err)
	}
	return dpdk.NewPool("packets", p.poolBuffers(), mbuf.DefaultDataRoom)
}

// openRings joins gateway and generator by two pairs of ring ports.
func openRings(pool mbuf.Pool) (pairs [2]pair, undo func() error, err error) {
	var open []*rings.Pair
	undo = func() error {
		var errs []error
		for _, r := range open {
			errs = append(errs, r.Close())
		}
		return errors.Join(errs...)
	}
	for s, name := range []string{"inside", "outside"} {
		a := port.Config{Queues: 1, Caches: []*mbuf.Cache{mbuf.NewCache(pool)}}
		r, err := rings.Open(name, a, a)
		if err != nil {
			return pairs, nil, errors.Join(err, undo())
		}
		open = append(open, r)
		pairs[s] = pair{gateway: r.A, generator: r.B}
	}
	return pairs, undo, nil
}
