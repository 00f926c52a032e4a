// Package afxdp is the kind of port named `xdp`: a kernel network interface through AF_XDP sockets, in pure Go. It takes the frames away
// from the kernel before its network stack sees them, and is not bound to DPDK's driver: frames may be larger than a page of memory
// (Linux 6.6), and the program that leads them to the sockets goes with the process, however that ends.
//
// Each receive queue of the interface has a socket of its own over memory of its own (UMEM), cut into chunks of a page. The port is polled
// as one queue: it receives from all sockets in turn, and sends by the first, so that order is kept. What a chunk holds is copied: a received
// frame into one buffer of the queue's cache, however many chunks it came in (gather.go), a sent one into as many chunks as it needs (tx.go).
// A page is the largest chunk there is, and what lies in a buffer that the kernel knows nothing of may move, be kept and be sent elsewhere.
//
// The kernel says nothing of checksums here: it verifies none and computes none. Packets larger than the MTU, and packets whose checksum
// their sender left to hardware, are counted, as at DPDK's port of this kind.
//
// When the interface was removed and made anew, has other receive queues, or lost the program, Follow gives the worker nothing to poll; once
// the worker has let go of the sockets they are closed, and Follow opens others. The packet path allocates, locks and logs nothing.
package afxdp

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"linecrypt/dataplane/port"
	"linecrypt/dataplane/port/netif"
)

// LinkOverhead is what a frame may be longer than the MTU: the Ethernet header and two VLAN tags.
const LinkOverhead = ethHeader + 2*vlanTag

const (
	ethHeader = 14
	vlanTag   = 4
)

// MaxQueues bounds the receive queues of an interface that a port serves.
const MaxQueues = 16

// singleOverhead is what the kernel keeps of a page to itself where a frame must lie in one: room before the frame (XDP_PACKET_HEADROOM),
// and its own account behind it (struct skb_shared_info, and a cache line).
const singleOverhead = 256 + 320 + 64

// singleMTU is the largest IP packet in bytes that a port carries whose frames lie in one chunk each.
func singleMTU() int { return os.Getpagesize() - singleOverhead - LinkOverhead }

// Port is an open interface. It implements port.Port.
type Port struct {
	name   string
	kernel *netif.Handle
	claim  func(name string, index int) error
	room   int  // bytes of a frame that fit a buffer
	pieces bool // the kernel has frames of several chunks
	queue  *queue
	mtu    atomic.Int64

	// What follows belongs to the goroutine that opens, follows and closes the port.
	at       *attachment // nil while there is none
	index    int         // of the interface that it is attached to
	rxQueues int         // that the interface had then
	attached int         // how often it was
	failed   time.Time   // when it last could not attach
	failure  error       // and why
}

// Open opens the interface ifname, with one queue: more are port.ErrFewQueues. The interface must be up; Open waits cfg.OpenTimeout for
// that and for a carrier, and goes on without a carrier.
func Open(ifname string, cfg port.Config) (*Port, error) {
	return openWith(ifname, cfg, hasPieces())
}

func openWith(ifname string, cfg port.Config, pieces bool) (*Port, error) {
	p, err := open(ifname, cfg, pieces)
	if err != nil {
		return nil, fmt.Errorf("interface %s: %w", ifname, err)
	}
	return p, nil
}

func open(ifname string, cfg port.Config, pieces bool) (*Port, error) {
	if cfg.Queues < 1 || len(cfg.Caches) != cfg.Queues {
		return nil, fmt.Errorf("%d queues with %d buffer caches", cfg.Queues, len(cfg.Caches))
	}
	if cfg.Queues > 1 {
		return nil, fmt.Errorf("an xdp port has one queue, not %d: %w", cfg.Queues, port.ErrFewQueues)
	}
	kernel, err := netif.Open()
	if err != nil {
		return nil, err
	}
	p := &Port{name: ifname, kernel: kernel, claim: cfg.Claim, room: cfg.Caches[0].Pool().DataRoom(), pieces: pieces}
	if p.queue, err = newQueue(cfg.Caches[0]); err == nil {
		err = p.start(cfg.OpenTimeout)
	}
	if err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// busyWait is how long the interface may be another's when the port is opened: the kernel frees its queues and its hook some time after
// the process before has ended.
const (
	busyWait = time.Second
	busyPoll = 50 * time.Millisecond
)

func (p *Port) start(timeout time.Duration) error {
	var end time.Time
	for {
		i, err := p.kernel.AwaitUp(p.name, timeout)
		if err != nil {
			return err
		}
		if _, err := p.carries(i); err != nil {
			return err
		}
		if end.IsZero() {
			end = time.Now().Add(busyWait)
		}
		if err = p.attach(i); !errors.Is(err, errBusy) || time.Now().After(end) {
			return err
		}
		time.Sleep(busyPoll)
	}
}

// Name implements port.Port.
func (p *Port) Name() string { return p.name }

// Kind implements port.Port.
func (p *Port) Kind() string { return "xdp" }

// Queue implements port.Port.
func (p *Port) Queue(int) port.Queue { return p.queue }

// Queues implements port.Port.
func (p *Port) Queues() int { return 1 }

// Caps implements port.Port: none.
func (p *Port) Caps() port.Caps { return port.Caps{} }

// MTU implements port.Port: the interface's MTU, or what the port carries where that is less.
func (p *Port) MTU() int { return int(p.mtu.Load()) }

// Close implements port.Port.
func (p *Port) Close() error {
	var errs []error
	if p.queue != nil {
		p.queue.drop()
	}
	if p.at != nil {
		errs = append(errs, p.at.close())
		p.at = nil
	}
	if p.queue != nil {
		errs = append(errs, p.queue.Descriptor.Close())
	}
	if err := errors.Join(append(errs, p.kernel.Close())...); err != nil {
		return fmt.Errorf("close interface %s: %w", p.name, err)
	}
	return nil
}
