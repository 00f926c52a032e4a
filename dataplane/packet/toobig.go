package packet

import (
	"encoding/binary"

	"linecrypt/dataplane/mbuf"
)

// Sizes up to which an ICMP error quotes the packet it is about (RFC 1812 section 4.3.2.3, RFC 4443 section 2.4).
const (
	maxError4 = 576
	maxError6 = 1280
)

// BuildTooBig makes, in the empty buffer m, the ICMP error that tells the sender of about that its packets may be no longer
// than mtu bytes: "fragmentation needed" (RFC 1191) or "packet too big" (RFC 4443 section 3.2). It seems to come from where
// about was sent, because the gateway has no address of its own. About is a packet as it was received, of class TCP or NonTCP;
// id is the error's IPv4 identification. The error is ready to be sent where about came from. It reports false where about has
// no such sender (a group or an unspecified address) or m no room.
func BuildTooBig(m *mbuf.Mbuf, about *Packet, mtu uint32, id uint16) bool {
	b := about.Data()
	l3 := int(about.L3)
	if len(b) == 0 || !answerable(b[:12]) {
		return false
	}
	packet := b[l3:]
	if about.Ver == 4 {
		return tooBig4(m, b[:l3], packet, mtu, id)
	}
	return tooBig6(m, b[:l3], packet, mtu)
}

// answerable reports whether the two Ethernet addresses at the start of a packet are those of single stations.
func answerable(macs []byte) bool { return macs[0]&1 == 0 && macs[6]&1 == 0 }

// turned puts the link-layer header of the answer to a packet with header l2 into m.
func turned(m *mbuf.Mbuf, l2 []byte) bool {
	return m.Append(l2[6:12]) && m.Append(l2[:6]) && m.Append(l2[12:])
}

func tooBig4(m *mbuf.Mbuf, l2, about []byte, mtu uint32, id uint16) bool {
	const protect = 0xc0 // precedence of network control (RFC 1812 section 4.3.2.5)
	src, dst := about[16:20], about[12:16]
	if src[0]>>4 >= 14 || dst[0]>>4 >= 14 || dst[0] == 0 {
		return false
	}
	quote := about[:min(len(about), maxError4-28)]
	var h [28]byte
	h[0], h[1], h[8], h[9] = 0x45, protect, 64, protoICMPv4
	binary.BigEndian.PutUint16(h[2:], uint16(len(h)+len(quote)))
	binary.BigEndian.PutUint16(h[4:], id)
	copy(h[12:], src)
	copy(h[16:], dst)
	binary.BigEndian.PutUint16(h[10:], ^Sum(h[:20], 0))
	h[20], h[21] = icmp4Unreachable, icmp4FragNeeded
	binary.BigEndian.PutUint16(h[26:], uint16(min(mtu, 65535)))
	binary.BigEndian.PutUint16(h[22:], ^Sum(quote, Sum(h[20:], 0)))
	return turned(m, l2) && m.Append(h[:]) && m.Append(quote)
}

func tooBig6(m *mbuf.Mbuf, l2, about []byte, mtu uint32) bool {
	src, dst := about[24:40], about[8:24]
	if src[0] == 0xff || dst[0] == 0xff || [16]byte(dst) == [16]byte{} {
		return false
	}
	quote := about[:min(len(about), maxError6-48)]
	var h [48]byte
	h[0], h[6], h[7] = 0x60, protoICMPv6, 64
	binary.BigEndian.PutUint16(h[4:], uint16(8+len(quote)))
	copy(h[8:], src)
	copy(h[24:], dst)
	h[40] = icmp6TooBig
	binary.BigEndian.PutUint32(h[44:], mtu)
	ps := Sum(h[8:40], addOnes(uint16(8+len(quote)), protoICMPv6))
	binary.BigEndian.PutUint16(h[42:], ^Sum(quote, Sum(h[40:], ps)))
	return turned(m, l2) && m.Append(h[:]) && m.Append(quote)
}
