package packet

import "encoding/binary"

// The methods here keep the packet consistent: mbuf bounds, IP lengths, the IPv4 header checksum and the fields of Packet
// agree after each of them. Only the TCP checksum is left to Finish. They want a packet of class TCP in a buffer that
// nobody else writes or sends meanwhile. Link-layer padding is cut off.

// Reframe makes the payload begin front bytes earlier (or, where negative, later) and be n bytes long, moving the headers.
// New bytes in front of and behind the old payload hold anything. It reports false, and changes nothing, where the
// headroom, the tailroom or the payload does not have the room, or where the IP packet would exceed 65,535 bytes.
func (p *Packet) Reframe(front, n int) bool {
	m := p.M
	off, head := m.DataOff(), int(p.Payload)
	start := off - front
	if start < 0 || -front > int(p.PayloadLen) || !p.fits(start, head, n) {
		return false
	}
	if front != 0 {
		buf := m.Buf()
		copy(buf[start:start+head], buf[off:off+head])
	}
	p.setBounds(start, n)
	return true
}

// ShiftHeaders grows the room in front of the payload by delta bytes, or drops its first -delta bytes.
func (p *Packet) ShiftHeaders(delta int) bool { return p.Reframe(delta, int(p.PayloadLen)+delta) }

// SetPayloadLen makes the payload n bytes long, cutting it or adding room behind it.
func (p *Packet) SetPayloadLen(n int) bool { return p.Reframe(0, n) }

// fits reports whether headers of head bytes at start and n bytes of payload stay within the buffer and an IP packet.
func (p *Packet) fits(start, head, n int) bool {
	return n >= 0 && start+head+n <= int(p.M.BufLen) && head-int(p.L3)+n <= 65535
}

// setBounds places a packet whose headers begin at start of the buffer and which has n bytes of payload.
func (p *Packet) setBounds(start, n int) {
	p.PayloadLen = uint16(n)
	p.M.SetBounds(start, int(p.Payload)+n)
	h := p.M.Data()[p.L3:]
	if p.Ver == 6 {
		binary.BigEndian.PutUint16(h[4:6], uint16(len(h)-40))
		return
	}
	was, is := binary.BigEndian.Uint16(h[2:4]), uint16(len(h))
	if was == is {
		return
	}
	binary.BigEndian.PutUint16(h[2:4], is)
	binary.BigEndian.PutUint16(h[10:12], Update16(binary.BigEndian.Uint16(h[10:12]), was, is))
}

// SetTCP writes the fields of the TCP header that translation changes. Reserved bits, ports and options stay.
func (p *Packet) SetTCP(seq, ack uint32, win uint16, flags uint8, urg uint16) {
	p.Seq, p.Ack, p.Win, p.Flags, p.Urg = seq, ack, win, flags, urg
	putTCP(p.M.Data()[p.L4:], seq, ack, win, flags, urg)
}

func putTCP(h []byte, seq, ack uint32, win uint16, flags uint8, urg uint16) {
	h = h[:tcpMinLen]
	binary.BigEndian.PutUint32(h[4:], seq)
	binary.BigEndian.PutUint32(h[8:], ack)
	h[13] = flags
	binary.BigEndian.PutUint16(h[14:], win)
	binary.BigEndian.PutUint16(h[18:], urg)
}

// SetIPv4ID gives an IPv4 packet another identification (RFC 6864); IPv6 has none.
func (p *Packet) SetIPv4ID(id uint16) {
	if p.Ver != 4 {
		return
	}
	h := p.M.Data()[p.L3:]
	was := binary.BigEndian.Uint16(h[4:])
	binary.BigEndian.PutUint16(h[4:], id)
	binary.BigEndian.PutUint16(h[10:], Update16(binary.BigEndian.Uint16(h[10:]), was, id))
}
