package afpacket

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/packet"
)

// chain says which segments in a row the kernel may have as one super-packet: those that its own GRO would make one of, so that whoever
// cuts it again, a NIC, the kernel or the port at the far end of a veth pair, makes the same segments of it, byte for byte but for what
// GRO too takes no notice of (IDs of packets that may not be fragmented). Only segments whose checksum is left to the port are looked at;
// of UDP these are the ones that came to the gateway as a super-packet, from a kernel that knows such.
type chain struct {
	l3, l4, head int
	udp          bool
	size         int // payload of each segment but the last
	payload      int // in all
	n            int // segments
	open         bool
	v4           bool
	flags        uint8  // of TCP, those of all segments together
	seq          uint32 // of the next
	id, step     uint16 // of IPv4, the last one's, and what the next one adds
}

const (
	// maxFrame is the longest frame that the kernel hands on in one piece, whatever its interface can do (gso_max_size).
	maxFrame = 65535
	// maxHead bounds the headers of segments that are joined.
	maxHead   = 256
	onlyFirst = packet.FlagCWR // the flag that GRO takes on the first segment alone
	// maxUDP is the largest number of UDP packets in one that every kernel takes (UDP_MAX_SEGMENTS).
	maxUDP = 64

	dontFragment = 0x40
)

// start begins with a segment whose checksum is left to the port, and returns how long it is without padding.
func (c *chain) start(m *mbuf.Mbuf) int {
	o := m.TxOffload
	l2, l3, l4 := int(o&0x7f), int(o>>7&0x1ff), int(o>>16&0xff)
	c.l3, c.l4, c.head = l2, l2+l3, l2+l3+l4
	c.n, c.open, c.v4, c.udp = 1, false, m.OlFlags&mbuf.TxIPv4 != 0, m.OlFlags&mbuf.TxUDPCksum == mbuf.TxUDPCksum
	least := 20
	if c.udp {
		least = udpHeader
	}
	if l2 < ethHeader || l3 < 20 || l4 < least || c.head > int(m.DataLen) || !c.v4 && l3 < ip6Fixed {
		return int(m.PktLen)
	}
	end := min(c.end(m), int(m.PktLen))
	c.size = end - c.head
	c.payload = c.size
	b := m.Data()
	ip, l4h := b[c.l3:c.l4], b[c.l4:c.head]
	c.open = m.NbSegs == 1 && c.size > 0 && end == int(m.PktLen) && c.head <= maxHead
	if !c.udp {
		c.flags = l4h[tcpFlags]
		c.seq = binary.BigEndian.Uint32(l4h[tcpSeq:]) + uint32(c.size)
		c.open = c.open && c.flags&^(packet.FlagECE|onlyFirst) == packet.FlagACK
	}
	if c.v4 {
		c.id, c.step = binary.BigEndian.Uint16(ip[ip4ID:]), 1
		c.open = c.open && ip[0] == 0x45 && ip[6]&^dontFragment == 0 && ip[7] == 0
	} else {
		c.open = c.open && l3 == ip6Fixed
	}
	return end
}

// add joins m to the segments that began with first, if it may be.
func (c *chain) add(first, m *mbuf.Mbuf) bool {
	n := int(m.PktLen) - c.head
	if !c.open || m.TxOffload != first.TxOffload || m.OlFlags&txMarks != first.OlFlags&txMarks || m.NbSegs != 1 ||
		n <= 0 || n > c.size || c.head+c.payload+n > maxFrame || c.head > int(m.DataLen) {
		return false
	}
	a, b := first.Data()[:c.head], m.Data()[:c.head]
	if !c.continues(b[c.l4:]) || !c.sameHeaders(a, b) || c.end(m) != int(m.PktLen) || c.v4 && !c.follows(b[c.l3:]) {
		return false
	}
	c.n++
	c.payload += n
	c.open = n == c.size
	if c.udp {
		c.open = c.open && c.n < maxUDP
		return true
	}
	flags := b[c.l4+tcpFlags]
	c.seq += uint32(n)
	c.flags |= flags & onlyLast
	c.open = c.open && flags&onlyLast == 0
	return true
}

// continues reports whether a transport header is, in sequence and flags, of the next segment.
func (c *chain) continues(l4 []byte) bool {
	if c.udp {
		return true
	}
	flags := l4[tcpFlags]
	return binary.BigEndian.Uint32(l4[tcpSeq:]) == c.seq && (flags^c.flags)&^(onlyLast|onlyFirst) == 0 && flags&onlyFirst == 0
}

// end returns where a packet ends by what its IP header says. Behind a short one there may be padding.
func (c *chain) end(m *mbuf.Mbuf) int {
	ip := m.Data()[c.l3:c.l4]
	if c.v4 {
		return c.l3 + int(binary.BigEndian.Uint16(ip[ip4Length:]))
	}
	return c.l3 + ip6Fixed + int(binary.BigEndian.Uint16(ip[ip6Length:]))
}

// txMarks are the marks of a segment whose checksum is left to the port.
const txMarks = mbuf.TxUDPCksum | mbuf.TxIPCksum | mbuf.TxIPv4 | mbuf.TxIPv6

// sameHeaders reports whether two headers differ in nothing but lengths, IDs, checksums, sequence numbers and TCP's flags.
func (c *chain) sameHeaders(a, b []byte) bool {
	at := c.l3
	if c.v4 {
		if string(a[:at+ip4Length]) != string(b[:at+ip4Length]) || string(a[at+6:at+ip4Sum]) != string(b[at+6:at+ip4Sum]) ||
			string(a[at+ip4Sum+2:c.l4+tcpSeq]) != string(b[at+ip4Sum+2:c.l4+tcpSeq]) {
			return false
		}
	} else if string(a[:at+ip6Length]) != string(b[:at+ip6Length]) || string(a[at+ip6Length+2:c.l4+tcpSeq]) != string(b[at+ip6Length+2:c.l4+tcpSeq]) {
		return false
	}
	if c.udp {
		return true // the ports are the same, and nothing else is there but length and checksum
	}
	a, b = a[c.l4:], b[c.l4:]
	return string(a[8:tcpFlags]) == string(b[8:tcpFlags]) && string(a[tcpFlags+1:tcpSum]) == string(b[tcpFlags+1:tcpSum]) &&
		string(a[tcpSum+2:]) == string(b[tcpSum+2:])
}

// follows reports whether an IPv4 header's ID is the one after the last, or, where it has no meaning (RFC 6864), the same one all along.
func (c *chain) follows(ip []byte) bool {
	id := binary.BigEndian.Uint16(ip[ip4ID:])
	if c.n == 1 && id == c.id && ip[6]&dontFragment != 0 {
		c.step = 0
	}
	if id != c.id+c.step {
		return false
	}
	c.id = id
	return true
}

// describe fills in the virtio-net header for what has been joined.
func (c *chain) describe(v *vnetInfo) {
	*v = vnetInfo{flags: unix.VIRTIO_NET_HDR_F_NEEDS_CSUM, csumStart: c.l4, csumOffset: tcpSum}
	if c.udp {
		v.csumOffset = udpSum
	}
	if c.n == 1 {
		return
	}
	v.gso, v.gsoSize, v.hdrLen = tcp6, c.size, c.head
	switch {
	case c.udp:
		v.gso = udpSegments
		return
	case c.v4:
		v.gso = tcp4
	}
	if c.flags&onlyFirst != 0 {
		v.gso |= unix.VIRTIO_NET_HDR_GSO_ECN
	}
}

// header makes the headers in dst, those of the first segment, the super-packet's.
func (c *chain) header(dst []byte) {
	l3, l4 := dst[c.l3:c.l4], dst[c.l4:]
	if c.v4 {
		was, is := binary.BigEndian.Uint16(l3[ip4Length:]), uint16(c.head-c.l3+c.payload)
		binary.BigEndian.PutUint16(l3[ip4Length:], is)
		binary.BigEndian.PutUint16(l3[ip4Sum:], packet.Update16(binary.BigEndian.Uint16(l3[ip4Sum:]), was, is))
	} else {
		binary.BigEndian.PutUint16(l3[ip6Length:], uint16(c.head-c.l4+c.payload))
	}
	was, is := c.head-c.l4+c.size, c.head-c.l4+c.payload
	if c.udp {
		binary.BigEndian.PutUint16(l4[udpLength:], uint16(is))
		binary.BigEndian.PutUint16(l4[udpSum:], pseudoLength(binary.BigEndian.Uint16(l4[udpSum:]), was, is))
		return
	}
	binary.BigEndian.PutUint16(l4[tcpSum:], pseudoLength(binary.BigEndian.Uint16(l4[tcpSum:]), was, is))
	l4[tcpFlags] = c.flags
}
