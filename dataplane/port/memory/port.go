// Package memory is the kind of port that needs no device and no privilege: packets travel through bounded rings in the
// process's own memory. NewPair joins two gateways back to back, NewEnd gives a test the far side of a port as plain byte
// slices, NewSource feeds a benchmark. It models no loss, delay or reordering.
//
// Ownership: frames are copied at both ends, so each side keeps to buffers of its own caches and slices handed to Inject
// or Collect stay the caller's.
package memory

import (
	"errors"
	"fmt"
	"math/bits"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/port"
)

// Options shape a memory port. The zero value is one queue of 1024 frames of up to 2048 bytes and an MTU of 1500.
type Options struct {
	// RingFrames is the number of frames each ring holds, rounded up to a power of two.
	RingFrames int
	// FrameSize is the largest frame in bytes, link-layer header included.
	FrameSize int
	// MTU is what the port reports.
	MTU int
	// RxCksumGood marks every received packet as one whose checksums the port verified.
	RxCksumGood bool
	// RSS is what Caps reports, and makes End.Inject spread frames by FlowHash.
	RSS bool
}

func (o Options) withDefaults() Options {
	if o.RingFrames == 0 {
		o.RingFrames = 1024
	}
	if o.FrameSize == 0 {
		o.FrameSize = mbuf.DefaultDataRoom
	}
	if o.MTU == 0 {
		o.MTU = 1500
	}
	return o
}

func (o Options) check(caches []*mbuf.Cache) error {
	switch {
	case len(caches) == 0:
		return errors.New("no buffer cache given: one for each queue is needed")
	case o.RingFrames < 1 || o.RingFrames > 1<<20:
		return fmt.Errorf("ring of %d frames: out of range", o.RingFrames)
	case o.FrameSize < 64 || o.FrameSize > 65535:
		return fmt.Errorf("frame size of %d bytes: out of range", o.FrameSize)
	}
	return nil
}

func (o Options) rings(n int) []*ring {
	rs := make([]*ring, n)
	for i := range rs {
		rs[i] = newRing(1<<bits.Len(uint(o.RingFrames-1)), o.FrameSize)
	}
	return rs
}

// Port is a memory port. It implements port.Port, and its queues port.Waiter.
type Port struct {
	name   string
	opt    Options
	queues []*queue
	link   atomic.Uint32 // port.Link
	mtu    atomic.Int64
	closed bool
}

// NewPair returns two ports wired back to back, queue i to queue i, with as many queues as there are caches, which must be
// the same number on both sides.
func NewPair(nameA, nameB string, opt Options, cachesA, cachesB []*mbuf.Cache) (*Port, *Port, error) {
	opt = opt.withDefaults()
	if err := opt.check(cachesA); err != nil {
		return nil, nil, fmt.Errorf("memory port %s: %w", nameA, err)
	}
	if len(cachesA) != len(cachesB) {
		return nil, nil, fmt.Errorf("memory ports %s and %s: %d and %d queues", nameA, nameB, len(cachesA), len(cachesB))
	}
	ab, ba := opt.rings(len(cachesA)), opt.rings(len(cachesA))
	a, err := newPort(nameA, opt, ba, ab, cachesA)
	if err != nil {
		return nil, nil, err
	}
	b, err := newPort(nameB, opt, ab, ba, cachesB)
	if err != nil {
		return nil, nil, errors.Join(err, a.Close())
	}
	return a, b, nil
}

func newPort(name string, opt Options, rx, tx []*ring, caches []*mbuf.Cache) (*Port, error) {
	p := &Port{name: name, opt: opt}
	p.link.Store(uint32(port.LinkUp))
	p.mtu.Store(int64(opt.MTU))
	flags := uint64(0)
	if opt.RxCksumGood {
		flags = mbuf.RxIPCksumGood | mbuf.RxL4CksumGood
	}
	for i, c := range caches {
		q, err := newQueue(rx[i], tx[i], c, flags)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("memory port %s: %w", name, err), p.Close())
		}
		p.queues = append(p.queues, q)
	}
	return p, nil
}

// Name implements port.Port.
func (p *Port) Name() string { return p.name }

// Kind implements port.Port.
func (p *Port) Kind() string { return "memory" }

// Queue implements port.Port.
func (p *Port) Queue(i int) port.Queue { return p.queues[i] }

// Queues implements port.Port.
func (p *Port) Queues() int { return len(p.queues) }

// Caps implements port.Port.
func (p *Port) Caps() port.Caps { return port.Caps{RxCksum: p.opt.RxCksumGood, RSS: p.opt.RSS} }

// MTU implements port.Port.
func (p *Port) MTU() int { return int(p.mtu.Load()) }

// Follow implements port.Port.
func (p *Port) Follow() port.State {
	return port.State{Link: port.Link(p.link.Load()), MTU: p.MTU(), Attached: 1}
}

// SetLink sets what Follow reports; frames travel all the same. Any goroutine may call it.
func (p *Port) SetLink(l port.Link) { p.link.Store(uint32(l)) }

// SetMTU sets what MTU and Follow report; longer frames travel all the same. Any goroutine may call it.
func (p *Port) SetMTU(mtu int) { p.mtu.Store(int64(mtu)) }

// Close implements port.Port. The far side must have stopped sending, because a send may write this port's descriptors.
func (p *Port) Close() error {
	if p.closed {
		return nil
	}
	p.closed = true
	var errs []error
	for _, q := range p.queues {
		if err := unix.Close(q.event); err != nil {
			errs = append(errs, fmt.Errorf("memory port %s: close eventfd: %w", p.name, err))
		}
	}
	return errors.Join(errs...)
}
