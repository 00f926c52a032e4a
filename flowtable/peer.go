package flowtable

import "encoding/binary"

// Peer is whom shares are counted for: the far ends in one /24 of IPv4 or one /64 of IPv6, which one site may have whole.
type Peer uint64

// Peer returns the peer of the connection's far end.
func (k *Key) Peer() Peer { return PeerOf(&k.Outside) }

// PeerOf returns the peer that an address belongs to. IPv4 addresses are in their IPv6-mapped form.
func PeerOf(addr *[16]byte) Peer {
	hi, lo := binary.BigEndian.Uint64(addr[:]), binary.BigEndian.Uint64(addr[8:])
	if hi == 0 && lo>>32 == 0xffff {
		return Peer(lo &^ 0xff)
	}
	return Peer(hi)
}

// IsIPv4 reports whether an address is an IPv4 address in its IPv6-mapped form.
func IsIPv4(addr *[16]byte) bool {
	return binary.BigEndian.Uint64(addr[:]) == 0 && binary.BigEndian.Uint32(addr[8:]) == 0xffff
}

// IPv4 reports whether the connection is one of IPv4.
func (k *Key) IPv4() bool { return IsIPv4(&k.Inside) }
