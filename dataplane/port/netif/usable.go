package netif

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Usable returns nil when a port may attach to the interface, and otherwise why not and the command that helps. A port must be
// an Ethernet interface, and no bridge, bond or the like may take its frames: plaintext would go around the gateway. The same
// holds for what is made on top of it (VLAN, macvlan).
func (h *Handle) Usable(i Interface) error {
	if i.Type != unix.ARPHRD_ETHER {
		return fmt.Errorf("not an Ethernet interface (ARP hardware type %d)", i.Type)
	}
	if i.Master != 0 {
		return h.enslaved(i, "")
	}
	all, err := h.All()
	if err != nil {
		return err
	}
	return h.usableAbove(i, all, maxStack)
}

// maxStack bounds how many interfaces made on top of each other are looked at; the kernel has such a bound of 8.
const maxStack = 8

func (h *Handle) usableAbove(i Interface, all []Interface, depth int) error {
	for _, upper := range all {
		if upper.Lower != i.Index || !upper.stacked() {
			continue
		}
		if upper.Master != 0 {
			return h.enslaved(upper, " (made on "+i.Name+")")
		}
		if depth > 0 {
			if err := h.usableAbove(upper, all, depth-1); err != nil {
				return err
			}
		}
	}
	return nil
}

// stacked tells an interface that lies on its Lower from a veth, whose Lower is the other end.
func (i *Interface) stacked() bool { return i.Lower != 0 && i.Kind != "veth" }

// enslaved names the master, which is in the same namespace as its ports.
func (h *Handle) enslaved(i Interface, where string) error {
	what := fmt.Sprintf("interface %d", i.Master)
	if m, err := h.ByIndex(i.Master); err == nil {
		what = m.Name
		if m.Kind != "" {
			what += ", a " + m.Kind
		}
	}
	return fmt.Errorf("%s%s is a port of %s, which would carry plaintext around the gateway; take it out with `ip link set dev %s nomaster`",
		i.Name, where, what, i.Name)
}

// Overlap returns nil when two interfaces can be the two ports of a gateway, and otherwise why not: they are one, one is made on
// the other, or they are the two ends of one veth pair.
func (h *Handle) Overlap(a, b Interface) error {
	switch {
	case a.Index == b.Index:
		return fmt.Errorf("%s is the same interface", b.Name)
	case a.Kind == "veth" && a.Lower == b.Index:
		return fmt.Errorf("%s is the other end of %s: what one sends the other receives", b.Name, a.Name)
	}
	for _, p := range [][2]Interface{{a, b}, {b, a}} {
		upper, lower := p[0], p[1]
		for range maxStack {
			if !upper.stacked() {
				break
			}
			if upper.Lower == lower.Index {
				return fmt.Errorf("%s is made on %s: both carry the same frames", p[0].Name, lower.Name)
			}
			next, err := h.ByIndex(upper.Lower)
			if err != nil {
				break
			}
			upper = next
		}
	}
	return nil
}
