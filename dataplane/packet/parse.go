package packet

import (
	"encoding/binary"

	"linecrypt/dataplane/mbuf"
)

const (
	ethLen  = 14
	maxTags = 2
	// maxExtHeaders bounds the walk along IPv6 extension headers.
	maxExtHeaders = 8
	tcpMinLen     = 20

	etherIPv4 = 0x0800
	etherIPv6 = 0x86dd
	etherVLAN = 0x8100 // 802.1Q
	etherQinQ = 0x88a8 // 802.1ad
	etherOldQ = 0x9100 // the outer tag before 802.1ad
)

// Parse reads the headers of m into p, which may hold a former packet, and returns the class. No checksum is looked at
// (see VerifyTCP and VerifyIPv4).
func (p *Packet) Parse(m *mbuf.Mbuf) Class {
	p.M, p.behind = m, Anything
	b := m.Data()
	if p.parseCommon(b) {
		p.Class = TCP
		return TCP
	}
	p.Ver, p.Proto, p.L3, p.L4, p.VLAN = 0, 0, 0, 0, 0
	p.Payload, p.PayloadLen = 0, 0
	p.Class = p.parseEther(b)
	return p.Class
}

// parseCommon reads a whole TCP segment in an untagged IPv4 packet without options, and reports false, having read nothing, where b is
// not one.
func (p *Packet) parseCommon(b []byte) bool {
	const l3, l4 = ethLen, ethLen + 20
	if len(b) < l4+tcpMinLen {
		return false
	}
	h := (*[l4 + tcpMinLen]byte)(b)
	const begins = 0x0008 | (4<<4|5)<<16 // EtherType, version and length of the header, in the order in which they are loaded
	if binary.LittleEndian.Uint32(h[12:])&0xffffff != begins || h[l3+9] != protoTCP || binary.LittleEndian.Uint16(h[l3+6:])&0xff3f != 0 {
		return false
	}
	end, n := l3+int(binary.BigEndian.Uint16(h[l3+2:])), int(h[l4+12]>>4)*4
	if end > len(b) || n < tcpMinLen || l4+n > end {
		return false
	}
	p.Ver, p.Proto, p.VLAN = 4, protoTCP, 0
	p.L3, p.L4, p.Payload, p.PayloadLen = l3, l4, uint16(l4+n), uint16(end-l4-n)
	p.setTCP((*[tcpMinLen]byte)(h[l4:]))
	if n == tcpMinLen+tsLen {
		if o := (*[tsLen]byte)(b[l4+tcpMinLen:]); binary.BigEndian.Uint32(o[:]) == commonTS {
			p.Opt.timestampsOnly(o, l4+tcpMinLen)
			return true
		}
	}
	p.Opt.parse(b[l4+tcpMinLen:l4+n], l4+tcpMinLen)
	return true
}

// setTCP reads the fixed part of a TCP header.
func (p *Packet) setTCP(h *[tcpMinLen]byte) {
	ports := binary.BigEndian.Uint32(h[0:])
	p.SrcPort, p.DstPort = uint16(ports>>16), uint16(ports)
	p.Seq, p.Ack = binary.BigEndian.Uint32(h[4:]), binary.BigEndian.Uint32(h[8:])
	p.Flags = h[13]
	p.Win, p.Urg = binary.BigEndian.Uint16(h[14:]), binary.BigEndian.Uint16(h[18:])
}

func (p *Packet) parseEther(b []byte) Class {
	if len(b) < ethLen {
		return Malformed
	}
	off, et := ethLen, binary.BigEndian.Uint16(b[12:])
	for tags := 0; isTag(et); tags++ {
		if tags == maxTags {
			return NonIP
		}
		if len(b) < off+4 {
			return Malformed
		}
		p.VLAN = p.VLAN<<12 | uint32(binary.BigEndian.Uint16(b[off:])&0xfff)
		et = binary.BigEndian.Uint16(b[off+2:])
		off += 4
	}
	p.L3 = uint16(off)
	switch et {
	case etherIPv4:
		p.Ver = 4
		return p.parseIPv4(b, off)
	case etherIPv6:
		p.Ver = 6
		return p.parseIPv6(b, off)
	}
	return NonIP
}

func isTag(et uint16) bool { return et == etherVLAN || et == etherQinQ || et == etherOldQ }

func (p *Packet) parseIPv4(b []byte, off int) Class {
	if len(b) < off+20 {
		p.Ver = 0
		return Malformed
	}
	h := b[off:]
	ihl, total := int(h[0]&15)*4, int(binary.BigEndian.Uint16(h[2:]))
	if h[0]>>4 != 4 || ihl < 20 || total < ihl || total > len(h) {
		return Malformed
	}
	p.Proto = h[9]
	if binary.BigEndian.Uint16(h[6:])&0x3fff != 0 { // more fragments, or an offset
		if p.Proto == protoTCP {
			return Fragment
		}
		return NonTCP
	}
	if p.Proto == protoTCP && ihl > 20 && sourceRouted(h[20:ihl]) {
		return Fragment
	}
	return p.parseUpper(b[:off+total], off+ihl)
}

// sourceRouted reports whether IPv4 options hold a source route with hops left: the destination address is then not the
// one that the TCP checksum and the flow know. Options that cannot be read count as one.
func sourceRouted(o []byte) bool {
	for i := 0; i < len(o); {
		switch o[i] {
		case 0:
			return false
		case 1:
			i++
			continue
		}
		n := optionLen(o[i:])
		if n == 0 {
			return true
		}
		if k := o[i]; (k == 131 || k == 137) && (n < 3 || int(o[i+2]) <= n) {
			return true
		}
		i += n
	}
	return false
}

func (p *Packet) parseIPv6(b []byte, off int) Class {
	if len(b) < off+40 {
		p.Ver = 0
		return Malformed
	}
	h := b[off:]
	plen, next := int(binary.BigEndian.Uint16(h[4:])), h[6]
	if h[0]>>4 != 6 || 40+plen > len(h) {
		return Malformed
	}
	b, off = b[:off+40+plen], off+40
	if next == protoTCP {
		p.Proto = protoTCP
		return p.parseTCP(b, off)
	}
	if plen == 0 && next == protoHopByHop { // RFC 2675: the length is in an option, and above 65535
		return NonTCP
	}
	return p.parseExtensions(b, off, next)
}

// parseExtensions walks the extension headers of RFC 8200 section 4 from off on.
func (p *Packet) parseExtensions(b []byte, off int, next uint8) Class {
	routed := false
	for i := 0; i < maxExtHeaders; i++ {
		switch next {
		case protoHopByHop, protoRouting, protoDstOpts:
		case protoFragment:
			return p.fragment6(b, off)
		default:
			p.Proto = next
			if routed && next == protoTCP {
				return Fragment
			}
			return p.parseUpper(b, off)
		}
		if off+8 > len(b) {
			return Malformed
		}
		n := 8 * (int(b[off+1]) + 1)
		if off+n > len(b) {
			return Malformed
		}
		routed = routed || next == protoRouting && b[off+3] != 0 // segments left
		next, off = b[off], off+n
	}
	return Fragment
}

// fragment6 classes a packet with a fragment header at off. What follows an extension header in the fragments behind the
// first cannot be seen, so that counts as TCP.
func (p *Packet) fragment6(b []byte, off int) Class {
	if off+8 > len(b) {
		return Malformed
	}
	switch p.Proto = b[off]; p.Proto {
	case protoTCP, protoHopByHop, protoRouting, protoDstOpts, protoFragment:
		return Fragment
	}
	return NonTCP
}

func (p *Packet) parseUpper(b []byte, off int) Class {
	if p.Proto == protoTCP {
		return p.parseTCP(b, off)
	}
	p.L4, p.Payload, p.PayloadLen = uint16(off), uint16(off), uint16(len(b)-off)
	return NonTCP
}

// parseTCP reads the TCP header at off of b, which ends where the IP packet does.
func (p *Packet) parseTCP(b []byte, off int) Class {
	h := b[off:]
	if len(h) < tcpMinLen {
		return Malformed
	}
	n := int(h[12]>>4) * 4
	if n < tcpMinLen || n > len(h) {
		return Malformed
	}
	p.L4, p.Payload, p.PayloadLen = uint16(off), uint16(off+n), uint16(len(h)-n)
	p.setTCP((*[tcpMinLen]byte)(h))
	p.Opt.parse(h[tcpMinLen:n], off+tcpMinLen)
	return TCP
}
