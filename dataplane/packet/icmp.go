package packet

import "encoding/binary"

// ICMP types whose body begins with the packet they are about.
const (
	icmp4Unreachable  = 3
	icmp4SourceQuench = 4
	icmp4Redirect     = 5
	icmp4TimeExceeded = 11
	icmp4Parameter    = 12
	icmp4FragNeeded   = 4 // code of icmp4Unreachable

	icmp6Unreachable  = 1
	icmp6TooBig       = 2
	icmp6TimeExceeded = 3
	icmp6Parameter    = 4
)

// ICMPError is an ICMPv4 or ICMPv6 error about a TCP segment. Addresses, ports and sequence number are those of the segment
// that caused it, so its source is the host the error goes to. Offsets count from the start of the packet data.
type ICMPError struct {
	Type, Code       uint8
	V6               bool // Type and Code are those of ICMPv6
	HasSeq           bool // enough of the TCP header is there to hold Seq
	HasMTU           bool // fragmentation needed, or packet too big; MTU may still be 0 in an old router's
	InnerL3, InnerL4 uint16
	SrcPort, DstPort uint16
	Seq              uint32
	MTU              uint32
	Src, Dst         [16]byte // IPv4 as ::ffff:a.b.c.d
}

// Refuses reports whether the error says that its segment was refused, on its way or at its end, and not for its size: a
// destination that is unreachable or prohibited, or a header with which somebody has a problem (RFC 792, RFC 1812 section 5.2.7.1,
// RFC 4443 sections 3.1 and 3.4).
func (e *ICMPError) Refuses() bool {
	if e.V6 {
		return e.Type == icmp6Unreachable || e.Type == icmp6Parameter
	}
	return e.Type == icmp4Unreachable && e.Code != icmp4FragNeeded || e.Type == icmp4Parameter
}

// ParseICMPError reads p, a packet of class NonTCP, as an ICMP error about a TCP segment and reports whether it is one. The
// ICMP checksum is not looked at.
func (p *Packet) ParseICMPError(e *ICMPError) bool {
	if p.Class != NonTCP || p.L4 == 0 || p.PayloadLen < 8 {
		return false
	}
	b := p.Data()
	h := b[p.L4:]
	*e = ICMPError{Type: h[0], Code: h[1], V6: p.Ver == 6, InnerL3: p.L4 + 8}
	switch {
	case p.Ver == 4 && p.Proto == protoICMPv4:
		return e.kind4(h) && e.inner4(b)
	case p.Ver == 6 && p.Proto == protoICMPv6:
		return e.kind6(h) && e.inner6(b)
	}
	return false
}

func (e *ICMPError) kind4(h []byte) bool {
	switch e.Type {
	case icmp4Unreachable:
		if e.Code == icmp4FragNeeded {
			e.HasMTU, e.MTU = true, uint32(binary.BigEndian.Uint16(h[6:]))
		}
		return true
	case icmp4SourceQuench, icmp4Redirect, icmp4TimeExceeded, icmp4Parameter:
		return true
	}
	return false
}

func (e *ICMPError) kind6(h []byte) bool {
	switch e.Type {
	case icmp6TooBig:
		e.HasMTU, e.MTU = true, binary.BigEndian.Uint32(h[4:])
		return true
	case icmp6Unreachable, icmp6TimeExceeded, icmp6Parameter:
		return true
	}
	return false
}

func (e *ICMPError) inner4(b []byte) bool {
	h := b[e.InnerL3:]
	if len(h) < 20 {
		return false
	}
	ihl := int(h[0]&15) * 4
	if h[0]>>4 != 4 || ihl < 20 || h[9] != protoTCP || binary.BigEndian.Uint16(h[6:])&0x1fff != 0 {
		return false
	}
	mapped(&e.Src, h[12:16])
	mapped(&e.Dst, h[16:20])
	return e.innerTCP(b, int(e.InnerL3)+ihl)
}

func (e *ICMPError) inner6(b []byte) bool {
	h := b[e.InnerL3:]
	if len(h) < 40 || h[0]>>4 != 6 {
		return false
	}
	copy(e.Src[:], h[8:24])
	copy(e.Dst[:], h[24:40])
	next, off := h[6], int(e.InnerL3)+40
	for i := 0; i < maxExtHeaders; i++ {
		switch next {
		case protoTCP:
			return e.innerTCP(b, off)
		case protoHopByHop, protoRouting, protoDstOpts:
		default:
			return false
		}
		if off+8 > len(b) {
			return false
		}
		next, off = b[off], off+8*(int(b[off+1])+1)
	}
	return false
}

func (e *ICMPError) innerTCP(b []byte, off int) bool {
	if off+4 > len(b) {
		return false
	}
	e.InnerL4 = uint16(off)
	e.SrcPort, e.DstPort = binary.BigEndian.Uint16(b[off:]), binary.BigEndian.Uint16(b[off+2:])
	if off+8 <= len(b) {
		e.HasSeq, e.Seq = true, binary.BigEndian.Uint32(b[off+4:])
	}
	return true
}

// RewriteICMPError writes seq into the embedded segment and, where the error reports one, mtu as the next hop's MTU (at most
// 65,535 in IPv4). The ICMP checksum, and the embedded TCP checksum where it is there, are changed by the difference, so that
// what was right stays right and what was wrong stays wrong. e must be p's.
func (p *Packet) RewriteICMPError(e *ICMPError, seq, mtu uint32) {
	b := p.Data()
	ck := int(p.L4) + 2
	sum := binary.BigEndian.Uint16(b[ck:])
	if e.HasMTU {
		if p.Ver == 4 {
			mtu = min(mtu, 65535) // the upper half of the word is RFC 4884's length
			mtu |= binary.BigEndian.Uint32(b[p.L4+4:]) &^ 0xffff
		}
		sum = replace32(b[p.L4+4:], mtu, sum)
		e.MTU = mtu
		if p.Ver == 4 {
			e.MTU &= 0xffff
		}
	}
	if e.HasSeq {
		sum = replace32(b[e.InnerL4+4:], seq, sum)
		if f := int(e.InnerL4) + 16; f+2 <= len(b) {
			was := binary.BigEndian.Uint16(b[f:])
			is := Update32(was, e.Seq, seq)
			binary.BigEndian.PutUint16(b[f:], is)
			sum = Update16(sum, was, is)
		}
		e.Seq = seq
	}
	binary.BigEndian.PutUint16(b[ck:], sum)
	p.M.OlFlags &^= rxCksumFlags
}

// replace32 stores v at the start of b and returns the checksum field sum after the change.
func replace32(b []byte, v uint32, sum uint16) uint16 {
	was := binary.BigEndian.Uint32(b)
	binary.BigEndian.PutUint32(b, v)
	return Update32(sum, was, v)
}
