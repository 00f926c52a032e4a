package hostmode

import (
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"

	"linecrypt/ctrlplane/hostmode/steer"
)

// fit returns the interface of a name when host mode can protect it, and otherwise why not and what helps. It changes nothing.
func fit(name string, container bool) (netlink.Link, error) {
	l, err := netlink.LinkByName(name)
	if missing := (netlink.LinkNotFoundError{}); errors.As(err, &missing) {
		return nil, fmt.Errorf("interface %s: there is none of that name here; `ip -brief link` lists them", name)
	} else if err != nil {
		return nil, fmt.Errorf("interface %s: %w", name, err)
	}
	if err := unfit(l, container); err != nil {
		return nil, fmt.Errorf("interface %s: %w", name, err)
	}
	return l, nil
}

func unfit(l netlink.Link, container bool) error {
	a := l.Attrs()
	switch {
	case a.Flags&net.FlagLoopback != 0:
		return errors.New("the loopback interface carries what never leaves the machine: name the one towards the network, as `ip route get 1.1.1.1` shows it")
	case a.EncapType != "ether":
		return fmt.Errorf("not an Ethernet interface (%s): name the one below it that carries its packets", a.EncapType)
	case a.MasterIndex != 0 && !container:
		master := fmt.Sprintf("interface %d", a.MasterIndex)
		kind := "bridge, bond or the like"
		if m, err := netlink.LinkByIndex(a.MasterIndex); err == nil {
			master, kind = m.Attrs().Name, m.Type()
		}
		return fmt.Errorf("it is a port of %s, a %s, which has the machine's addresses in its place: give --interface %s, or take it out with `ip link set dev %s nomaster`", master, kind, master, a.Name)
	case a.Flags&net.FlagUp == 0:
		return fmt.Errorf("it is down: bring it up with `ip link set dev %s up`", a.Name)
	}
	if err := steer.Check(a.Index); err != nil {
		return err
	}
	return placeForGuard(l)
}

// placeForGuard returns an error where the interface has the older kind of the place that the guard needs, which the kernel lets nobody have besides.
func placeForGuard(l netlink.Link) error {
	all, err := netlink.QdiscList(l)
	if err != nil {
		return fmt.Errorf("list its qdiscs: %w", err)
	}
	for _, q := range all {
		if _, older := q.(*netlink.Ingress); older || q.Type() == "ingress" {
			name := l.Attrs().Name
			return fmt.Errorf("it has an ingress qdisc, beside which there is no place for host mode's guard: use clsact for it, which takes the same filters (`tc qdisc del dev %s ingress && tc qdisc add dev %s clsact`, then the filters again)", name, name)
		}
	}
	return nil
}
