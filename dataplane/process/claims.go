package process

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"linecrypt/ctrlplane/instance"
	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/port/afpacket"
	"linecrypt/dataplane/port/afxdp"
	"linecrypt/dataplane/port/netif"
	"linecrypt/dataplane/port/portspec"
)

// claims keep other gateways away from the devices below the ports, and this one away from devices that cannot be ports. It is
// safe for concurrent use.
type claims struct {
	in  *instance.Instance
	net *netif.Handle

	mu     sync.Mutex
	ports  map[string]claimed // by the interface's name
	others []*instance.Device
}

type claimed struct {
	index  int
	device *instance.Device
}

func newClaims(in *instance.Instance) (*claims, error) {
	h, err := netif.Open()
	if err != nil {
		return nil, err
	}
	return &claims{in: in, net: h, ports: map[string]claimed{}}, nil
}

// take looks at the interfaces and devices that both ports are to attach to and claims them. Nothing has been attached to yet.
// The error comes with the key in the configuration.
func (c *claims) take(specs [2]portspec.Spec) (key string, err error) {
	var below [2][]netif.Interface
	for side, spec := range specs {
		if below[side], err = c.below(spec); err != nil {
			return sideKeys[side], err
		}
	}
	for _, a := range below[0] {
		for _, b := range below[1] {
			if err := c.net.Overlap(a, b); err != nil {
				return sideKeys[1], fmt.Errorf("it cannot be a port beside the inside port %s: %w", specs[0], err)
			}
		}
	}
	for side, spec := range specs {
		if address := spec.PCIAddress(); address != "" {
			d, err := c.in.ClaimPCI(address)
			if err != nil {
				return sideKeys[side], err
			}
			c.others = append(c.others, d)
		}
		for _, i := range below[side] {
			if err := c.claim(i.Name, i.Index); err != nil {
				return sideKeys[side], err
			}
		}
	}
	return "", nil
}

// below returns the interfaces that a port attaches to. A PCI device has some where its driver works beside the kernel's.
func (c *claims) below(spec portspec.Spec) ([]netif.Interface, error) {
	var found []netif.Interface
	for _, name := range slices.Concat(spec.Interfaces(), interfacesOf(spec.PCIAddress())) {
		i, err := c.net.ByName(name)
		if err != nil {
			return nil, fmt.Errorf("interface %s: %w", name, err)
		}
		found = append(found, i)
	}
	return found, nil
}

// dataRoom returns how large buffers are for what the interfaces of two ports carry now, and for the MTU of devices without one, 0 for
// their drivers' own. Once they are larger than usual they hold jumbo frames, so that MTUs may grow.
func (c *claims) dataRoom(specs [2]portspec.Spec, mtu int) (int, error) {
	room, limit := mbuf.DefaultDataRoom, mbuf.MaxDataRoom
	for _, spec := range specs {
		found, err := c.below(spec)
		if err != nil {
			return 0, err
		}
		if len(found) == 0 {
			found = []netif.Interface{{MTU: mtu}}
		}
		for _, i := range found {
			if n := roomFor(spec, i.MTU); n > room {
				room = max(n, mbuf.JumboDataRoom)
			}
		}
		limit = min(limit, largestRoom(spec))
	}
	return min(room, limit), nil
}

// roomFor returns how large buffers are for a port that carries IP packets of mtu bytes.
func roomFor(spec portspec.Spec, mtu int) int {
	switch spec.Kind {
	case portspec.DPDK:
		return dpdkRoom(spec.Device, mtu)
	case portspec.XDP:
		return mtu + afxdp.LinkOverhead
	}
	return mtu + afpacket.LinkOverhead
}

// largestRoom returns how large buffers may be for a port.
func largestRoom(spec portspec.Spec) int {
	if spec.DPDKAFXDP() {
		return xdpRoom()
	}
	return mbuf.MaxDataRoom
}

// interfacesOf lists the kernel's interfaces of a PCI device.
func interfacesOf(address string) []string {
	if address == "" {
		return nil
	}
	entries, err := os.ReadDir(filepath.Join("/sys/bus/pci/devices", address, "net"))
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// claim implements port.Config.Claim. An interface that was made anew has a new number; the claim of the one before it, which is
// gone, is given up.
func (c *claims) claim(name string, index int) error {
	i, err := c.net.ByIndex(index)
	if err != nil {
		return fmt.Errorf("interface %s: %w", name, err)
	}
	if err := c.net.Usable(i); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, have := range c.ports {
		if have.index == index {
			return nil
		}
	}
	d, err := c.in.ClaimInterface(index, name)
	if err != nil {
		return err
	}
	if old, ok := c.ports[name]; ok {
		old.device.Release()
	}
	c.ports[name] = claimed{index, d}
	return nil
}

// warn tells of what stands in the way of connections: routes around the gateway.
func (c *claims) warn(specs [2]portspec.Spec, log *slog.Logger) {
	var seen []netif.Interface
	for _, spec := range specs {
		if spec.AFXDP() {
			continue
		}
		if found, err := c.below(spec); err == nil {
			seen = append(seen, found...)
		}
	}
	line, err := c.net.RoutesBeside(seen...)
	switch {
	case err != nil:
		log.Warn("whether the kernel routes between the ports is not known", "error", err)
	case line != "":
		log.Warn("the kernel routes what it receives on the ports: hosts that have an address of this machine for their router "+
			"go around the gateway in the clear", "fix", line)
	}
}

// release gives all devices up.
func (c *claims) release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.ports {
		p.device.Release()
	}
	for _, d := range c.others {
		d.Release()
	}
	c.ports, c.others = nil, nil
	_ = c.net.Close()
}
