//go:build dpdk && cgo

package dpdk

/*
#cgo noescape rte_eth_stats_get
#cgo nocallback rte_eth_stats_get
#include <stdlib.h>
#include "ethdev.h"
#include "queue.h"
#include "xsk.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"linecrypt/dataplane/port"
)

// attachment is one opening of a port's device: it goes when the device goes. A port of AF_XDP has an Ethernet device for each
// receive queue of its interface, because the driver makes no device with several of them where the kernel's driver has no
// combined ones (veth), and does not close one properly.
type attachment struct {
	devices []*ethdev
	pools   []*pool
}

// ethdev is an Ethernet device of DPDK.
type ethdev struct {
	id     C.uint16_t
	driver string
	index  int // of the kernel's interface that it comes with, 0 for none
	caps   port.Caps
	socks  []int // sockets of the driver, one a queue where there are any
}

// attach probes and starts a device for each of names, or none. Wanted says what MTU to start a device with that has the interface of a
// number beside it, 0 for none.
func attach(names []string, pools []*pool, wanted func(index int) int) (*attachment, error) {
	a := &attachment{pools: pools}
	for _, name := range names {
		before := driverSockets()
		e, err := probe(name)
		if err == nil {
			a.devices = append(a.devices, e)
			e.socks = newSockets(before, driverSockets())
			err = e.start(pools, wanted)
		}
		if err != nil {
			return nil, errors.Join(err, a.release())
		}
	}
	return a, nil
}

func probe(name string) (*ethdev, error) {
	short, _, _ := strings.Cut(name, ",")
	cname, cargs := C.CString(short), C.CString(name)
	defer C.free(unsafe.Pointer(cname))
	defer C.free(unsafe.Pointer(cargs))
	e := new(ethdev)
	if rc := C.lc_dev_probe(cargs, cname, &e.id); rc < 0 {
		err := withLog(syscall.Errno(-rc))
		if IsPCI(name) {
			return nil, fmt.Errorf("probe: %w; the device must be bound to vfio-pci (dpdk-devbind.py) unless its driver shares it", err)
		}
		return nil, fmt.Errorf("probe: %w", err)
	}
	return e, nil
}

// start configures the device and brings it up.
func (e *ethdev) start(pools []*pool, wanted func(index int) int) error {
	c := (*C.struct_lc_dev)(C.calloc(1, C.sizeof_struct_lc_dev))
	defer C.free(unsafe.Pointer(c))
	c.port, c.queues = e.id, C.uint16_t(len(pools))
	rc := C.lc_dev_examine(c)
	if rc == 0 {
		e.driver, e.index = C.GoString(c.driver), int(c.if_index)
		if c.queues > c.max_queues {
			return fmt.Errorf("%w: %d are asked for, the device has %d", port.ErrFewQueues, c.queues, c.max_queues)
		}
		mtu := wanted(e.index)
		if mtu > int(c.max_mtu) {
			return fmt.Errorf("an MTU of %d is asked for, and the driver %s carries %d at most; take a packet port or an xdp port, which carry jumbo frames", mtu, e.driver, c.max_mtu)
		}
		c.mtu = C.uint16_t(mtu)
		rc = C.lc_dev_configure(c)
	}
	for i := 0; i < len(pools) && rc == 0; i++ {
		before := driverSockets()
		rc = C.lc_dev_queue(c, C.uint16_t(i), pools[i].mp)
		e.socks = append(e.socks, newSockets(before, driverSockets())...)
	}
	if rc == 0 {
		rc = C.lc_dev_start(c)
	}
	if rc < 0 && e.afXDP() {
		return fmt.Errorf("%s: %w; another program may use the interface's queue or its XDP hook",
			C.GoString(c.step), withLog(syscall.Errno(-rc)))
	}
	if rc < 0 {
		return fmt.Errorf("%s: %w", C.GoString(c.step), withLog(syscall.Errno(-rc)))
	}
	e.caps = port.Caps{RxCksum: c.rx_cksum != 0, TxIPv4Cksum: c.tx_ip_cksum != 0, TxTCPCksum: c.tx_tcp_cksum != 0, RSS: c.rss != 0}
	return nil
}

// afXDP reports whether the driver is net_af_xdp, which needs its own treatment in places.
func (e *ethdev) afXDP() bool { return e.driver == "net_af_xdp" }

// caps are those of all devices, which are alike.
func (a *attachment) caps() port.Caps { return a.devices[0].caps }

// queue makes what worker i polls: its ring of each device. It returns the sockets to wait for beside it, if the drivers have any.
func (a *attachment) queue(i int) (*C.struct_lc_queue, []int) {
	c := newRings(len(a.devices))
	var socks []int
	for n, e := range a.devices {
		r := &rings(c)[n]
		r.port, r.queue = e.id, C.uint16_t(i)
		if e.caps.TxTCPCksum || e.caps.TxIPv4Cksum {
			r.prepare = 1
		}
		if e.afXDP() {
			r.reap = 1
		}
		if len(e.socks) == len(a.pools) {
			socks = append(socks, e.socks[i])
		}
	}
	return c, socks
}

// addStats adds what the devices themselves count.
func (a *attachment) addStats(s *port.Stats) {
	for _, e := range a.devices {
		var c C.struct_rte_eth_stats
		if C.rte_eth_stats_get(e.id, &c) != 0 {
			continue
		}
		s.RxMissed += uint64(c.imissed) + uint64(c.ierrors)
		s.RxNoMbuf += uint64(c.rx_nombuf)
		// net_af_xdp counts as errors what it left to the caller to send again.
		if !e.afXDP() {
			s.TxErrors += uint64(c.oerrors)
		}
	}
}

// reclaim takes back the buffers that an AF_XDP device holds, which it would forget when it is closed: 2048 and more for each queue.
// No worker polls it any more, and its interface is gone or has no XDP program any more.
func (a *attachment) reclaim(gone bool) {
	always := C.int(0)
	if gone {
		always = 1
	}
	for _, e := range a.devices {
		if e.afXDP() && len(e.socks) == len(a.pools) {
			for i, fd := range e.socks {
				C.lc_xsk_reclaim(C.int(fd), a.pools[i].mp, always)
			}
		}
	}
}

// release closes the devices. Buffers that a device still held may be lost to the pool, see reclaim.
func (a *attachment) release() error {
	var errs []error
	for _, e := range a.devices {
		rc := C.lc_dev_close(e.id)
		if e.afXDP() {
			// The driver of 22.11 leaves its sockets bound to the interface's queues, which then cannot be opened again.
			for _, fd := range e.socks {
				_ = unix.Close(fd)
			}
		}
		if rc < 0 {
			errs = append(errs, withLog(syscall.Errno(-rc)))
		}
	}
	a.devices = nil
	return errors.Join(errs...)
}
