package packet

import (
	"encoding/binary"
	"math/bits"
	"unsafe"

	"linecrypt/dataplane/mbuf"
)

// Translation is what becomes of the TCP header of a segment that passes.
type Translation struct {
	Seq, Ack     uint32
	Win          uint16
	Flags        uint8
	TSVal, TSEcr uint32 // written where the segment has timestamps
}

// Moved is where the payload of a segment that passes will lie, and what becomes of its headers.
type Moved struct {
	M        *mbuf.Mbuf
	Off, Len int // payload within M.Buf()
	Translation
}

// commonTS is a timestamps option as nearly every sender writes it (RFC 7323 appendix A): two NOPs, kind and length.
const commonTS = 0x0101080a

// CommonOptions reports whether the segment's only option is the timestamps in their usual place, if ts, or that it has none, and whether
// its headers are no longer than the fields of an mbuf can say.
func (p *Packet) CommonOptions(ts bool) bool {
	want := usualNone
	if ts {
		want = usualTS
	}
	return p.Opt.usual == want && p.L4-p.L3 <= maxL3Len
}

// Common is where the headers of a segment with common options lie in its mbuf, from its first byte on.
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

// Translate is Common's for a parsed segment.
func (p *Packet) Translate(at, n int, t *Translation) {
	if p.plainPlaces() {
		translatePlain(p.M, int(p.Payload), at, n, t)
		return
	}
	h := Common{L3: int(p.L3), L4: int(p.L4), Payload: int(p.Payload), IPv4: p.Ver == 4}
	h.Translate(p.M, at, n, t)
}

// TranslatePlain is Translate for m in which a segment lies that is Plain, with headers of so many bytes.
func TranslatePlain(m *mbuf.Mbuf, header, at, n int, t *Translation) {
	translatePlain(m, header, at, n, t)
}

// Ahead is what TranslateRun asks for while it works: for each segment, what comes RunAhead packets behind it.
type Ahead struct {
	First      unsafe.Pointer // where the *mbuf.Mbuf of the packet lies that comes so far behind the first segment,
	Stride     uintptr        // how many bytes further on that of each other,
	N          int            // and how many there are, 0 and less none: their lines are asked for as mbuf.PrefetchPacket does
	Notes      uintptr        // the same of two lines for each, which need be no place of anything
	NoteStride uintptr
}

// RunAhead is for how many packets TranslateRun has lines on their way.
const RunAhead = 4

// AheadOf returns what comes ahead of segments, the first of which is that of pkts.
func AheadOf(pkts []Packet, notes, noteStride uintptr) Ahead {
	a := Ahead{Stride: unsafe.Sizeof(Packet{}), N: len(pkts) - RunAhead, Notes: notes, NoteStride: noteStride}
	if a.N > 0 {
		a.First = unsafe.Pointer(&pkts[RunAhead].M)
	}
	return a
}

// TranslateRun is TranslatePlain for n segments, of which there is one, all with headers of so many bytes. What becomes of the first is
// first, of each other one stride bytes further on.
func TranslateRun(first *Moved, stride uintptr, n, header int, ahead Ahead) {
	translateAll(first, stride, n, header, ahead)
}

// PrefetchRun asks for the lines of packets, of which there is one, as mbuf.PrefetchPacket does, and for two lines from p on and two from q on
// for the first, and as far from there as the strides say for each other. These may be the places of nothing.
func PrefetchRun(pkts []Packet, p, pStride, q, qStride uintptr) {
	prefetchAll(pkts, p, pStride, q, qStride)
}

// translateAllGo is the twin of the assembly.
func translateAllGo(first *Moved, stride uintptr, n, header int) {
	for i := range n {
		v := (*Moved)(unsafe.Add(unsafe.Pointer(first), uintptr(i)*stride))
		translatePlainGo(v.M, header, v.Off, v.Len, &v.Translation)
	}
}

// Read reads where the headers lie of a segment for which CommonOptions held and NoteHeaders was called, and reports false where that
// does not agree with the bounds of the mbuf.
func (h *Common) Read(m *mbuf.Mbuf) bool {
	o := m.TxOffload
	if n := o >> notePayload; o&(1<<notePayload-1) == plainNote && (n == plainHead || n == plainHead+tsLen) && n <= uint64(m.DataLen) {
		h.L3, h.L4, h.Payload, h.IPv4 = ethLen, plainL4, int(n), true
		return m.At(ethLen)>>4 == 4
	}
	l3, l4, payload := int(uint16(o)), int(uint16(o>>noteL4)), int(uint16(o>>notePayload))
	if l3 < ethLen || l4 < l3+20 || payload < l4+tcpMinLen || payload > l4+tcpMinLen+MaxOptions || payload > int(m.DataLen) || l4-l3 > maxL3Len {
		return false
	}
	h.L3, h.L4, h.Payload = l3, l4, payload
	h.IPv4 = m.Data()[l3]>>4 == 4
	return h.IPv4 || l4 >= l3+40
}

// Translate moves the headers of m so that they end at offset at of its buffer, with n bytes of payload behind them, and makes them those
// of the translated segment: bounds, lengths, TCP header, timestamps where there are any, and the sum of the pseudo header in the place of
// TCP's checksum, which the port completes, or CompleteSum. Urgent pointer and reserved bits become 0. The caller has checked that there
// is room.
func (h *Common) Translate(m *mbuf.Mbuf, at, n int, t *Translation) {
	if h.L3 == ethLen && h.L4 == plainL4 && h.IPv4 {
		translatePlain(m, h.Payload, at, n, t)
		return
	}
	from := m.DataOff()
	start := at - h.Payload
	if start != from {
		buf := m.Buf()
		copy(buf[start:at], buf[from:from+h.Payload])
	}
	m.SetBounds(start, h.Payload+n)
	b := m.Data()
	l4 := b[h.L4:]
	length := len(l4)
	var ps uint64 // of the pseudo header, in host order of bytes
	l3 := b[h.L3:h.L4]
	_ = l3[19]
	m.OlFlags &^= rxCksumFlags | txFlags
	if h.IPv4 {
		was, is := binary.BigEndian.Uint16(l3[2:]), uint16(len(b)-h.L3)
		binary.BigEndian.PutUint16(l3[2:], is)
		binary.BigEndian.PutUint16(l3[10:], Update16(binary.BigEndian.Uint16(l3[10:]), was, is))
		ps = uint64(binary.LittleEndian.Uint32(l3[12:])) + uint64(binary.LittleEndian.Uint32(l3[16:]))
		m.OlFlags |= mbuf.TxTCPCksum | mbuf.TxIPv4
	} else {
		a := l3[8:40]
		binary.BigEndian.PutUint16(l3[4:], uint16(len(b)-h.L3-40))
		for i := 0; i < 32; i += 4 {
			ps += uint64(binary.LittleEndian.Uint32(a[i:]))
		}
		m.OlFlags |= mbuf.TxTCPCksum | mbuf.TxIPv6
	}
	ps += uint64(length&0xff)<<8 | uint64(length>>8) + protoTCP<<8
	_ = l4[19]
	binary.BigEndian.PutUint32(l4[4:], t.Seq)
	binary.BigEndian.PutUint32(l4[8:], t.Ack)
	l4[13] = t.Flags
	binary.BigEndian.PutUint16(l4[14:], t.Win)
	binary.LittleEndian.PutUint32(l4[16:], uint32(fold(ps)))
	if h.Payload-h.L4 == tcpMinLen+tsLen {
		ts := l4[tcpMinLen+4 : tcpMinLen+tsLen]
		binary.BigEndian.PutUint32(ts, t.TSVal)
		binary.BigEndian.PutUint32(ts[4:], t.TSEcr)
	}
	m.TxOffload = uint64(h.L3) | uint64(h.L4-h.L3)<<l2Bits | uint64(h.Payload-h.L4)<<(l2Bits+l3Bits)
}

// translatePlainGo is Translate for untagged IPv4 without options: all of it is at a place that is known. The headers are read whole, as
// words, before they are written, because both places overlap. It is the twin of the assembly.
func translatePlainGo(m *mbuf.Mbuf, head, at, n int, t *Translation) {
	from := (*[plainHead]byte)(unsafe.Add(m.BufAddr, m.DataOff()))
	start := at - head
	to := (*[plainHead + tsLen]byte)(unsafe.Add(m.BufAddr, start))
	w0, w1 := binary.LittleEndian.Uint64(from[0:]), binary.LittleEndian.Uint64(from[8:])
	lengths, sums := binary.LittleEndian.Uint64(from[16:]), binary.LittleEndian.Uint64(from[24:])
	ports, offset := binary.LittleEndian.Uint64(from[32:]), uint64(from[46])

	m.SetBounds(start, head+n)
	size := head - ethLen + n
	// RFC 1624, eqn. 3, and the sum of the pseudo header, both in the order in which bytes are loaded, which makes no difference.
	is := uint64(bits.ReverseBytes16(uint16(size)))
	sum := uint32(^uint16(sums)) + uint32(^uint16(lengths)) + uint32(is)
	sum = sum>>16 + sum&0xffff
	sum += sum >> 16
	pseudo := sums>>32 + sums>>16&0xffff + ports&0xffff + uint64(bits.ReverseBytes16(uint16(size-20))) + protoTCP<<8
	pseudo = pseudo>>16 + pseudo&0xffff
	pseudo = pseudo>>16 + pseudo&0xffff
	pseudo = uint64(uint16(pseudo>>16 + pseudo))
	binary.LittleEndian.PutUint64(to[0:], w0)
	binary.LittleEndian.PutUint64(to[8:], w1)
	binary.LittleEndian.PutUint64(to[16:], lengths&^0xffff|is)
	binary.LittleEndian.PutUint64(to[24:], sums&^0xffff|uint64(^uint16(sum)))
	binary.LittleEndian.PutUint64(to[32:], ports)
	binary.BigEndian.PutUint64(to[38:], uint64(t.Seq)<<32|uint64(t.Ack))
	binary.LittleEndian.PutUint64(to[46:], offset|uint64(t.Flags)<<8|uint64(bits.ReverseBytes16(t.Win))<<16|pseudo<<32)
	if head == plainHead+tsLen {
		binary.BigEndian.PutUint32(to[54:], commonTS)
		binary.BigEndian.PutUint64(to[58:], uint64(t.TSVal)<<32|uint64(t.TSEcr))
	}
	m.OlFlags = m.OlFlags&^(rxCksumFlags|txFlags) | mbuf.TxTCPCksum | mbuf.TxIPv4
	m.TxOffload = ethLen | 20<<l2Bits | uint64(head-plainL4)<<(l2Bits+l3Bits)
}

// CompleteSum makes the TCP checksum of a segment that Translate made right, for a port that does not do so.
func CompleteSum(m *mbuf.Mbuf) {
	o := m.TxOffload
	l4 := m.Data()[o&(1<<l2Bits-1)+o>>l2Bits&(1<<l3Bits-1):]
	binary.BigEndian.PutUint16(l4[16:18], ^Sum(l4, 0)) // the field holds the sum of the pseudo header
	m.OlFlags &^= txFlags
}
