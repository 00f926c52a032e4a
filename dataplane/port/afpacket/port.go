// Package afpacket is the kind of port named `packet`: a kernel network interface through AF_PACKET sockets, in pure Go.
// It is the port for machines without DPDK; it needs CAP_NET_RAW and nothing else.
//
// Each queue receives through a memory-mapped TPACKET_V2 ring of its own; with several queues the kernel spreads flows
// over them by a symmetric hash (PACKET_FANOUT_HASH), the same on every interface. Version 2 rather than 3: version 3
// hands over blocks, which a timer of a millisecond or more retires when traffic is thin, and that is too long for a bump
// in the wire. Every frame carries a virtio-net header, because only that says where a checksum that a local sender left
// unfinished lies, and whether the packet is a super-packet (TSO, GSO, GRO). Such checksums are completed; super-packets
// are dropped by name, and OffloadHint says how to prevent them.
//
// A burst is sent by one sendmmsg straight from its buffers through the interface's queueing discipline: a full queue
// leaves packets with the caller, and what the kernel refuses is counted. A transmit ring would save no copy, since veth
// copies the ring's pages, and would report no error per packet.
//
// Ownership: received frames are copied into buffers of the queue's cache, sent ones are copied by the kernel before
// TxBurst returns. Nothing is allocated after Open.
package afpacket

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"linecrypt/dataplane/port"
)

// linkPoll is how often Open looks whether the link came up.
const linkPoll = 20 * time.Millisecond

// Port is an open interface. It implements port.Port, and its queues port.Waiter.
type Port struct {
	name   string
	link   link
	mtu    int
	queues []*queue
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
	l, err := openLink(ifname)
	if err != nil {
		return nil, err
	}
	p := &Port{name: ifname, link: l}
	if err := p.start(cfg); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

func (p *Port) start(cfg port.Config) error {
	if err := p.link.await(cfg.OpenTimeout); err != nil {
		return err
	}
	mtu, err := p.link.mtu()
	if err != nil {
		return err
	}
	p.mtu = mtu
	for i := range cfg.Queues {
		room := cfg.Caches[i].Pool().DataRoom()
		if room < mtu+linkOverhead {
			return fmt.Errorf("an MTU of %d bytes does not fit buffers of %d: set it with `ip link set dev %s mtu %d` at most",
				mtu, room, p.name, room-linkOverhead)
		}
		q, err := openQueue(p.link.index, mtu, cfg.Caches[i])
		if err != nil {
			return fmt.Errorf("queue %d: %w", i, err)
		}
		p.queues = append(p.queues, q)
	}
	return p.join()
}

// join makes the receiving sockets share the interface's traffic and lets it in.
func (p *Port) join() error {
	if len(p.queues) > 1 {
		group, err := newFanout(p.queues[0].rxFd)
		if err != nil {
			return err
		}
		for _, q := range p.queues[1:] {
			if err := joinFanout(q.rxFd, group); err != nil {
				return err
			}
		}
	}
	if err := promiscuous(p.queues[0].rxFd, p.link.index); err != nil {
		return err
	}
	for _, q := range p.queues {
		if err := acceptAll(q.rxFd); err != nil {
			return err
		}
	}
	return nil
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
func (p *Port) Caps() port.Caps { return port.Caps{RSS: true} }

// MTU implements port.Port: the interface's MTU when it was opened.
func (p *Port) MTU() int { return p.mtu }

// LinkUp implements port.Port. An interface that was removed, or removed and made anew, is not up.
func (p *Port) LinkUp() bool { return p.link.up() }

// Close implements port.Port.
func (p *Port) Close() error {
	var errs []error
	for _, q := range p.queues {
		errs = append(errs, q.close())
	}
	p.queues = nil
	if err := errors.Join(append(errs, p.link.close())...); err != nil {
		return fmt.Errorf("close interface %s: %w", p.name, err)
	}
	return nil
}
