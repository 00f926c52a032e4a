package policy

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// maxID is the largest VLAN ID (IEEE 802.1Q).
const maxID = 4094

// ParseVLAN reads the VLANs of a rule: "none" for untagged, an ID for one tag, "outer.inner" for two, "outer.*" for any second tag.
func ParseVLAN(s string) (Range, error) {
	if s == "none" {
		return Range{}, nil
	}
	outer, inner, two := strings.Cut(s, ".")
	o, err := strconv.ParseUint(outer, 10, 16)
	if err == nil && o >= 1 && o <= maxID {
		if !two {
			return Range{uint32(o), uint32(o)}, nil
		}
		if inner == "*" {
			return Range{uint32(o) << 12, uint32(o)<<12 | 0xfff}, nil
		}
		if i, err := strconv.ParseUint(inner, 10, 16); err == nil && i >= 1 && i <= maxID {
			v := uint32(o)<<12 | uint32(i)
			return Range{v, v}, nil
		}
	}
	return Range{}, fmt.Errorf("%q is no VLAN: want none, an ID from 1 to %d, OUTER.INNER or OUTER.*", s, maxID)
}

// FormatVLAN is its inverse.
func FormatVLAN(r Range) string {
	switch {
	case r.High == 0:
		return "none"
	case r.Low != r.High:
		return fmt.Sprintf("%d.*", r.Low>>12)
	case r.Low > 0xfff:
		return fmt.Sprintf("%d.%d", r.Low>>12, r.Low&0xfff)
	}
	return strconv.FormatUint(uint64(r.Low), 10)
}

// ParsePorts reads a port, or a range of them as "1024-65535".
func ParsePorts(s string) (Range, error) {
	low, high, isRange := strings.Cut(s, "-")
	l, err := strconv.ParseUint(low, 10, 16)
	h := l
	if err == nil && isRange {
		h, err = strconv.ParseUint(high, 10, 16)
	}
	if err != nil || l > h {
		return Range{}, fmt.Errorf("%q is neither a port nor a range of ports, as 443 or 8000-8099", s)
	}
	return Range{uint32(l), uint32(h)}, nil
}

// ParsePrefix reads a prefix, or an address, which stands for itself alone. Bits behind the prefix are refused: they are a mistake that is
// better told than mended.
func ParsePrefix(s string) (netip.Prefix, error) {
	if !strings.Contains(s, "/") {
		a, err := netip.ParseAddr(s)
		if err != nil || a.Is4In6() || a.Zone() != "" {
			return netip.Prefix{}, fmt.Errorf("%q is neither an address nor a prefix, as 10.0.0.0/8 or 2001:db8::/32", s)
		}
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil || p.Addr().Is4In6() {
		return netip.Prefix{}, fmt.Errorf("%q is neither an address nor a prefix, as 10.0.0.0/8 or 2001:db8::/32", s)
	}
	if p != p.Masked() {
		return netip.Prefix{}, fmt.Errorf("%s has bits behind its /%d: do you mean %v?", s, p.Bits(), p.Masked())
	}
	return p, nil
}
