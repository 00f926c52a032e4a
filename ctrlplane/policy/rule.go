package policy

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"linecrypt/flowtable"
)

// ErrRule is wrapped by errors about rules that cannot be in force.
var ErrRule = errors.New("bad rule")

// Bounds of a set of rules.
const (
	MaxRules = 1 << 14 // the default rule included
	MaxTerms = 256     // different terms in one set
	MaxList  = 256     // prefixes, port ranges or VLANs in one list of a rule
	MaxItems = 1 << 18 // of them in all rules
	MaxName  = 63      // bytes
)

// DefaultRule is the name of the rule that holds where no other does.
const DefaultRule = "default"

// Direction says who opens a connection.
type Direction uint8

// The directions. The numbers are part of the shared-memory contract.
const (
	AnyDirection  Direction = iota
	Outbound                // a host inside
	Inbound                 // a host outside
	numDirections = 3
)

// String returns the word of the configuration.
func (d Direction) String() string {
	switch d {
	case Outbound:
		return "outbound"
	case Inbound:
		return "inbound"
	}
	return "any"
}

// allows reports whether a host on a side may be the opener.
func (d Direction) allows(opener flowtable.Side) bool {
	return d == AnyDirection || d == Outbound && opener == flowtable.Inside || d == Inbound && opener == flowtable.Outside
}

// Range is a range of numbers, both ends included: of ports, or of VLANs as flowtable.Key has them.
type Range struct{ Low, High uint32 }

// String returns "low" or "low-high".
func (r Range) String() string {
	if r.Low == r.High {
		return strconv.FormatUint(uint64(r.Low), 10)
	}
	return fmt.Sprintf("%d-%d", r.Low, r.High)
}

// Match says which connections a rule is about. A list that is empty allows everything; one that is not allows what any of its items
// does. Source and Ports are the opener's address and the answerer's port.
type Match struct {
	Source, Destination []netip.Prefix // by who opens
	Inside, Outside     []netip.Prefix // by side
	SourcePorts, Ports  []Range
	VLANs               []Range
	Direction           Direction
}

// Rule is a match and what holds for the connections that it is about.
type Rule struct {
	Name  string
	Match Match
	Terms Terms
}

// CheckName refuses what cannot be the name of a rule. The error wraps ErrRule.
func CheckName(name string) error {
	if name == "" || len(name) > MaxName {
		return fmt.Errorf("name of %d bytes, not 1 to %d: %w", len(name), MaxName, ErrRule)
	}
	for _, c := range []byte(name) {
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		if !letter && (c < '0' || c > '9') && !strings.ContainsRune("._-", rune(c)) {
			return fmt.Errorf("name %q: want letters, digits, '.', '_' and '-': %w", name, ErrRule)
		}
	}
	return nil
}

// check refuses a match that is out of bounds, or that no connection can fit.
func (m *Match) check() error {
	for _, l := range [][]netip.Prefix{m.Source, m.Destination, m.Inside, m.Outside} {
		if len(l) > MaxList {
			return fmt.Errorf("%d prefixes in a list, more than %d: %w", len(l), MaxList, ErrRule)
		}
		for _, p := range l {
			if !p.IsValid() || p != p.Masked() || p.Addr().Is4In6() || p.Addr().Zone() != "" {
				return fmt.Errorf("prefix %v: %w", p, ErrRule)
			}
		}
	}
	for _, l := range []struct {
		ranges []Range
		top    uint32
	}{{m.SourcePorts, maxPort}, {m.Ports, maxPort}, {m.VLANs, maxVLAN}} {
		if len(l.ranges) > MaxList {
			return fmt.Errorf("%d ranges in a list, more than %d: %w", len(l.ranges), MaxList, ErrRule)
		}
		for _, r := range l.ranges {
			if r.Low > r.High || r.High > l.top {
				return fmt.Errorf("range %v, not in 0 to %d: %w", r, l.top, ErrRule)
			}
		}
	}
	if m.Direction >= numDirections {
		return fmt.Errorf("direction %d: %w", m.Direction, ErrRule)
	}
	if len(m.boxes()) == 0 {
		return fmt.Errorf("no connection can fit it: its prefixes have no address in common: %w", ErrRule)
	}
	return nil
}

// items is how many prefixes and ranges a match holds.
func (m *Match) items() int {
	return len(m.Source) + len(m.Destination) + len(m.Inside) + len(m.Outside) + len(m.SourcePorts) + len(m.Ports) + len(m.VLANs)
}

// Equal reports whether two matches say the same, in the same order.
func (m *Match) Equal(o *Match) bool {
	return slices.Equal(m.Source, o.Source) && slices.Equal(m.Destination, o.Destination) && slices.Equal(m.Inside, o.Inside) &&
		slices.Equal(m.Outside, o.Outside) && slices.Equal(m.SourcePorts, o.SourcePorts) && slices.Equal(m.Ports, o.Ports) &&
		slices.Equal(m.VLANs, o.VLANs) && m.Direction == o.Direction
}

// String returns the match as a line of text, "any" where it is about every connection.
func (m *Match) String() string {
	var parts []string
	add := func(word string, items []string) {
		if len(items) > 0 {
			parts = append(parts, word+" "+strings.Join(items, ","))
		}
	}
	add("source", texts(m.Source))
	add("destination", texts(m.Destination))
	add("inside", texts(m.Inside))
	add("outside", texts(m.Outside))
	add("source_ports", texts(m.SourcePorts))
	add("ports", texts(m.Ports))
	var vlans []string
	for _, v := range m.VLANs {
		vlans = append(vlans, FormatVLAN(v))
	}
	add("vlan", vlans)
	if m.Direction != AnyDirection {
		parts = append(parts, m.Direction.String())
	}
	if len(parts) == 0 {
		return "any"
	}
	return strings.Join(parts, " ")
}

func texts[T fmt.Stringer](xs []T) []string {
	var all []string
	for _, x := range xs {
		all = append(all, x.String())
	}
	return all
}
