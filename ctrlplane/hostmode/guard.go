package hostmode

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// guardName is the name of the classifiers that remain, by which they are found again.
const guardName = "linecrypt-guard"

// guardPriority puts them behind the classifiers of others, and guardHandle tells theirs from other handles.
const (
	guardPriority = 0xc0de
	guardHandle   = 1
)

// guard puts the classifiers on an interface, in the place of those that an earlier process left there.
func (h *Host) guard(n int) error {
	p := h.protected(n)
	ingress, egress, err := h.set.Guard(p, h.opt.Guard)
	if err != nil {
		return err
	}
	h.guarded = true
	name := h.opt.Interfaces[n]
	clsact := &netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{LinkIndex: p.Index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT}}
	if err := netlink.QdiscAdd(clsact); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("make a place for the guard (tc qdisc add dev %s clsact): %w", name, err)
	}
	for _, g := range []struct {
		parent  uint32
		program *ebpf.Program
	}{{netlink.HANDLE_MIN_INGRESS, ingress}, {netlink.HANDLE_MIN_EGRESS, egress}} {
		f := &netlink.BpfFilter{
			FilterAttrs: netlink.FilterAttrs{LinkIndex: p.Index, Parent: g.parent, Handle: guardHandle, Protocol: unix.ETH_P_ALL, Priority: guardPriority},
			Fd:          g.program.FD(), Name: guardName, DirectAction: true,
		}
		if err := netlink.FilterReplace(f); err != nil {
			return fmt.Errorf("interface %s: put the guard on it: %w", name, err)
		}
	}
	return nil
}

// Open removes the guard from an interface, and reports whether there was one. An interface that is gone has none.
func Open(name string) (was bool, err error) { return openIfThere(netlink.LinkByName(name)) }

// openIfThere is Open for what a search for the interface has returned.
func openIfThere(l netlink.Link, err error) (was bool, _ error) {
	if missing := (netlink.LinkNotFoundError{}); errors.As(err, &missing) {
		return false, nil
	} else if err != nil {
		return false, fmt.Errorf("look for the interface: %w", err)
	}
	name := l.Attrs().Name
	for _, parent := range []uint32{netlink.HANDLE_MIN_INGRESS, netlink.HANDLE_MIN_EGRESS} {
		filters, err := netlink.FilterList(l, parent)
		if err != nil {
			return was, fmt.Errorf("interface %s: list the classifiers: %w", name, err)
		}
		for _, f := range filters {
			if b, ok := f.(*netlink.BpfFilter); !ok || b.Name != guardName {
				continue
			}
			if err := netlink.FilterDel(f); err != nil {
				return was, fmt.Errorf("interface %s: remove the guard: %w", name, err)
			}
			was = true
		}
	}
	if !was {
		return false, nil
	}
	return true, removeEmptyPlace(l)
}

// removeEmptyPlace removes the clsact qdisc where nobody else has a classifier in it.
func removeEmptyPlace(l netlink.Link) error {
	for _, parent := range []uint32{netlink.HANDLE_MIN_INGRESS, netlink.HANDLE_MIN_EGRESS} {
		if filters, err := netlink.FilterList(l, parent); err != nil || len(filters) > 0 {
			return err
		}
	}
	clsact := &netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{LinkIndex: l.Attrs().Index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT}}
	return netlink.QdiscDel(clsact)
}
