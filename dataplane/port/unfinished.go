package port

import "encoding/binary"

// UnfinishedChecksum reports whether the checksum of a TCP or UDP packet is one that its sender left to hardware that was never
// there: the field holds the sum of the pseudo-header alone. It is for ports that are not told by the kernel. Such a port does not
// complete the checksum: of 65,536 packets that were damaged on a wire one looks just like that, and would be vouched for.
func UnfinishedChecksum(frame []byte) bool {
	proto, segment, pseudo, ok := transport(frame)
	if !ok {
		return false
	}
	at := 16
	if proto == protoUDP {
		at = 6
	}
	if len(segment) < at+2 || binary.BigEndian.Uint16(segment[at:]) != pseudo {
		return false
	}
	// One good packet in 65,536 has that in its field too.
	return fold(uint64(pseudo)+words(segment)) != 0xffff
}

const (
	protoTCP = 6
	protoUDP = 17
)

// transport finds the TCP or UDP segment of a whole packet, and the sum of its pseudo-header. IPv6 extension headers hide it: one
// packet in many is enough to know.
func transport(frame []byte) (proto byte, segment []byte, pseudo uint16, ok bool) {
	const ethernet, tag = 14, 4
	if len(frame) < ethernet {
		return 0, nil, 0, false
	}
	kind, ip := binary.BigEndian.Uint16(frame[12:]), frame[ethernet:]
	for range 2 {
		if (kind != 0x8100 && kind != 0x88a8) || len(ip) < tag {
			break
		}
		kind, ip = binary.BigEndian.Uint16(ip[2:]), ip[tag:]
	}
	var addresses []byte
	switch {
	case kind == 0x0800 && len(ip) >= 20 && ip[0]>>4 == 4:
		header, total := int(ip[0]&15)*4, int(binary.BigEndian.Uint16(ip[2:]))
		fragment := binary.BigEndian.Uint16(ip[6:])&0x3fff != 0
		if header < 20 || total < header || total > len(ip) || fragment {
			return 0, nil, 0, false
		}
		proto, segment, addresses = ip[9], ip[header:total], ip[12:20]
	case kind == 0x86dd && len(ip) >= 40 && ip[0]>>4 == 6:
		length := int(binary.BigEndian.Uint16(ip[4:]))
		if length > len(ip)-40 {
			return 0, nil, 0, false
		}
		proto, segment, addresses = ip[6], ip[40:40+length], ip[8:40]
	}
	if proto != protoTCP && proto != protoUDP {
		return 0, nil, 0, false
	}
	return proto, segment, fold(words(addresses) + uint64(proto) + uint64(len(segment))), true
}

// words adds b up as big-endian 16-bit words, an odd byte at its end as if a zero followed (RFC 1071).
func words(b []byte) (sum uint64) {
	for ; len(b) >= 2; b = b[2:] {
		sum += uint64(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		sum += uint64(b[0]) << 8
	}
	return sum
}

func fold(sum uint64) uint16 {
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}
