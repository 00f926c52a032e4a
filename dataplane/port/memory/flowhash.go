package memory

import "encoding/binary"

// FlowHash hashes the addresses and ports of an Ethernet frame so that both directions of a connection give the same
// value, as a network card's symmetric RSS does. Frames that are not IPv4 or IPv6 give 0, and fragments and protocols
// other than TCP and UDP are hashed by their addresses alone.
func FlowHash(frame []byte) uint32 {
	at := 12
	etherType := be16(frame, at)
	for etherType == 0x8100 || etherType == 0x88a8 {
		at += 4
		etherType = be16(frame, at)
	}
	at += 2
	h, proto, l4 := uint32(0), byte(0), 0
	switch {
	case etherType == 0x0800 && len(frame) >= at+20:
		ip := frame[at:]
		h, proto, l4 = xorWords(ip[12:20]), ip[9], at+int(ip[0]&15)*4
		if be16(ip, 6)&0x3fff != 0 {
			proto = 0
		}
	case etherType == 0x86dd && len(frame) >= at+40:
		ip := frame[at:]
		h, proto, l4 = xorWords(ip[8:40]), ip[6], at+40
	default:
		return 0
	}
	if proto == 6 || proto == 17 {
		h ^= uint32(be16(frame, l4) ^ be16(frame, l4+2))
	}
	h *= 0x9e3779b1
	return h ^ h>>15
}

func xorWords(b []byte) uint32 {
	x := uint32(0)
	for ; len(b) >= 4; b = b[4:] {
		x ^= binary.BigEndian.Uint32(b)
	}
	return x
}

// be16 reads two bytes at off, or 0 behind the end of b.
func be16(b []byte, off int) uint16 {
	if off+2 > len(b) {
		return 0
	}
	return binary.BigEndian.Uint16(b[off:])
}
