package afpacket

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/packet"
)

// split is how a super-packet, which the kernel hands over in one piece (TSO, GSO, GRO), becomes the segments that its sender or the
// machine's own interface would have made of it: headers repeated, payload cut at each gso_size bytes.
type split struct {
	p       packet.Packet
	l3, l4  int
	head    int // bytes of the headers, which every segment has
	size    int // bytes of payload of every segment but the last, which has at most so many
	payload int // bytes of payload in all
	n       int // segments
	udp     bool
	flags   uint64 // receive flags of every segment
	// What the headers say of the packet as a whole.
	length, id, ipSum, sum uint16
	seq                    uint32
}

// maxSegments bounds the segments of a super-packet: 64 KiB in segments of 65 bytes.
const maxSegments = 1008

// Where the fields of a header lie.
const (
	ip4Length, ip4ID, ip4Sum         = 2, 4, 10
	ip6Length, ip6Fixed              = 4, 40
	tcpSeq, tcpOff, tcpFlags, tcpSum = 4, 12, 13, 16
	udpLength, udpSum, udpHeader     = 4, 6, 8
	protoUDP                         = 17
	onlyLast                         = packet.FlagFIN | packet.FlagPSH // flags that only the last segment has
	tcp4, tcp6, udpSegments          = unix.VIRTIO_NET_HDR_GSO_TCPV4, unix.VIRTIO_NET_HDR_GSO_TCPV6, unix.VIRTIO_NET_HDR_GSO_UDP_L4
)

// plan reads a super-packet of total bytes. m holds its beginning with the VLAN tag in its place, to which vnet's offsets count
// too; plan writes a length into the IP header, no more. It reports false where the packet cannot be split: it contradicts itself, its
// segments do not fit into frames of longest bytes, or it is of a kind (a tunnel's) whose outer headers plan does not know.
func (s *split) plan(m *mbuf.Mbuf, vnet *vnetInfo, total, longest int) bool {
	b := m.Data()
	if !s.readLengths(b) || total < len(b) {
		return false
	}
	p := &s.p
	class := p.Parse(m)
	s.l3, s.l4, s.size = int(p.L3), int(p.L4), vnet.gsoSize
	sumAt := tcpSum
	switch kind := vnet.kind(); {
	case class == packet.TCP && (kind == tcp4 && p.Ver == 4 || kind == tcp6 && p.Ver == 6):
		s.head, s.udp = int(p.Payload), false
		s.seq = p.Seq
	case class == packet.NonTCP && kind == udpSegments && p.Proto == protoUDP && s.l4 > s.l3 && s.l4+udpHeader <= len(b):
		s.head, s.udp = s.l4+udpHeader, true
		sumAt = udpSum
	default:
		return false
	}
	s.payload = total - s.head
	if s.size == 0 || s.payload <= 0 || s.head+min(s.size, s.payload) > longest {
		return false
	}
	if s.n = (s.payload + s.size - 1) / s.size; s.n > maxSegments {
		return false
	}
	if !vnet.needsSum() || vnet.csumStart != s.l4 || vnet.csumOffset != sumAt {
		return false
	}
	s.sum = binary.BigEndian.Uint16(b[s.l4+sumAt:])
	return true
}

// readLengths keeps what the IP header of b says, and makes it say that the packet ends with b, so that it can be parsed.
func (s *split) readLengths(b []byte) bool {
	l3, ok := networkHeader(b)
	if !ok || len(b) < l3+20 {
		return false
	}
	// Whoever vouches for a checksum that is not computed vouches for the data.
	s.flags = mbuf.RxL4CksumGood | mbuf.RxL4CksumBad
	h := b[l3:]
	switch h[0] >> 4 {
	case 4:
		s.length, s.id, s.ipSum = binary.BigEndian.Uint16(h[ip4Length:]), binary.BigEndian.Uint16(h[ip4ID:]), binary.BigEndian.Uint16(h[ip4Sum:])
		if n := int(h[0]&15) * 4; n >= 20 && n <= len(h) && onesSum(h[:n]) == 0xffff {
			s.flags |= mbuf.RxIPCksumGood
		}
		binary.BigEndian.PutUint16(h[ip4Length:], uint16(len(h)))
	case 6:
		if len(h) < ip6Fixed || binary.BigEndian.Uint16(h[ip6Length:]) == 0 { // a jumbogram, whose length is in an option
			return false
		}
		binary.BigEndian.PutUint16(h[ip6Length:], uint16(len(h)-ip6Fixed))
	default:
		return false
	}
	return true
}

// networkHeader returns where the network header of a frame begins, behind at most two VLAN tags.
func networkHeader(b []byte) (int, bool) {
	for at := ethHeader; at <= ethHeader+2*vlanTag && at <= len(b); at += vlanTag {
		switch binary.BigEndian.Uint16(b[at-2:]) {
		case unix.ETH_P_8021Q, unix.ETH_P_8021AD, unix.ETH_P_QINQ1:
		default:
			return at, true
		}
	}
	return 0, false
}

// bytes returns how much payload segment i has.
func (s *split) bytes(i int) int { return min(s.size, s.payload-i*s.size) }

// header makes the headers in dst, those of the super-packet, the ones of segment i.
func (s *split) header(dst []byte, i int) {
	n := s.bytes(i)
	l3, l4 := dst[s.l3:s.l4], dst[s.l4:s.head]
	if s.p.Ver == 4 {
		length, id := uint16(s.head-s.l3+n), s.id+uint16(i)
		binary.BigEndian.PutUint16(l3[ip4Length:], length)
		binary.BigEndian.PutUint16(l3[ip4ID:], id)
		binary.BigEndian.PutUint16(l3[ip4Sum:], packet.Update16(packet.Update16(s.ipSum, s.length, length), s.id, id))
	} else {
		binary.BigEndian.PutUint16(l3[ip6Length:], uint16(s.head-s.l3-ip6Fixed+n))
	}
	was, is := s.head-s.l4+s.payload, s.head-s.l4+n
	sum := pseudoLength(s.sum, was, is)
	if s.udp {
		binary.BigEndian.PutUint16(l4[udpLength:], uint16(is))
		binary.BigEndian.PutUint16(l4[udpSum:], sum)
		return
	}
	binary.BigEndian.PutUint16(l4[tcpSum:], sum)
	binary.BigEndian.PutUint32(l4[tcpSeq:], s.seq+uint32(i*s.size))
	if i > 0 {
		l4[tcpFlags] &^= packet.FlagCWR
	}
	if i < s.n-1 {
		l4[tcpFlags] &^= onlyLast
	}
}

// pseudoLength returns the sum of a pseudo-header after the length in it changed.
func pseudoLength(sum uint16, was, is int) uint16 {
	return ^packet.Update16(packet.Update16(^sum, uint16(was>>16), uint16(is>>16)), uint16(was), uint16(is))
}
