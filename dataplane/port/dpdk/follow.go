//go:build dpdk && cgo

package dpdk

/*
#include "ethdev.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"linecrypt/dataplane/port"
	"linecrypt/dataplane/port/netif"
)

// settle is how long packets that were on their way when an interface went may take to arrive.
const settle = 20 * time.Millisecond

// Follow implements port.Port. Of a device on a kernel interface the kernel knows better than its driver. When the interface was
// removed, the workers are given nothing to poll; once they have let go of the device it is closed, and opened again when there is
// an interface of that name.
func (d *device) Follow() port.State {
	quiet := d.quiet()
	if d.iface == "" {
		s := port.State{Link: port.LinkDown, Attached: d.attached, MTU: d.MTU()}
		if C.lc_dev_link(d.at.devices[0].id) != 0 {
			s.Link = port.LinkUp
		}
		s.Fault = d.readMTU()
		s.MTU = d.MTU()
		return s
	}
	i, err := d.kernel.Find(d.iface, d.index)
	if err != nil && !errors.Is(err, netif.ErrNone) {
		return port.State{Link: port.LinkDown, MTU: d.MTU(), Attached: d.attached, Fault: err}
	}
	fault := d.takeUp(i, quiet)
	s := port.State{Link: port.LinkDown, MTU: d.MTU(), Attached: d.attached, Fault: fault}
	switch {
	case d.at == nil || i.Index != d.index:
		s.Link = port.LinkGone
	case i.Up():
		s.Link = port.LinkUp
	}
	return s
}

// takeUp has the port go with what became of its interface; i is zero when there is none. Quiet says that the workers poll what
// they were given last.
func (d *device) takeUp(i netif.Interface, quiet bool) error {
	lost := i.Index != d.index || d.xdp && i.XDP == 0 || d.xdp && d.kernel.RxQueues(i.Name) != d.rxQueues && i.Index != 0
	switch {
	case d.at != nil && !lost:
		return d.adapt(i)
	case d.at != nil && !d.handedNothing():
		return d.handNothing()
	case !quiet:
		return nil
	case d.at != nil:
		return d.detach(i)
	case i.Index == 0:
		return nil
	case i.Flags&unix.IFF_UP == 0:
		return errDown(d.iface)
	case time.Since(d.failed) < netif.RetryEvery:
		return d.failure
	}
	if err := d.attach(i); err != nil {
		d.failed, d.failure = time.Now(), fmt.Errorf("cannot be taken up: %w", err)
		return d.failure
	}
	return nil
}

// adapt follows an interface that is still the same.
func (d *device) adapt(i netif.Interface) error {
	mtu, fault := d.carries(i)
	if mtu != d.MTU() {
		d.mtu.Store(int64(mtu))
	}
	if i.Master != 0 && fault == nil {
		fault = d.kernel.Usable(i)
	}
	return fault
}

func (d *device) handedNothing() bool { return d.queues[0].current.rings == 0 }

// handNothing gives the workers nothing to poll.
func (d *device) handNothing() error {
	var errs []error
	for _, q := range d.queues {
		errs = append(errs, d.give(q, newRings(0), nil))
	}
	return errors.Join(errs...)
}

// detach closes the device, which nobody polls any more.
func (d *device) detach(i netif.Interface) error {
	d.at.addStats(&d.queues[0].before)
	// The driver complains of an interface that is gone; there is nothing to be done about it.
	_ = d.withdraw(i.Index != d.index)
	return nil
}

// withdraw closes the device; gone says that its interface is. Before that an AF_XDP device gets back what it would forget.
func (d *device) withdraw(gone bool) error {
	if d.xdp {
		if !gone {
			_ = d.kernel.DetachXDP(d.index)
		}
		// The kernel then takes nothing out of the rings any more, nor does it put anything in.
		time.Sleep(settle)
		d.at.reclaim(gone)
	}
	discardLog()
	err := d.at.release()
	d.at, d.index = nil, 0
	return err
}
