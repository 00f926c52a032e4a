package pktgen

import (
	"errors"
	"fmt"
	"time"

	"linecrypt/bench/pktgen/ends"
	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/port"
	"linecrypt/dataplane/port/portspec"
)

// openTimeout is how long a link may take to come up.
const openTimeout = 10 * time.Second

// deviceBuffers is how many packet buffers the generator needs over ports of its own: what is on its way, and what drivers keep.
const deviceBuffers = generatorBuffers + 4*6144

// overDevices makes a driver over two ports of this machine, with a gateway elsewhere between them.
func (p *plan) overDevices() (d driver, err error) {
	r := &realTime{sc: p.sc, set: p.set}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.close())
		}
	}()
	keys := [2]string{"ports.inside", "ports.outside"}
	var specs [2]portspec.Spec
	dpdk, pci := false, false
	for i, name := range []string{p.sc.Ports.Inside, p.sc.Ports.Outside} {
		if specs[i], err = portspec.Parse(name); err == nil {
			err = specs[i].Check()
		}
		if err != nil {
			return nil, p.sc.Err(keys[i], err)
		}
		dpdk, pci = dpdk || specs[i].Kind == portspec.DPDK, pci || specs[i].PCI
	}
	var pool mbuf.Pool
	if dpdk {
		if pool, err = p.startEAL(pci); err != nil {
			return nil, err
		}
	} else {
		arena, err := mbuf.NewArena(deviceBuffers, mbuf.DefaultDataRoom)
		if err != nil {
			return nil, err
		}
		r.done = append(r.done, arena.Close)
		pool = arena
	}
	cache := mbuf.NewCache(pool)
	var far [2]ends.Port
	for i, spec := range specs {
		dev, err := portspec.Open(spec, port.Config{Queues: 1, Caches: []*mbuf.Cache{cache}, OpenTimeout: openTimeout})
		if err != nil {
			return nil, p.sc.Err(keys[i], err)
		}
		r.done = append(r.done, dev.Close)
		r.ports = append(r.ports, dev)
		sum := ends.Software
		if dev.Caps().TxTCPCksum {
			sum = ends.Offload
		}
		far[i] = ends.Port{Wire: r.wireOf(dev, 0), Cache: cache, Checksum: sum}
		if dev.MTU() < mtuNeeded {
			return nil, p.sc.Err(keys[i], fmt.Errorf("the port carries %d bytes, and full segments take %d: raise its MTU", dev.MTU(), mtuNeeded))
		}
	}
	r.set.checksum = checksumOf(r.ports[inside])
	if r.ends, err = p.newEnds(far); err != nil {
		return nil, err
	}
	return r, nil
}

// mtuNeeded is what the ports must carry in bytes.
const mtuNeeded = 1500
