// Package packet reads and rewrites the headers of one Ethernet packet where it lies: VLAN tags, IPv4 with options, IPv6
// with extension headers, TCP with its options, and ICMP errors about a TCP segment. It also builds the segments that the
// gateway itself originates.
//
// It knows no connection and keeps no state: no sequence number is translated here, a caller says which one to write. It
// does not reassemble IP fragments and looks into no tunnel.
//
// Memory: a Packet is owned by its caller and reused for packet after packet. It refers to the mbuf it was parsed from
// and takes no reference; it is valid while that mbuf is and as long as nothing else moves the mbuf's bounds. Nothing in
// the package allocates, locks or panics on any bytes a wire may bring.
package packet

import (
	"encoding/binary"
	"unsafe"

	"linecrypt/dataplane/mbuf"
)

// Class says what a packet is to the gateway.
type Class uint8

const (
	// NonIP is a frame that carries neither IPv4 nor IPv6 behind at most two VLAN tags.
	NonIP Class = iota
	// NonTCP is an IP packet that carries something other than TCP, AH and ESP included, and IPv6 jumbograms.
	NonTCP
	// TCP is a whole TCP segment; every field of Packet is set.
	TCP
	// Fragment is TCP that cannot be told to belong to a flow, so that it must not reach a host with an encrypted flow as
	// if it were plaintext: an IP fragment whose datagram is or may be TCP (an IPv6 fragment header alone suffices), TCP
	// with a source route not yet at its end, or an IPv6 packet with more extension headers than are looked at. Only the
	// addresses are meaningful.
	Fragment
	// Malformed is a packet whose lengths contradict each other or the buffer.
	Malformed
)

// String names the class as counters do.
func (c Class) String() string {
	switch c {
	case NonIP:
		return "non-ip"
	case NonTCP:
		return "non-tcp"
	case TCP:
		return "tcp"
	case Fragment:
		return "fragment"
	case Malformed:
		return "malformed"
	}
	return "unknown"
}

// TCP flags as they stand in the flags byte.
const (
	FlagFIN = uint8(1) << iota
	FlagSYN
	FlagRST
	FlagPSH
	FlagACK
	FlagURG
	FlagECE
	FlagCWR
)

// IP protocol numbers the package tells apart.
const (
	protoHopByHop = 0
	protoICMPv4   = 1
	protoTCP      = 6
	protoRouting  = 43
	protoFragment = 44
	protoICMPv6   = 58
	protoDstOpts  = 60
)

// Packet is one parsed packet. Offsets count from the start of the packet data (mbuf.Data) and survive moves of that
// start; the methods of this package that change a header keep them right.
type Packet struct {
	M     *mbuf.Mbuf
	Class Class
	Ver   uint8 // 4 or 6; 0 when NonIP
	Proto uint8 // upper-layer protocol, where the headers before it could be read
	Flags uint8 // TCP flags byte; the reserved bits beside the data offset are only ever preserved

	L3         uint16 // IP header
	L4         uint16 // upper-layer header; 0 when there is none to be found (fragments, unknown chains)
	Payload    uint16 // TCP payload; L4 when NonTCP
	PayloadLen uint16 // payload bytes by the IP length: link-layer padding behind it does not count

	Seq, Ack         uint32
	Win, Urg         uint16
	SrcPort, DstPort uint16
	VLAN             uint32 // outer VLAN ID << 12 | inner one; a single tag's ID alone; 0 untagged

	Opt Options // TCP options

	behind Behind
}

// Behind says what parsing a burst has shown of a packet and the one before it in the burst.
type Behind uint8

const (
	// Anything is nothing: one of both was left to Parse.
	Anything Behind = iota
	// Same is said of segments from the same end of the same connection, in untagged IPv4 packets without options.
	Same
	// Other is said of such segments of different connections or ends, and of the first packet of a burst.
	Other
)

// Data returns the packet from its first byte to the last payload byte, without link-layer padding, aliasing the mbuf. It is
// empty where no upper-layer header was found (L4 is 0).
func (p *Packet) Data() []byte { return p.M.Data()[:int(p.Payload)+int(p.PayloadLen)] }

// PayloadBytes returns the payload, aliasing the mbuf.
func (p *Packet) PayloadBytes() []byte {
	return p.M.Data()[p.Payload : int(p.Payload)+int(p.PayloadLen)]
}

// SegLen is the sequence space the segment takes: payload, SYN and FIN.
func (p *Packet) SegLen() uint32 {
	return uint32(p.PayloadLen) + uint32(p.Flags>>1&1) + uint32(p.Flags&1)
}

// SrcAddr16 stores the source address, an IPv4 one in its ::ffff:a.b.c.d form. The class is TCP, NonTCP or Fragment.
func (p *Packet) SrcAddr16(dst *[16]byte) {
	b := p.M.Data()[p.L3:]
	if p.Ver == 4 {
		mapped(dst, b[12:16])
		return
	}
	copy(dst[:], b[8:24])
}

// DstAddr16 stores the destination address, an IPv4 one in its ::ffff:a.b.c.d form. The class is TCP, NonTCP or Fragment.
func (p *Packet) DstAddr16(dst *[16]byte) {
	b := p.M.Data()[p.L3:]
	if p.Ver == 4 {
		mapped(dst, b[16:20])
		return
	}
	copy(dst[:], b[24:40])
}

// Ends stores both addresses, as SrcAddr16 and DstAddr16 do.
func (p *Packet) Ends(src, dst *[16]byte) {
	p.SrcAddr16(src)
	p.DstAddr16(dst)
}

// MappedEnds returns the second halves of what Ends stores, the first of which are 0, of a TCP segment in an untagged IPv4 packet without
// options; ok is false of any other.
func (p *Packet) MappedEnds() (src, dst uint64, ok bool) {
	if !p.plainPlaces() {
		return 0, 0, false
	}
	src, dst = p.UsualEnds()
	return src, dst, true
}

// UsualEnds is MappedEnds of a segment that parsing a burst has said something of.
func (p *Packet) UsualEnds() (src, dst uint64) {
	a := p.plainEnds()
	return mappedPrefix | a<<32, mappedPrefix | a&^(1<<32-1)
}

// mappedPrefix is what stands in front of an IPv4 address in the second half of its IPv6-mapped form.
const mappedPrefix = 0xffff0000

// mapped stores words, because who reads the address reads words: what is stored in smaller pieces must be in the cache first.
func mapped(dst *[16]byte, a []byte) {
	binary.LittleEndian.PutUint64(dst[:8], 0)
	binary.LittleEndian.PutUint64(dst[8:], mappedPrefix|uint64(binary.LittleEndian.Uint32(a))<<32)
}

// plainPlaces reports whether a TCP segment's headers lie where those of an untagged IPv4 packet without options do.
func (p *Packet) plainPlaces() bool { return p.L3 == ethLen && p.L4 == plainL4 && p.Ver == 4 }

// Behind returns what parsing the burst has shown.
func (p *Packet) Behind() Behind { return p.behind }

// Plain reports whether a TCP segment is of the common kind and lies in an untagged IPv4 packet without options: no flag but ACK and PSH,
// CommonOptions(ts) is true of it, and the port says that its checksums are right.
func (p *Packet) Plain(ts bool) bool {
	want := usualNone
	if ts {
		want = usualTS
	}
	return (p.behind != Anything || p.plainPlaces()) && p.Opt.usual == want && p.Flags&^FlagPSH == FlagACK && p.M.OlFlags&rxGood == rxGood
}

// Alike reports whether a segment is Plain, is said to be of the Same end as one that is, and whose headers are as long: first, or one behind it of
// which the same is true.
func (p *Packet) Alike(first *Packet) bool {
	return p.behind == Same && p.Flags&^FlagPSH == FlagACK && p.Payload == first.Payload && p.Opt.usual == first.Opt.usual &&
		p.M.OlFlags&rxGood == rxGood
}

// OptionsLen is how many bytes the TCP options of a Plain segment take.
func (p *Packet) OptionsLen() int { return int(p.Payload) - plainHead }

// sameEnd compares the ends of two segments whose places are plain.
func (p *Packet) sameEnd(o *Packet) bool {
	return p.SrcPort == o.SrcPort && p.DstPort == o.DstPort && p.plainEnds() == o.plainEnds()
}

// plainEnds returns both addresses of a segment whose places are plain, as they are loaded.
func (p *Packet) plainEnds() uint64 {
	const addrs = ethLen + 12
	return binary.LittleEndian.Uint64((*[8]byte)(unsafe.Add(p.M.BufAddr, p.M.DataOff()+addrs))[:]) // it was parsed, and reaches beyond them
}

// DontFragment reports whether an IPv4 packet has DF set; IPv6 always counts as having it.
func (p *Packet) DontFragment() bool {
	return p.Ver == 6 || p.M.Data()[p.L3+6]&0x40 != 0
}

// ecnCE is the code point of ECN by which a router says that there is congestion, and so the mask of the field (RFC 3168 section 5).
const ecnCE = 3

// CE reports whether a router has marked the packet so.
func (p *Packet) CE() bool {
	h := p.M.Data()[p.L3:]
	if p.Ver == 4 {
		return h[1]&ecnCE == ecnCE
	}
	return h[1]>>4&ecnCE == ecnCE
}

// IPLen is the length of the IP packet.
func (p *Packet) IPLen() int { return int(p.Payload) + int(p.PayloadLen) - int(p.L3) }
