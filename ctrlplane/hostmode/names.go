package hostmode

import "github.com/vishvananda/netlink"

// current returns the interface that has an index, whatever its name is by now, or else the one that has its name by now, which was made anew.
func current(index int, name string) (netlink.Link, error) {
	if l, err := netlink.LinkByIndex(index); err == nil {
		return l, nil
	}
	return netlink.LinkByName(name)
}

// Follow returns a function that says which names interfaces of these names have by then. Those that are gone it leaves out.
func Follow(names []string) (now func() []string) {
	index := map[string]int{}
	for _, name := range names {
		if l, err := netlink.LinkByName(name); err == nil {
			index[name] = l.Attrs().Index
		}
	}
	return func() (there []string) {
		for _, name := range names {
			if l, err := current(index[name], name); err == nil {
				there = append(there, l.Attrs().Name)
			}
		}
		return there
	}
}
