package packet

import (
	"encoding/binary"
	"unsafe"

	"linecrypt/dataplane/mbuf"
)

// Translation is what becomes of the TCP header of a segment that passes.
type Translation struct {
	Seq, Ack     uint32
	Win          uint16
	Flags        uint8
	NewTS        bool // the timestamps are to be written too
	TSVal, TSEcr uint32
}

// commonTS is a timestamps option as nearly every sender writes it (RFC 7323 appendix A): two NOPs, kind and length.
const commonTS = 0x0101080a

// CommonOptions reports whether the segment's only option is the timestamps in their usual place, if ts, or that it has none.
func (p *Packet) CommonOptions(ts bool) bool {
	n := p.Payload - p.L4
	if ts {
		return n == tcpMinLen+12 && p.Opt.Present == OptTimestamps && p.Opt.TSOff == p.L4+tcpMinLen+2
	}
	return n == tcpMinLen
}

// Common is where the headers of a segment with common options lie in its mbuf, as NoteHeaders kept it.
type Common struct {
	L3, L4, Payload int
	IPv4            bool
}

// Where the headers of an untagged IPv4 packet without options lie, as NoteHeaders notes it, and what timestamps take of them.
const (
	plainL4   = ethLen + 20
	plainHead = plainL4 + tcpMinLen
	plainNote = ethLen | plainL4<<noteL4
	tsLen     = 12
)

// Read reads where the headers lie of a segment for which CommonOptions held and NoteHeaders was called, and reports false where that
// does not agree with the bounds of the mbuf.
func (h *Common) Read(m *mbuf.Mbuf) bool {
	o := m.TxOffload
	if n := o >> notePayload; o&(1<<notePayload-1) == plainNote && (n == plainHead || n == plainHead+tsLen) && n <= uint64(m.DataLen) {
		h.L3, h.L4, h.Payload, h.IPv4 = ethLen, plainL4, int(n), true
		return m.At(ethLen)>>4 == 4
	}
	l3, l4, payload := int(uint16(o)), int(uint16(o>>noteL4)), int(uint16(o>>notePayload))
	if l3 < ethLen || l4 < l3+20 || payload < l4+tcpMinLen || payload > l4+tcpMinLen+MaxOptions || payload > int(m.DataLen) {
		return false
	}
	h.L3, h.L4, h.Payload = l3, l4, payload
	h.IPv4 = m.Data()[l3]>>4 == 4
	return h.IPv4 || l4 >= l3+40
}

// Translate makes the headers in front of the payload of m, whose bounds say how long it is now, those of the translated segment:
// lengths, TCP header, timestamps and checksum, this in software or, where offload is true, by the port as Finish does. Urgent pointer and
// reserved bits become 0.
func (h *Common) Translate(m *mbuf.Mbuf, t *Translation, offload bool) {
	if h.L4-h.L3 == 20 && h.IPv4 && offload {
		h.translatePlain(m, t)
		return
	}
	b := m.Data()
	l4 := b[h.L4:]
	n := len(l4)
	var ps uint64 // of the pseudo header, in host order of bytes
	l3 := b[h.L3:h.L4]
	_ = l3[19]
	if h.IPv4 {
		was, is := binary.BigEndian.Uint16(l3[2:]), uint16(len(b)-h.L3)
		binary.BigEndian.PutUint16(l3[2:], is)
		binary.BigEndian.PutUint16(l3[10:], Update16(binary.BigEndian.Uint16(l3[10:]), was, is))
		ps = uint64(binary.LittleEndian.Uint32(l3[12:])) + uint64(binary.LittleEndian.Uint32(l3[16:]))
	} else {
		a := l3[8:40]
		binary.BigEndian.PutUint16(l3[4:], uint16(len(b)-h.L3-40))
		for i := 0; i < 32; i += 4 {
			ps += uint64(binary.LittleEndian.Uint32(a[i:]))
		}
	}
	ps += uint64(n&0xff)<<8 | uint64(n>>8) + protoTCP<<8
	_ = l4[19]
	binary.BigEndian.PutUint32(l4[4:], t.Seq)
	binary.BigEndian.PutUint32(l4[8:], t.Ack)
	l4[13] = t.Flags
	binary.BigEndian.PutUint16(l4[14:], t.Win)
	if t.NewTS {
		ts := l4[tcpMinLen+4 : tcpMinLen+12]
		binary.BigEndian.PutUint32(ts, t.TSVal)
		binary.BigEndian.PutUint32(ts[4:], t.TSEcr)
	}
	m.OlFlags &^= rxCksumFlags | txFlags
	if !offload || h.L4-h.L3 > maxL3Len {
		binary.LittleEndian.PutUint32(l4[16:], 0)
		binary.BigEndian.PutUint16(l4[16:], ^Sum(l4, swap(fold(ps))))
		return
	}
	binary.LittleEndian.PutUint32(l4[16:], uint32(fold(ps)))
	m.OlFlags |= mbuf.TxTCPCksum
	if h.IPv4 {
		m.OlFlags |= mbuf.TxIPv4
	} else {
		m.OlFlags |= mbuf.TxIPv6
	}
	m.TxOffload = uint64(h.L3) | uint64(h.L4-h.L3)<<l2Bits | uint64(h.Payload-h.L4)<<(l2Bits+l3Bits)
}

// translatePlain is Translate for IPv4 without options and a port with checksum offload: all of it is at a place that is known. Read has
// seen that the headers lie within the packet.
func (h *Common) translatePlain(m *mbuf.Mbuf, t *Translation) {
	b := (*[20 + tcpMinLen]byte)(unsafe.Add(m.BufAddr, m.DataOff()+h.L3))
	is := uint16(int(m.DataLen) - h.L3)
	was := binary.BigEndian.Uint16(b[2:])
	binary.BigEndian.PutUint16(b[2:], is)
	binary.BigEndian.PutUint16(b[10:], Update16(binary.BigEndian.Uint16(b[10:]), was, is))
	n := is - 20
	ps := uint64(binary.LittleEndian.Uint32(b[12:])) + uint64(binary.LittleEndian.Uint32(b[16:])) + uint64(n<<8|n>>8) + protoTCP<<8
	binary.BigEndian.PutUint64(b[20+4:], uint64(t.Seq)<<32|uint64(t.Ack))
	b[20+13] = t.Flags
	binary.BigEndian.PutUint16(b[20+14:], t.Win)
	binary.LittleEndian.PutUint32(b[20+16:], uint32(fold(ps)))
	if t.NewTS {
		binary.BigEndian.PutUint64((*[8]byte)(unsafe.Add(unsafe.Pointer(b), plainHead-ethLen+4))[:], uint64(t.TSVal)<<32|uint64(t.TSEcr))
	}
	m.OlFlags = m.OlFlags&^(rxCksumFlags|txFlags) | mbuf.TxTCPCksum | mbuf.TxIPv4
	m.TxOffload = uint64(h.L3) | 20<<l2Bits | uint64(h.Payload-h.L4)<<(l2Bits+l3Bits)
}

// swap turns a sum of words in one order of bytes into that of the other (RFC 1071 section 2).
func swap(sum uint16) uint16 { return sum<<8 | sum>>8 }
