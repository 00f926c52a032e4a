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
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/port"
	"linecrypt/dataplane/port/netif"
)

// linkPoll is how often Open looks whether a link has come up.
const linkPoll = 10 * time.Millisecond

// Open waits this long before it tries a busy AF_XDP queue again, four times as long before the last time.
const (
	busyWait    = 100 * time.Millisecond
	busyWaitMax = 4 * busyWait
)

// device is a port on a device of DPDK. It implements port.Port.
type device struct {
	name   string
	kernel *netif.Handle
	claim  func(name string, index int) error
	iface  string // the kernel interface below, or ""
	xdp    bool   // it is one of AF_XDP
	pools  []*pool
	queues []*queue
	caps   port.Caps
	mtu    atomic.Int64
	setMTU int // what the user wants of a device without an interface, 0 for what its driver has

	// What follows belongs to the goroutine that opens, follows and closes the port.
	at       *attachment // nil while there is no device
	index    int         // of the interface that it is attached to
	rxQueues int         // that the interface had then
	attached int         // how often it was
	failed   time.Time   // when it last could not attach
	failure  error       // and why
	letGo    []*C.struct_lc_queue
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
	d := &device{name: name, claim: cfg.Claim, xdp: strings.HasPrefix(name, "net_af_xdp"), setMTU: cfg.MTU}
	if err := d.open(cfg); err != nil {
		return nil, fmt.Errorf("dpdk port %s: %w", name, errors.Join(err, d.close()))
	}
	return d, nil
}

func (d *device) open(cfg port.Config) (err error) {
	if !initialised() {
		return errNoInit
	}
	if !IsDevice(d.name) {
		return errors.New("neither a PCI address nor a virtual device such as net_af_xdp0,iface=eth1")
	}
	if d.pools, err = poolsOf(cfg); err != nil {
		return err
	}
	if d.kernel, err = netif.Open(); err != nil {
		return err
	}
	if err := d.makeQueues(); err != nil {
		return err
	}
	if d.iface = interfaceOf(d.name); d.iface == "" {
		if err = d.checkSet(); err == nil {
			err = d.attach(netif.Interface{})
		}
	} else {
		err = d.openInterface()
	}
	if err != nil {
		return err
	}
	d.awaitLink(cfg.OpenTimeout)
	return nil
}

// makeQueues makes a queue for each pool, with nothing to poll yet.
func (d *device) makeQueues() error {
	for i := range d.pools {
		wait, err := port.NewDescriptor()
		if err != nil {
			return err
		}
		d.queues = append(d.queues, &queue{Descriptor: wait, index: i, dev: d})
	}
	return nil
}

// openInterface attaches to the kernel interface that a virtual device sits on, if that is usable: its driver would open one that
// is down and never receive.
func (d *device) openInterface() error {
	i, err := d.kernel.ByName(d.iface)
	if err != nil {
		return fmt.Errorf("interface %s: %w", d.iface, err)
	}
	if i.Flags&unix.IFF_UP == 0 {
		return errDown(d.iface)
	}
	if _, err := d.carries(i); err != nil {
		return err
	}
	return d.attach(i)
}

func errDown(name string) error {
	return fmt.Errorf("interface %s is down (ip link set %s up)", name, name)
}

// interfaceOf returns the kernel interface that a virtual device attaches to; net_tap makes its own.
func interfaceOf(device string) string {
	for arg := range strings.SplitSeq(device, ",") {
		if name, ok := strings.CutPrefix(arg, "iface="); ok && !strings.HasPrefix(device, "net_tap") {
			return name
		}
	}
	return ""
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

// attach brings the device up on an interface, or on none, and hands its queues to the workers.
func (d *device) attach(i netif.Interface) error {
	if d.claim != nil && i.Index != 0 {
		if err := d.claim(d.iface, i.Index); err != nil {
			return err
		}
	}
	names := []string{d.name}
	switch driver(d.name) {
	case "net_af_packet":
		names[0] = withSlots(d.name, d.pools[0].dataRoom)
	case "net_af_xdp":
		var err error
		if names, err = d.prepareXDP(i); err != nil {
			return err
		}
	}
	a, err := d.bringUp(names)
	if err != nil {
		return err
	}
	if err := d.claimMade(a.devices[0].index); err != nil {
		return errors.Join(err, a.release())
	}
	return d.use(a, i)
}

// claimMade claims the interface that a driver made by itself (net_tap), or has beside the kernel's driver (mlx5).
func (d *device) claimMade(index int) error {
	i := d.beside(index)
	if d.claim == nil || i.Index == 0 {
		return nil
	}
	return d.claim(i.Name, index)
}

// use hands the queues of an attachment to the workers.
func (d *device) use(a *attachment, i netif.Interface) error {
	d.at, d.index, d.caps = a, i.Index, a.caps()
	d.attached++
	var errs []error
	for n, q := range d.queues {
		q.inspect = d.iface != "" && !d.caps.RxCksum
		c, socks := a.queue(n)
		errs = append(errs, d.give(q, c, socks))
	}
	if mtu, _ := d.carries(i); mtu != 0 {
		d.mtu.Store(int64(mtu))
	} else {
		errs = append(errs, d.readMTU())
	}
	return errors.Join(errs...)
}

// bringUp probes and starts the devices. The kernel frees the queue of an AF_XDP socket some time after its process ended,
// so a gateway that is started again at once may find it busy, which the driver does not tell from other failures. Each
// failure costs the pool what the driver has put into its ring, so there are few tries.
func (d *device) bringUp(names []string) (*attachment, error) {
	for wait := busyWait; ; wait *= 4 {
		discardLog()
		a, err := attach(names, d.pools, d.wanted)
		if err == nil || !d.xdp || wait > busyWaitMax {
			return a, err
		}
		time.Sleep(wait)
	}
}

// give hands rings to a worker. Those it polled until then are freed once it has let go of them.
func (d *device) give(q *queue, c *C.struct_lc_queue, socks []int) error {
	if q.current != nil {
		d.letGo = append(d.letGo, q.current)
	}
	return q.hand(c, socks)
}

// quiet reports whether every worker polls what it was given last, and then frees what they polled before.
func (d *device) quiet() bool {
	for _, q := range d.queues {
		if !q.taken() {
			return false
		}
	}
	for _, c := range d.letGo {
		C.free(unsafe.Pointer(c))
	}
	d.letGo = nil
	return true
}

// readMTU takes the MTU of a device that sits on no interface from its driver, and from the interface beside it, if it has one and
// that carries less. A fault says that the interface could carry more.
func (d *device) readMTU() (fault error) {
	var mtu C.uint16_t
	e := d.at.devices[0]
	if rc := C.rte_eth_dev_get_mtu(e.id, &mtu); rc < 0 {
		return fmt.Errorf("read MTU: %w", syscall.Errno(-rc))
	}
	carried := min(int(mtu), d.room())
	if i := d.beside(e.index); i.MTU > carried {
		fault = fmt.Errorf("interface %s has an MTU of %d, of which the driver %s carries %d (`ip link set %s mtu %d`)", i.Name, i.MTU, e.driver, carried, i.Name, carried)
	} else if i.MTU != 0 {
		carried = i.MTU
	}
	d.mtu.Store(int64(carried))
	return fault
}

func (d *device) awaitLink(limit time.Duration) {
	for end := time.Now().Add(limit); d.Follow().Link != port.LinkUp && time.Now().Before(end); {
		time.Sleep(linkPoll)
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
func (d *device) MTU() int { return int(d.mtu.Load()) }

// Close implements port.Port. Buffers that the device still held may be lost to the pool: net_af_xdp forgets those that the
// interface's driver works on.
func (d *device) Close() error {
	if err := d.close(); err != nil {
		return fmt.Errorf("dpdk port %s: close: %w", d.name, err)
	}
	return nil
}

func (d *device) close() error {
	var errs []error
	if d.at != nil {
		errs = append(errs, d.withdraw(false))
	}
	for _, q := range d.queues {
		errs = append(errs, q.Descriptor.Close())
		C.free(unsafe.Pointer(q.current))
		q.current = nil
	}
	for _, c := range d.letGo {
		C.free(unsafe.Pointer(c))
	}
	d.queues, d.letGo = nil, nil
	if d.kernel != nil {
		errs = append(errs, d.kernel.Close())
		d.kernel = nil
	}
	return errors.Join(errs...)
}

var _ mbuf.Pool = (*pool)(nil)
