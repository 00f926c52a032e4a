//go:build dpdk && cgo

package rings

// #cgo CFLAGS: -O2 -I/usr/include/dpdk -include rte_config.h
// #cgo amd64 CFLAGS: -I/usr/include/x86_64-linux-gnu/dpdk -march=corei7
// #cgo arm64 CFLAGS: -I/usr/include/aarch64-linux-gnu/dpdk -march=armv8-a+crc
// #cgo LDFLAGS: -lrte_eal -lrte_ring -lrte_ethdev -lrte_net_ring
// #include <stdlib.h>
// #include <rte_errno.h>
// #include <rte_eth_ring.h>
// #include <rte_ring.h>
//
// static int lc_errno(void) { return rte_errno; }
import "C"

import (
	"errors"
	"fmt"
	"syscall"
	"unsafe"

	"linecrypt/dataplane/port"
	"linecrypt/dataplane/port/dpdk"
)

// slots is the number of packets that a ring holds.
const slots = 1024

// Pair is two joined ports. Queue i of one leads to queue i of the other.
type Pair struct {
	A, B  port.Port
	rings []*C.struct_rte_ring
}

// Open makes two joined ports with as many queues as cfgA and cfgB have, both the same number. Name is unlike any other pair's.
// EAL runs. Buffers go from one port to the other, so that the caches of both lie over one pool of dpdk.NewPool. The caller closes
// the Pair.
func Open(name string, cfgA, cfgB port.Config) (*Pair, error) {
	p := new(Pair)
	if err := p.open(name, cfgA, cfgB); err != nil {
		return nil, errors.Join(fmt.Errorf("pair of ring ports %s: %w", name, err), p.Close())
	}
	return p, nil
}

func (p *Pair) open(name string, cfgA, cfgB port.Config) error {
	if cfgA.Queues != cfgB.Queues || cfgA.Queues < 1 {
		return fmt.Errorf("%d and %d queues", cfgA.Queues, cfgB.Queues)
	}
	there, err := p.make(name+"-ab", cfgA.Queues)
	if err != nil {
		return err
	}
	back, err := p.make(name+"-ba", cfgA.Queues)
	if err != nil {
		return err
	}
	if p.A, err = device(name+"-a", back, there, cfgA); err != nil {
		return err
	}
	p.B, err = device(name+"-b", there, back, cfgB)
	return err
}

// make makes the rings of one direction, each of which has one worker at either end.
func (p *Pair) make(name string, n int) ([]*C.struct_rte_ring, error) {
	var rings []*C.struct_rte_ring
	for i := range n {
		c := C.CString(fmt.Sprintf("%s%d", name, i))
		r := C.rte_ring_create(c, slots, C.SOCKET_ID_ANY, C.RING_F_SP_ENQ|C.RING_F_SC_DEQ)
		C.free(unsafe.Pointer(c))
		if r == nil {
			return nil, fmt.Errorf("make a ring: %w", syscall.Errno(C.lc_errno()))
		}
		p.rings = append(p.rings, r)
		rings = append(rings, r)
	}
	return rings, nil
}

func device(name string, rx, tx []*C.struct_rte_ring, cfg port.Config) (port.Port, error) {
	c := C.CString(name)
	defer C.free(unsafe.Pointer(c))
	id := C.rte_eth_from_rings(c, unsafe.SliceData(rx), C.uint(len(rx)), unsafe.SliceData(tx), C.uint(len(tx)), 0)
	if id < 0 {
		return nil, fmt.Errorf("make a device: %w", syscall.Errno(C.lc_errno()))
	}
	return dpdk.Adopt(uint16(id), name, cfg)
}

// Close closes both ports; no queue may be polled any more. Packets that nobody took are lost to the pool.
func (p *Pair) Close() error {
	var errs []error
	for _, q := range []port.Port{p.A, p.B} {
		if q != nil {
			errs = append(errs, q.Close())
		}
	}
	for _, r := range p.rings {
		C.rte_ring_free(r)
	}
	*p = Pair{}
	return errors.Join(errs...)
}
