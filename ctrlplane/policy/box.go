package policy

import (
	"net/netip"

	"linecrypt/flowtable"
)

const (
	maxPort = 1<<16 - 1
	maxVLAN = 1<<24 - 1
)

// family is an IP version. Both ends of a connection have the same.
type family uint8

const (
	ip4 family = iota
	ip6
	numFamilies
)

func familyOf(a netip.Addr) family {
	if a.Is4() {
		return ip4
	}
	return ip6
}

// box is what a match says of connections that a host on one side opens, by one IP version: as flowtable.Key has it. An empty list allows
// everything.
type box struct {
	opener flowtable.Side
	family family

	inside, outside         []netip.Prefix
	insidePorts, outsidePts []Range
	vlans                   []Range
}

// boxes are the ways in which a connection can fit the match; none where it contradicts itself.
func (m *Match) boxes() []box {
	var all []box
	for opener := range flowtable.Side(flowtable.NumSides) {
		if !m.Direction.allows(opener) {
			continue
		}
		fromIn, fromOut, portsIn, portsOut := m.Source, m.Destination, m.SourcePorts, m.Ports
		if opener == flowtable.Outside {
			fromIn, fromOut, portsIn, portsOut = fromOut, fromIn, portsOut, portsIn
		}
		for f := range numFamilies {
			b := box{opener: opener, family: f, insidePorts: portsIn, outsidePts: portsOut, vlans: m.VLANs}
			var ok [2]bool
			b.inside, ok[0] = both(fromIn, m.Inside, f)
			b.outside, ok[1] = both(fromOut, m.Outside, f)
			if ok[0] && ok[1] {
				all = append(all, b)
			}
		}
	}
	return all
}

// both returns the prefixes of one IP version that are in both lists, an empty one allowing everything, and false where there are none.
func both(a, b []netip.Prefix, f family) ([]netip.Prefix, bool) {
	a, okA := ofFamily(a, f)
	b, okB := ofFamily(b, f)
	switch {
	case !okA || !okB:
		return nil, false
	case len(a) == 0:
		return b, true
	case len(b) == 0:
		return a, true
	}
	var common []netip.Prefix
	for _, x := range a {
		for _, y := range b {
			if x.Overlaps(y) {
				if x.Bits() < y.Bits() {
					common = append(common, y)
				} else {
					common = append(common, x)
				}
			}
		}
	}
	return common, len(common) > 0
}

// ofFamily returns the prefixes of one IP version, and false where a list has prefixes and none of them is.
func ofFamily(l []netip.Prefix, f family) ([]netip.Prefix, bool) {
	var of []netip.Prefix
	for _, p := range l {
		if familyOf(p.Addr()) == f {
			of = append(of, p)
		}
	}
	return of, len(l) == 0 || len(of) > 0
}

// overlaps reports whether a connection can fit both.
func (b *box) overlaps(o *box) bool {
	return b.opener == o.opener && b.family == o.family &&
		anyPair(b.inside, o.inside, netip.Prefix.Overlaps) && anyPair(b.outside, o.outside, netip.Prefix.Overlaps) &&
		anyPair(b.insidePorts, o.insidePorts, Range.overlaps) && anyPair(b.outsidePts, o.outsidePts, Range.overlaps) &&
		anyPair(b.vlans, o.vlans, Range.overlaps)
}

// contains reports whether every connection that fits o fits b. It may say no where it takes several items of b to hold one of o.
func (b *box) contains(o *box) bool {
	prefix := func(x, y netip.Prefix) bool { return x.Bits() <= y.Bits() && x.Contains(y.Addr()) }
	inRange := func(x, y Range) bool { return x.Low <= y.Low && y.High <= x.High }
	return b.opener == o.opener && b.family == o.family &&
		holdsAll(b.inside, o.inside, prefix) && holdsAll(b.outside, o.outside, prefix) &&
		holdsAll(b.insidePorts, o.insidePorts, inRange) && holdsAll(b.outsidePts, o.outsidePts, inRange) && holdsAll(b.vlans, o.vlans, inRange)
}

func (r Range) overlaps(o Range) bool { return r.Low <= o.High && o.Low <= r.High }

// anyPair reports whether an item of a goes with one of b; an empty list allows everything.
func anyPair[T any](a, b []T, goes func(T, T) bool) bool {
	if len(a) == 0 || len(b) == 0 {
		return true
	}
	for _, x := range a {
		for _, y := range b {
			if goes(x, y) {
				return true
			}
		}
	}
	return false
}

// holdsAll reports whether each item of inner lies in one of outer.
func holdsAll[T any](outer, inner []T, holds func(T, T) bool) bool {
	if len(outer) == 0 {
		return true
	}
	if len(inner) == 0 {
		return false
	}
	for _, y := range inner {
		held := false
		for _, x := range outer {
			held = held || holds(x, y)
		}
		if !held {
			return false
		}
	}
	return true
}
