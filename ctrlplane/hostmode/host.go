package hostmode

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"time"

	"github.com/vishvananda/netlink"

	"linecrypt/ctrlplane/hostmode/steer"
)

// lookEvery is the interval of looking at interfaces and older connections.
const lookEvery = time.Second

// Options say what is protected.
type Options struct {
	Interfaces []string
	Container  bool // they are the host's ends of containers' veth pairs, and the containers are protected
	Guard      bool // without a gateway no TCP is to pass, not only none of encrypted connections
	// Connections is how many encrypted ones are kept from going on in the clear when all processes are killed at once.
	Connections int
	Name        string
	Log         *slog.Logger
}

// Host protects interfaces of the network namespace that it is made in.
type Host struct {
	opt    Options
	links  []netlink.Link
	ports  [2]*tap
	set    *steer.Set
	stop   context.CancelFunc
	looked chan struct{} // closed when look has ended

	guarded bool // guards were put on interfaces
	stays   bool // and are to stay there
}

// Fit returns an error that says why not and what to do when the interfaces cannot be protected. It changes nothing.
func Fit(o Options) error {
	_, err := o.fit()
	return err
}

func (o *Options) fit() ([]netlink.Link, error) {
	if len(o.Interfaces) == 0 {
		return nil, errors.New("no interface is given")
	}
	if len(o.Interfaces) > steer.MaxInterfaces {
		return nil, fmt.Errorf("%d interfaces are more than %d", len(o.Interfaces), steer.MaxInterfaces)
	}
	if err := checkRights(); err != nil {
		return nil, err
	}
	var links []netlink.Link
	var errs []error
	seen := map[int]string{}
	for _, name := range o.Interfaces {
		l, err := fit(name, o.Container)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if other, twice := seen[l.Attrs().Index]; twice {
			errs = append(errs, fmt.Errorf("interface %s: it is given twice, as %s too", name, other))
		}
		seen[l.Attrs().Index] = name
		links = append(links, l)
	}
	return links, errors.Join(errs...)
}

// New makes the ports of the gateway and attaches the programs. TCP goes on as ever until Protect is called.
func New(o Options) (*Host, error) {
	links, err := o.fit()
	if err != nil {
		return nil, err
	}
	o.Interfaces = slices.Clone(o.Interfaces)
	h := &Host{opt: o, links: links, stays: o.Guard}
	if err := h.make(); err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return h, nil
}

// Names of a host's ports, without their numbers.
const (
	insideTap  = "lchost-in"
	outsideTap = "lchost-out"
)

func (h *Host) make() error {
	for side, pattern := range []string{insideTap + "%d", outsideTap + "%d"} {
		t, err := newTap(pattern, largestMTU(h.links))
		if err != nil {
			return err
		}
		h.ports[side] = t
	}
	older, err := open()
	if err != nil {
		return err
	}
	var mark [4]byte
	if _, err := rand.Read(mark[:]); err != nil {
		return fmt.Errorf("mark of packets: %w", err)
	}
	// There may be more by the time that they are protected.
	if h.set, err = steer.New(binary.NativeEndian.Uint32(mark[:])|1, 2*len(older)+1024, h.opt.Connections); err != nil {
		return err
	}
	if err := h.set.Ports(h.ports[0].index, h.ports[1].index); err != nil {
		return err
	}
	for n := range h.links {
		if err := h.attach(n); err != nil {
			return err
		}
	}
	return nil
}

func largestMTU(links []netlink.Link) int {
	mtu := 0
	for _, l := range links {
		mtu = max(mtu, l.Attrs().MTU)
	}
	return mtu
}

// Ports returns the names of the gateway's ports.
func (h *Host) Ports() (inside, outside string) { return h.ports[0].name, h.ports[1].name }

// Protect begins: from here on TCP goes through the ports. The gateway is ready.
func (h *Host) Protect() error {
	older, err := open()
	if err != nil {
		return err
	}
	if err := h.set.Older(older); err != nil {
		return err
	}
	for n := range h.links {
		if err := h.guard(n); err != nil {
			return err
		}
	}
	if err := h.set.Switch(true); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	h.stop, h.looked = stop, make(chan struct{})
	go h.run(ctx)
	return nil
}

func (h *Host) protected(n int) steer.Protected {
	return steer.Protected{Index: h.links[n].Attrs().Index, Tag: n, Address: h.links[n].Attrs().HardwareAddr, Container: h.opt.Container}
}

func (h *Host) attach(n int) error {
	if err := h.set.Protect(h.protected(n), h.ports[0].index, h.ports[1].index); err != nil {
		return fmt.Errorf("interface %s: %w", h.opt.Interfaces[n], err)
	}
	return nil
}

// Files returns what another process has to have open to keep all this in place when this one is gone: copies, which the caller closes.
func (h *Host) Files() ([]*os.File, error) {
	files, err := h.set.Files()
	for _, t := range h.ports {
		f, dupErr := duplicate(t.file)
		if dupErr != nil {
			return files, errors.Join(err, dupErr)
		}
		files = append(files, f)
	}
	return files, err
}

// run looks after the interfaces until ctx is done.
func (h *Host) run(ctx context.Context) {
	defer close(h.looked)
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	said := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		text := ""
		if err := h.look(); err != nil {
			text = err.Error()
		}
		if text != "" && text != said {
			h.opt.Log.Warn("host mode", "reason", text)
		}
		said = text
	}
}

// look forgets older connections that have ended, follows MTUs and Ethernet addresses, and takes interfaces up again that were made anew.
func (h *Host) look() error {
	var errs []error
	for n, name := range h.opt.Interfaces {
		was := h.links[n].Attrs().Index
		l, err := current(was, name)
		if err != nil {
			errs = append(errs, fmt.Errorf("interface %s: %w", name, err))
			continue
		}
		if before, now := h.links[n].Attrs().Name, l.Attrs().Name; before != now {
			h.opt.Log.Info("an interface has another name, and is protected as before", "before", before, "now", now)
			h.opt.Interfaces[n] = now
		}
		if l.Attrs().Index != was {
			if err := unfit(l, h.opt.Container); err != nil {
				errs = append(errs, fmt.Errorf("interface %s: %w", name, err))
				continue
			}
		}
		h.links[n] = l
		if l.Attrs().Index != was {
			errs = append(errs, h.attach(n))
			errs = append(errs, h.guard(n))
		} else {
			errs = append(errs, h.set.SetAddress(h.protected(n)))
		}
	}
	errs = append(errs, h.followMTU(), h.prune())
	return errors.Join(errs...)
}

func (h *Host) followMTU() error {
	mtu := largestMTU(h.links)
	for _, t := range h.ports {
		l, err := netlink.LinkByIndex(t.index)
		if err == nil && l.Attrs().MTU != mtu {
			err = netlink.LinkSetMTU(l, mtu)
		}
		if err != nil {
			return fmt.Errorf("MTU of %s: %w", t.name, err)
		}
	}
	return nil
}

// prune does not ask about containers' connections, which are in namespaces of their own: what is not in use gives way to what is.
func (h *Host) prune() error {
	if h.opt.Container {
		return nil
	}
	return h.set.Prune(open)
}

// LeaveGuard has Release and Close leave the guards where they are, which they do by themselves where Options ask for them.
func (h *Host) LeaveGuard() { h.stays = true }

// Release lets TCP go the kernel's own way again, where no guard stays.
func (h *Host) Release() error {
	if h.stop != nil {
		h.stop()
		<-h.looked
		h.stop = nil
	}
	if h.set == nil {
		return nil
	}
	errs := []error{h.set.Switch(false), h.set.Release()}
	if h.guarded && !h.stays {
		h.guarded = false
		for n, name := range h.opt.Interfaces {
			_, err := openIfThere(current(h.links[n].Attrs().Index, name))
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Close is Release, and removes the ports.
func (h *Host) Close() error {
	errs := []error{h.Release()}
	if h.set != nil {
		errs = append(errs, h.set.Close())
		h.set = nil
	}
	for side, t := range h.ports {
		if t != nil {
			errs = append(errs, t.file.Close())
			h.ports[side] = nil
		}
	}
	return errors.Join(errs...)
}
