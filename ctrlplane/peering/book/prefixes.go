package book

import (
	"fmt"
	"net/netip"
	"slices"
)

// Prefixes says behind which peer an address lies: that of the longest prefix. It does not change once made.
type Prefixes struct {
	lengths []int // that occur, the longest first; those of IPv4 are of the mapped form
	peers   map[netip.Prefix]int
}

// NewPrefixes takes the prefixes of each peer. Two peers may not have the same one.
func NewPrefixes(peers [][]netip.Prefix) (*Prefixes, error) {
	p := &Prefixes{peers: map[netip.Prefix]int{}}
	for n, list := range peers {
		for _, prefix := range list {
			m := mapped(prefix)
			if other, taken := p.peers[m]; taken && other != n {
				return nil, fmt.Errorf("prefix %v of two peers", prefix)
			}
			p.peers[m] = n
			if !slices.Contains(p.lengths, m.Bits()) {
				p.lengths = append(p.lengths, m.Bits())
			}
		}
	}
	slices.Sort(p.lengths)
	slices.Reverse(p.lengths)
	return p, nil
}

// mapped returns a prefix in the form of 16 bytes, without host bits.
func mapped(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4() {
		return netip.PrefixFrom(netip.AddrFrom16(p.Addr().As16()), p.Bits()+96).Masked()
	}
	return p.Masked()
}

// Find returns the peer behind which an address lies.
func (p *Prefixes) Find(addr [16]byte) (peer int, ok bool) {
	a := netip.AddrFrom16(addr)
	for _, bits := range p.lengths {
		if prefix, err := a.Prefix(bits); err == nil {
			if peer, ok = p.peers[prefix]; ok {
				return peer, true
			}
		}
	}
	return 0, false
}
