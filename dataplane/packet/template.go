package packet

import (
	"encoding/binary"

	"linecrypt/dataplane/mbuf"
)

const maxL2 = ethLen + 4*maxTags

// Template is what a segment of one direction of a flow looks like below its sequence numbers. It holds no pointer and may
// lie in shared memory; Build trusts none of its lengths. IPv4 options and IPv6 extension headers are not in it: they
// belong to the packet that carried them.
type Template struct {
	Src, Dst         [16]byte // IPv4 as ::ffff:a.b.c.d
	L2               [maxL2]byte
	L2Len            uint8 // 14, 18 or 22
	Ver              uint8 // 4 or 6
	TTL              uint8
	TOS              uint8 // DSCP; ECN is 0 because control segments and retransmissions are not ECN-capable (RFC 3168)
	SrcPort, DstPort uint16
	DF               uint8  // 1: IPv4 packets have DF and ID 0
	FlowLabel        uint32 // 20 bits
}

// FromPacket captures the headers of p, whose class is TCP.
func (t *Template) FromPacket(p *Packet) {
	b := p.M.Data()
	*t = Template{L2Len: uint8(p.L3), Ver: p.Ver, SrcPort: p.SrcPort, DstPort: p.DstPort}
	copy(t.L2[:], b[:p.L3])
	p.SrcAddr16(&t.Src)
	p.DstAddr16(&t.Dst)
	h := b[p.L3:]
	if p.Ver == 4 {
		t.TOS, t.TTL, t.DF = h[1]&^ecnCE, h[8], h[6]>>6&1
		return
	}
	v := binary.BigEndian.Uint32(h)
	t.TOS, t.FlowLabel, t.TTL = uint8(v>>20)&^ecnCE, v&0xfffff, h[7]
}

// Valid reports whether segments can be built from the template.
func (t *Template) Valid() bool { return t.headerLen() != 0 }

// VLAN returns the VLAN IDs of the template's link layer, folded as in Packet. The template is valid.
func (t *Template) VLAN() uint32 {
	v := uint32(0)
	for off := ethLen; off < int(t.L2Len); off += 4 {
		v = v<<12 | uint32(binary.BigEndian.Uint16(t.L2[off:])&0xfff)
	}
	return v
}

// Reverse turns the template round, for an answer through the port the captured packet came from. It is a stopgap for the
// time before the other direction has shown a packet of its own: TTL, DSCP and flow label are the captured ones.
func (t *Template) Reverse() {
	t.Src, t.Dst = t.Dst, t.Src
	t.SrcPort, t.DstPort = t.DstPort, t.SrcPort
	var mac [6]byte
	copy(mac[:], t.L2[:6])
	copy(t.L2[:6], t.L2[6:12])
	copy(t.L2[6:12], mac[:])
}

// Seg is what Build adds to a Template.
type Seg struct {
	Seq, Ack   uint32
	Win, Urg   uint16
	Flags      uint8
	HasTS      bool
	CE         bool   // marked by a router in front of the gateway (RFC 3168)
	NSACK      uint8  // blocks of SACK to send
	ID         uint16 // IPv4 identification where the template has DF clear
	TSVal      uint32
	TSEcr      uint32
	SACK       [4][2]uint32
	ENO, Other []byte // whole encoded options; Other goes first, ENO last
}

// Build makes a TCP segment in the empty buffer m, from its data offset on, with payloadLen bytes of payload that the
// caller copies to p.PayloadBytes before Finish. p is overwritten and describes the new segment. Where the 40 bytes of
// option space are short, NOPs are left out first and SACK blocks then; it reports false where even that does not fit, the
// buffer is too small or the template makes no sense.
func (p *Packet) Build(m *mbuf.Mbuf, t *Template, s *Seg, payloadLen int) bool {
	var l optList
	n := t.headerLen()
	if n == 0 || payloadLen < 0 || !l.layout(s) {
		return false
	}
	return p.put(m, t, s, &l, m.DataOff(), payloadLen)
}

// Prepend is Build for a payload that already is all of m's data: the headers go into its headroom.
func (p *Packet) Prepend(m *mbuf.Mbuf, t *Template, s *Seg) bool {
	var l optList
	n := t.headerLen()
	if n == 0 || !l.layout(s) {
		return false
	}
	return p.put(m, t, s, &l, m.DataOff()-n-l.n, int(m.DataLen))
}

// headerLen returns the length of all headers without TCP options, or 0 for a template that makes no sense.
func (t *Template) headerLen() int {
	if t.L2Len != ethLen && t.L2Len != ethLen+4 && t.L2Len != maxL2 {
		return 0
	}
	switch t.Ver {
	case 4:
		return int(t.L2Len) + 20 + tcpMinLen
	case 6:
		return int(t.L2Len) + 40 + tcpMinLen
	}
	return 0
}

// layout fills an empty list with the options of s and reports whether they fit.
func (l *optList) layout(s *Seg) bool {
	if len(s.Other) > MaxOptions || len(s.ENO) > MaxOptions || s.NSACK > 4 {
		return false
	}
	for n := int(s.NSACK); n >= 0; n-- {
		for _, pack := range [2]bool{false, true} {
			if l.options(s, n, pack); l.n <= MaxOptions {
				return true
			}
		}
	}
	return false
}

// options lays out the options of s with n SACK blocks. Where l.n comes out above MaxOptions the list is not complete.
func (l *optList) options(s *Seg, n int, pack bool) {
	l.n = copy(l.b[:], s.Other)
	if s.HasTS {
		if !pack {
			l.nops((6 - l.n&3) & 3)
		}
		b := l.b[l.n:][:10]
		b[0], b[1] = KindTimestamps, 10
		binary.BigEndian.PutUint32(b[2:], s.TSVal)
		binary.BigEndian.PutUint32(b[6:], s.TSEcr)
		l.n += 10
	}
	need := len(s.ENO)
	if n > 0 {
		need += 2 + 8*n
	}
	if l.n+need > MaxOptions {
		l.n = MaxOptions + 1
		return
	}
	if n > 0 {
		l.addSACK(s.SACK[:n], pack)
	}
	l.n += copy(l.b[l.n:], s.ENO)
	l.pad()
}

// put writes the headers at start of m's buffer and sets m and p up.
func (p *Packet) put(m *mbuf.Mbuf, t *Template, s *Seg, l *optList, start, payloadLen int) bool {
	l3 := int(t.L2Len)
	l4 := t.headerLen() - tcpMinLen
	head := l4 + tcpMinLen + l.n
	if start < 0 || start+head+payloadLen > int(m.BufLen) || head-l3+payloadLen > 65535 {
		return false
	}
	m.SetBounds(start, head+payloadLen)
	b := m.Data()
	copy(b, t.L2[:l3])
	tos := t.TOS
	if s.CE {
		tos |= ecnCE
	}
	if t.Ver == 4 {
		t.putIPv4(b[l3:], tos, s.ID)
	} else {
		t.putIPv6(b[l3:], tos)
	}
	h := b[l4:head]
	binary.BigEndian.PutUint16(h, t.SrcPort)
	binary.BigEndian.PutUint16(h[2:], t.DstPort)
	h[12], h[16], h[17] = uint8((tcpMinLen+l.n)<<2), 0, 0
	putTCP(h, s.Seq, s.Ack, s.Win, s.Flags, s.Urg)
	copy(h[tcpMinLen:], l.b[:l.n])
	p.describe(m, t, s, l4, head, payloadLen)
	return true
}

// describe makes p what Parse would make of the segment just written.
func (p *Packet) describe(m *mbuf.Mbuf, t *Template, s *Seg, l4, head, payloadLen int) {
	p.M, p.Class, p.Ver, p.Proto = m, TCP, t.Ver, protoTCP
	p.L3, p.L4, p.Payload, p.PayloadLen = uint16(t.L2Len), uint16(l4), uint16(head), uint16(payloadLen)
	p.Seq, p.Ack, p.Win, p.Urg, p.Flags = s.Seq, s.Ack, s.Win, s.Urg, s.Flags
	p.SrcPort, p.DstPort = t.SrcPort, t.DstPort
	p.VLAN = t.VLAN()
	p.Opt.parse(m.Data()[l4+tcpMinLen:head], l4+tcpMinLen)
}

func (t *Template) putIPv4(h []byte, tos uint8, id uint16) {
	n := uint16(len(h))
	h = h[:20]
	frag := uint16(0)
	if t.DF != 0 {
		id, frag = 0, 0x4000
	}
	h[0], h[1], h[8], h[9] = 0x45, tos, t.TTL, protoTCP
	binary.BigEndian.PutUint16(h[2:], n)
	binary.BigEndian.PutUint16(h[4:], id)
	binary.BigEndian.PutUint16(h[6:], frag)
	h[10], h[11] = 0, 0
	copy(h[12:16], t.Src[12:])
	copy(h[16:20], t.Dst[12:])
	binary.BigEndian.PutUint16(h[10:], ^Sum(h, 0))
}

func (t *Template) putIPv6(h []byte, tos uint8) {
	binary.BigEndian.PutUint32(h, 6<<28|uint32(tos)<<20|t.FlowLabel&0xfffff)
	binary.BigEndian.PutUint16(h[4:], uint16(len(h)-40))
	h[6], h[7] = protoTCP, t.TTL
	copy(h[8:24], t.Src[:])
	copy(h[24:40], t.Dst[:])
}
