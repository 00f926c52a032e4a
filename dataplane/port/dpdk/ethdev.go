//go:build dpdk && cgo

package dpdk

/*
#include <stdlib.h>
#include "ethdev.h"
#include "queue.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"net"
	"os"
	"regexp"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/port"
)

// linkPoll is how often Open looks whether a link has come up.
const linkPoll = 10 * time.Millisecond

// Open waits this long before it tries a busy AF_XDP queue again, four times as long before the last time.
const (
	busyWait    = 100 * time.Millisecond
	busyWaitMax = 4 * busyWait
)

// device is an open Ethernet device.
type device struct {
	name   string
	driver string
	id     C.uint16_t
	iface  string // the kernel interface below, or ""
	mtu    int
	caps   port.Caps
	queues []port.Queue
	cq     []C.struct_lc_queue // in C memory
	socks  []int               // sockets the driver leaves open
}

var pciAddress = regexp.MustCompile(`^([0-9a-fA-F]{4,8}:)?[0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.[0-7]$`)

// IsDevice reports whether s has the form of a device that Open takes: the PCI address of a device, or a virtual device as
// in EAL's --vdev (net_af_xdp0,iface=eth1), either with arguments after a comma.
func IsDevice(s string) bool {
	name, _, _ := strings.Cut(s, ",")
	return pciAddress.MatchString(name) || strings.HasPrefix(name, "net_") && len(name) > len("net_")
}

// IsPCI reports whether s names a device by its PCI address; Init must then have Options.PCI.
func IsPCI(s string) bool {
	name, _, _ := strings.Cut(s, ",")
	return pciAddress.MatchString(name)
}

// Open probes, configures and starts a device (see IsDevice for its name). Init must have been called, and every cache of
// cfg must lie over a pool of NewPool. An interface named by `iface=` must exist and be up.
func Open(name string, cfg port.Config) (port.Port, error) {
	d := &device{name: name}
	if err := d.open(cfg); err != nil {
		return nil, fmt.Errorf("dpdk port %s: %w", name, err)
	}
	return d, nil
}

func (d *device) open(cfg port.Config) error {
	if !initialised() {
		return errNoInit
	}
	if !IsDevice(d.name) {
		return errors.New("neither a PCI address nor a virtual device such as net_af_xdp0,iface=eth1")
	}
	pools, err := poolsOf(cfg)
	if err != nil {
		return err
	}
	if err := d.checkInterface(); err != nil {
		return err
	}
	if strings.HasPrefix(d.name, "net_af_xdp") {
		if err := d.checkUMEM(pools); err != nil {
			return err
		}
	}
	if err := d.bringUp(pools); err != nil {
		return err
	}
	d.awaitLink(cfg.OpenTimeout)
	return nil
}

// bringUp probes and starts the device. The kernel frees the queue of an AF_XDP socket some time after its process ended,
// so a gateway that is started again at once may find it busy, which the driver does not tell from other failures. Each
// failure costs the pool what the driver has put into its ring, so there are few tries.
func (d *device) bringUp(pools []*pool) error {
	for wait := busyWait; ; wait *= 4 {
		discardLog()
		before := driverSockets()
		if err := d.probe(); err != nil {
			return err
		}
		d.socks = newSockets(before, driverSockets())
		err := d.start(pools)
		if err == nil {
			return nil
		}
		retry := d.afXDP() && wait <= busyWaitMax
		if err = errors.Join(err, d.release()); !retry {
			return err
		}
		time.Sleep(wait)
	}
}

// poolsOf checks cfg and returns the pool of each queue.
func poolsOf(cfg port.Config) ([]*pool, error) {
	if cfg.Queues < 1 || cfg.Queues > 1024 || len(cfg.Caches) != cfg.Queues {
		return nil, fmt.Errorf("%d queues with %d buffer caches", cfg.Queues, len(cfg.Caches))
	}
	pools := make([]*pool, cfg.Queues)
	for i, c := range cfg.Caches {
		p, err := poolOf(c)
		if err != nil {
			return nil, fmt.Errorf("queue %d: %w", i, err)
		}
		pools[i] = p
	}
	return pools, nil
}

// checkInterface finds the kernel interface that a virtual device sits on and sees that it is usable: its driver would
// open one that is down and never receive.
func (d *device) checkInterface() error {
	for arg := range strings.SplitSeq(d.name, ",") {
		if name, ok := strings.CutPrefix(arg, "iface="); ok {
			d.iface = name
		}
	}
	if d.iface == "" || strings.HasPrefix(d.name, "net_tap") {
		d.iface = "" // net_tap makes its interface itself
		return nil
	}
	ifc, err := net.InterfaceByName(d.iface)
	if err != nil {
		return fmt.Errorf("interface %s: %w", d.iface, err)
	}
	if ifc.Flags&net.FlagUp == 0 {
		return fmt.Errorf("interface %s is down (ip link set %s up)", d.iface, d.iface)
	}
	d.mtu = ifc.MTU
	return nil
}

// checkUMEM sees that net_af_xdp can lay its UMEM over the pools: one object is one chunk, which the kernel wants between
// 2048 bytes and a page, and the kernel keeps xdpHeadroom bytes of it to itself.
func (d *device) checkUMEM(pools []*pool) error {
	const xdpHeadroom, minChunk, ethernet = 256, 2048, 14 + 2*4
	if C.rte_eal_iova_mode() != C.RTE_IOVA_VA {
		return errors.New("net_af_xdp needs virtual I/O addresses, but a physical device made EAL choose physical ones")
	}
	for _, p := range pools {
		if chunk := objectOverhead + p.dataRoom; chunk < minChunk || chunk > os.Getpagesize() {
			return fmt.Errorf("net_af_xdp cannot use buffers of %d bytes", p.dataRoom)
		}
		if room := p.dataRoom - xdpHeadroom; d.mtu+ethernet > room {
			return fmt.Errorf("interface %s has an MTU of %d, of which %d fit a buffer (ip link set %s mtu %d)",
				d.iface, d.mtu, room-ethernet, d.iface, room-ethernet)
		}
	}
	return nil
}

func (d *device) probe() error {
	name, _, _ := strings.Cut(d.name, ",")
	cname, cargs := C.CString(name), C.CString(d.name)
	defer C.free(unsafe.Pointer(cname))
	defer C.free(unsafe.Pointer(cargs))
	if rc := C.lc_dev_probe(cargs, cname, &d.id); rc < 0 {
		err := withLog(syscall.Errno(-rc))
		if IsPCI(d.name) {
			return fmt.Errorf("probe: %w; the device must be bound to vfio-pci (dpdk-devbind.py) unless its driver shares it", err)
		}
		return fmt.Errorf("probe: %w", err)
	}
	return nil
}

// start configures the device and brings it up.
func (d *device) start(pools []*pool) error {
	c := (*C.struct_lc_dev)(C.calloc(1, C.sizeof_struct_lc_dev))
	defer C.free(unsafe.Pointer(c))
	c.port, c.queues = d.id, C.uint16_t(len(pools))
	rc := C.lc_dev_configure(c)
	if rc < 0 && c.queues > c.max_queues {
		return fmt.Errorf("%d queues are asked for, the device has %d", c.queues, c.max_queues)
	}
	d.driver = C.GoString(c.driver)
	for i := 0; i < len(pools) && rc == 0; i++ {
		before := driverSockets()
		rc = C.lc_dev_queue(c, C.uint16_t(i), pools[i].mp)
		d.socks = append(d.socks, newSockets(before, driverSockets())...)
	}
	if rc == 0 {
		rc = C.lc_dev_start(c)
	}
	if rc < 0 && d.afXDP() {
		return fmt.Errorf("%s: %w; another program may use the interface's queue or its XDP hook",
			C.GoString(c.step), withLog(syscall.Errno(-rc)))
	}
	if rc < 0 {
		return fmt.Errorf("%s: %w", C.GoString(c.step), withLog(syscall.Errno(-rc)))
	}
	d.caps = port.Caps{RxCksum: c.rx_cksum != 0, TxIPv4Cksum: c.tx_ip_cksum != 0, TxTCPCksum: c.tx_tcp_cksum != 0, RSS: c.rss != 0}
	d.makeQueues(len(pools))
	return d.readMTU()
}

// afXDP reports whether the driver is net_af_xdp, which needs its own treatment in places.
func (d *device) afXDP() bool { return d.driver == "net_af_xdp" }

func (d *device) makeQueues(n int) {
	d.cq = unsafe.Slice((*C.struct_lc_queue)(C.calloc(C.size_t(n), C.sizeof_struct_lc_queue)), n)
	for i := range n {
		c := &d.cq[i]
		c.port, c.queue = d.id, C.uint16_t(i)
		if d.caps.TxTCPCksum || d.caps.TxIPv4Cksum {
			c.prepare = 1
		}
		if d.afXDP() {
			c.reap = 1
		}
		q := queue{c: c, dev: d}
		if len(d.socks) == n {
			d.queues = append(d.queues, &waitQueue{queue: q, fd: d.socks[i]})
		} else {
			d.queues = append(d.queues, &q)
		}
	}
}

func (d *device) readMTU() error {
	if d.mtu != 0 {
		return nil
	}
	var mtu C.uint16_t
	if rc := C.rte_eth_dev_get_mtu(d.id, &mtu); rc < 0 {
		return fmt.Errorf("read MTU: %w", syscall.Errno(-rc))
	}
	d.mtu = int(mtu)
	return nil
}

func (d *device) awaitLink(limit time.Duration) {
	for end := time.Now().Add(limit); !d.linkUp() && time.Now().Before(end); {
		time.Sleep(linkPoll)
	}
}

// addStats adds what the device itself counts.
func (d *device) addStats(s *port.Stats) {
	var c C.struct_rte_eth_stats
	if C.rte_eth_stats_get(d.id, &c) != 0 {
		return
	}
	s.RxMissed += uint64(c.imissed) + uint64(c.ierrors)
	s.RxNoMbuf += uint64(c.rx_nombuf)
	// net_af_xdp counts as errors what it left to the caller to send again.
	if !d.afXDP() {
		s.TxErrors += uint64(c.oerrors)
	}
}

// Name implements port.Port.
func (d *device) Name() string { return d.name }

// Kind implements port.Port.
func (d *device) Kind() string { return "dpdk" }

// Queue implements port.Port.
func (d *device) Queue(i int) port.Queue { return d.queues[i] }

// Queues implements port.Port.
func (d *device) Queues() int { return len(d.queues) }

// Caps implements port.Port.
func (d *device) Caps() port.Caps { return d.caps }

// MTU implements port.Port.
func (d *device) MTU() int { return d.mtu }

// Follow implements port.Port. Of a device on a kernel interface the kernel knows better than its driver.
func (d *device) Follow() port.State {
	s := port.State{Link: port.LinkDown, MTU: d.mtu, Attached: 1}
	if d.linkUp() {
		s.Link = port.LinkUp
	}
	return s
}

func (d *device) linkUp() bool {
	if d.iface == "" {
		return C.lc_dev_link(d.id) != 0
	}
	ifc, err := net.InterfaceByName(d.iface)
	return err == nil && ifc.Flags&net.FlagRunning != 0
}

// Close implements port.Port. Buffers that the device still held may be lost to the pool: net_af_xdp forgets those in its
// kernel rings (2048 and what was on its way, for each queue).
func (d *device) Close() error {
	if err := d.release(); err != nil {
		return fmt.Errorf("dpdk port %s: close: %w", d.name, err)
	}
	return nil
}

func (d *device) release() error {
	rc := C.lc_dev_close(d.id)
	if d.afXDP() {
		// The driver of 22.11 leaves its sockets bound to the interface's queues, which then cannot be opened again.
		for _, fd := range d.socks {
			_ = unix.Close(fd)
		}
	}
	d.queues, d.socks = nil, nil
	C.free(unsafe.Pointer(unsafe.SliceData(d.cq)))
	d.cq = nil
	if rc < 0 {
		return withLog(syscall.Errno(-rc))
	}
	return nil
}

var _ mbuf.Pool = (*pool)(nil)
