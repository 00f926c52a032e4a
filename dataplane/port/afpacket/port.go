// Package afpacket is the kind of port named `packet`: a kernel network interface through AF_PACKET sockets, in pure Go.
// It is the port for machines without DPDK; it needs CAP_NET_RAW and nothing else.
//
// Each queue receives through a memory-mapped TPACKET_V2 ring of its own; with several queues the kernel spreads flows
// over them by a symmetric hash (PACKET_FANOUT_HASH), the same on every interface. Version 2 rather than 3: version 3
// hands over blocks, which a timer of a millisecond or more retires when traffic is thin, and that is too long for a bump
// in the wire. Every frame carries a virtio-net header, because only that says where a checksum that a local sender left
// unfinished lies, and whether the packet is a super-packet (TSO, GSO, GRO). Such checksums are completed.
//
// A super-packet of up to 64 KiB becomes the segments that a NIC would have made of it (split.go), each in a buffer of its own and marked as
// one whose checksum is not computed: what follows them need not sum them up. The ring's slots are for packets of a wire's size; what is
// larger the kernel keeps beside the ring, and one recvmsg writes it to where it belongs (super.go), so that it is copied once and small
// packets cost no more room than before. What is sent goes the other way: segments in a row are handed over as one (chain.go).
//
// A burst is sent by one sendmmsg straight from its buffers through the interface's queueing discipline: a full queue
// leaves packets with the caller, and what the kernel refuses is counted. TCP checksums are left to the kernel, which computes none for
// what stays on the machine. A transmit ring would save no copy, since veth copies the ring's pages, and would report no error per packet.
//
// Ownership: received frames are copied into buffers of the queue's cache, sent ones are copied by the kernel before
// TxBurst returns. The packet path allocates nothing.
//
// When the interface was removed and made anew, or its MTU outgrew the rings, Follow opens new sockets and hands them to the
// queues. A worker goes over to them, without a lock, at the next poll that finds its old ring empty, so nothing is lost that
// was in it; the old sockets, which take nothing in any more, are closed after that.
package afpacket

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"linecrypt/dataplane/port"
	"linecrypt/dataplane/port/netif"
)

// Port is an open interface. It implements port.Port, and its queues port.Waiter.
type Port struct {
	name   string
	kernel *netif.Handle
	claim  func(name string, index int) error
	room   int // bytes of a frame that fit a buffer
	queues []*queue
	mtu    atomic.Int64

	// What follows belongs to the goroutine that opens, follows and closes the port.
	index    int       // of the interface that it is attached to
	attached int       // how often it was
	failed   time.Time // when it last could not attach
	failure  error     // and why
}

// Open opens the interface ifname with cfg.Queues queues. The interface must be up; Open waits cfg.OpenTimeout for that
// and for a carrier, and goes on without a carrier.
func Open(ifname string, cfg port.Config) (*Port, error) {
	p, err := open(ifname, cfg)
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		err = fmt.Errorf("%w: a packet port needs root or CAP_NET_RAW", err)
	}
	if err != nil {
		return nil, fmt.Errorf("interface %s: %w", ifname, err)
	}
	return p, nil
}

func open(ifname string, cfg port.Config) (*Port, error) {
	if cfg.Queues < 1 || cfg.Queues > 256 || len(cfg.Caches) != cfg.Queues {
		return nil, fmt.Errorf("%d queues with %d buffer caches", cfg.Queues, len(cfg.Caches))
	}
	kernel, err := netif.Open()
	if err != nil {
		return nil, err
	}
	p := &Port{name: ifname, kernel: kernel, claim: cfg.Claim, room: cfg.Caches[0].Pool().DataRoom()}
	if err := p.start(cfg); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

func (p *Port) start(cfg port.Config) error {
	i, err := p.kernel.AwaitUp(p.name, cfg.OpenTimeout)
	if err != nil {
		return err
	}
	for _, c := range cfg.Caches {
		p.room = min(p.room, c.Pool().DataRoom())
		q, err := newQueue(c)
		if err != nil {
			return err
		}
		p.queues = append(p.queues, q)
	}
	mtu, err := p.carries(i)
	if err != nil {
		return err
	}
	return p.attach(i, mtu)
}

// Name implements port.Port.
func (p *Port) Name() string { return p.name }

// Kind implements port.Port.
func (p *Port) Kind() string { return "packet" }

// Queue implements port.Port.
func (p *Port) Queue(i int) port.Queue { return p.queues[i] }

// Queues implements port.Port.
func (p *Port) Queues() int { return len(p.queues) }

// Caps implements port.Port. RxCksum is false because the kernel verifies some packets' checksums only; OlFlags say which.
func (p *Port) Caps() port.Caps {
	return port.Caps{RSS: true, TxTCPCksum: true, TxUDPCksum: true, LargeBursts: true}
}

// MTU implements port.Port: the interface's MTU, or what the buffers hold where that is less.
func (p *Port) MTU() int { return int(p.mtu.Load()) }

// Close implements port.Port.
func (p *Port) Close() error {
	var errs []error
	for _, q := range p.queues {
		errs = append(errs, q.close())
	}
	p.queues = nil
	if err := errors.Join(append(errs, p.kernel.Close())...); err != nil {
		return fmt.Errorf("close interface %s: %w", p.name, err)
	}
	return nil
}
