package connections

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Filter chooses connections; the zero value takes all.
type Filter struct {
	Peer netip.Prefix // of the far end's address; the zero value is every one
	Port uint16       // of either end; 0 is every one
}

// Takes reports whether the filter takes a connection.
func (f *Filter) Takes(c *Connection) bool {
	if f.Port != 0 && c.Key.InsidePort != f.Port && c.Key.OutsidePort != f.Port {
		return false
	}
	return !f.Peer.IsValid() || f.Peer.Contains(netip.AddrFrom16(c.Key.Outside).Unmap())
}

// Only returns those of a list that the filter takes.
func (f *Filter) Only(list []Connection) []Connection {
	return slices.DeleteFunc(list, func(c Connection) bool { return !f.Takes(&c) })
}

// ParsePeer reads an address or a prefix.
func ParsePeer(text string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(text); err == nil {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return p, fmt.Errorf("%q is neither an address nor a prefix", text)
	}
	return p.Masked(), nil
}

// orders are what a list is sorted by. What there is most of comes first, but for ages, of which the oldest does, and for addresses.
var orders = map[string]func(a, b *Connection) int{
	"age":   func(a, b *Connection) int { return cmp.Compare(b.AgeS, a.AgeS) },
	"rate":  func(a, b *Connection) int { return cmp.Compare(b.Rate, a.Rate) },
	"bytes": func(a, b *Connection) int { return cmp.Compare(b.bytes(), a.bytes()) },
	"idle":  func(a, b *Connection) int { return cmp.Compare(b.IdleS, a.IdleS) },
	"peer": func(a, b *Connection) int {
		return cmp.Or(slices.Compare(a.Key.Outside[:], b.Key.Outside[:]), cmp.Compare(a.Key.OutsidePort, b.Key.OutsidePort))
	},
}

// Orders are the names of the orders.
const Orders = "age, bytes, idle, peer or rate"

// Sort puts a list into an order, by its name.
func Sort(list []Connection, by string) error {
	order, ok := orders[strings.ToLower(by)]
	if !ok {
		return fmt.Errorf("%q is no order: want %s", by, Orders)
	}
	slices.SortStableFunc(list, func(a, b Connection) int { return order(&a, &b) })
	return nil
}

// bytes are those of the application that have passed, both ways.
func (c *Connection) bytes() uint64 { return c.Sealed.Bytes + c.Opened.Bytes }
