package spread

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"math/bits"
)

// Hash says which worker a frame is for. Ports that share one agree. It is keyed, so that nobody outside can aim all
// connections at one worker, and it is not a secure hash. It does not change; any thread uses it.
type Hash struct{ seed [4]uint64 }

// NewHash makes a hash with a random key.
func NewHash() (*Hash, error) {
	var b [32]byte
	if _, err := rand.Read(b[:]); err != nil {
		return nil, fmt.Errorf("key of the spreader: %w", err)
	}
	h := new(Hash)
	for i := range h.seed {
		h.seed[i] = binary.LittleEndian.Uint64(b[8*i:]) | 1
	}
	return h, nil
}

const (
	etherLen  = 14
	etherIPv4 = 0x0800
	etherIPv6 = 0x86dd

	protoICMPv4 = 1
	protoTCP    = 6
	protoICMPv6 = 58

	maxTags    = 2
	maxHeaders = 8 // IPv6 extension headers that are looked at, as package packet does
)

// Worker returns the number of the worker, below n, that a frame is for.
func (h *Hash) Worker(frame []byte, n int) int { return int(uint64(h.Of(frame)) * uint64(n) >> 32) }

// Of hashes an Ethernet frame, both directions of a connection alike:
//
//   - a TCP segment by addresses, ports and VLAN IDs;
//   - an ICMP error by what it quotes, as if that were the packet;
//   - other IP packets, IP fragments among them, by addresses and VLAN IDs, so that those of a datagram in fragments and those of
//     one in a piece stay in order;
//   - other frames by their two hardware addresses.
func (h *Hash) Of(frame []byte) uint32 {
	const ports = etherLen + 20
	if len(frame) < ports+4 {
		return h.other(frame)
	}
	// The common case by itself: a segment in an untagged IPv4 packet without options.
	f, le := (*[ports + 4]byte)(frame), binary.LittleEndian
	const begins = 0x0008 | (4<<4|5)<<16 // EtherType, version and length of the header, in the order in which they are loaded
	if le.Uint32(f[12:])&0xffffff != begins || f[etherLen+9] != protoTCP || le.Uint16(f[etherLen+6:])&0xff3f != 0 {
		return h.other(frame)
	}
	src, dst := uint64(le.Uint32(f[etherLen+12:])), uint64(le.Uint32(f[etherLen+16:]))
	return h.finish(h.end(src|uint64(le.Uint16(f[ports:]))<<32, 0), h.end(dst|uint64(le.Uint16(f[ports+2:]))<<32, 0), 0)
}

// other hashes any frame.
func (h *Hash) other(frame []byte) uint32 {
	if len(frame) < etherLen {
		return 0
	}
	kind, at, vlan := binary.BigEndian.Uint16(frame[12:]), etherLen, uint64(0)
	for tags := 0; tags < maxTags && (kind == 0x8100 || kind == 0x88a8 || kind == 0x9100) && len(frame) >= at+4; tags++ {
		vlan = vlan<<12 | uint64(binary.BigEndian.Uint16(frame[at:])&0xfff)
		kind = binary.BigEndian.Uint16(frame[at+2:])
		at += 4
	}
	ip := frame[at:]
	switch {
	case kind == etherIPv4 && len(ip) >= 20 && ip[0]>>4 == 4:
		return h.ipv4(ip, vlan, true)
	case kind == etherIPv6 && len(ip) >= 40 && ip[0]>>4 == 6:
		return h.ipv6(ip, vlan, true)
	}
	dst, src := uint64(binary.BigEndian.Uint32(frame))<<16|uint64(binary.BigEndian.Uint16(frame[4:])), binary.BigEndian.Uint64(frame[4:])&(1<<48-1)
	return h.finish(h.end(src, 0), h.end(dst, 0), vlan)
}

// ipv4 hashes a packet of at least 20 bytes, what an error quotes only if quoted.
func (h *Hash) ipv4(ip []byte, vlan uint64, quoted bool) uint32 {
	le := binary.LittleEndian
	src, dst := uint64(le.Uint32(ip[12:])), uint64(le.Uint32(ip[16:]))
	ihl := int(ip[0]&15) * 4
	if binary.BigEndian.Uint16(ip[6:])&0x3fff == 0 && ihl >= 20 && ihl <= len(ip) {
		upper := ip[ihl:]
		switch {
		case ip[9] == protoTCP && len(upper) >= 4:
			src, dst = src|uint64(le.Uint16(upper))<<32, dst|uint64(le.Uint16(upper[2:]))<<32
		case ip[9] == protoICMPv4 && quoted && len(upper) >= 28 && isError4(upper[0]) && upper[8]>>4 == 4:
			return h.ipv4(upper[8:], vlan, false)
		}
	}
	return h.finish(h.end(src, 0), h.end(dst, 0), vlan)
}

// isError4 reports whether an ICMP message quotes the packet that it is about.
func isError4(kind byte) bool { return kind == 3 || kind == 4 || kind == 5 || kind == 11 || kind == 12 }

// ipv6 hashes a packet of at least 40 bytes, what an error quotes only if quoted.
func (h *Hash) ipv6(ip []byte, vlan uint64, quoted bool) uint32 {
	be := binary.BigEndian
	var srcPort, dstPort uint64
	next, upper := ip[6], ip[40:]
	for range maxHeaders {
		if next == protoTCP && len(upper) >= 4 {
			srcPort, dstPort = uint64(be.Uint16(upper)), uint64(be.Uint16(upper[2:]))
		}
		if next == protoICMPv6 && quoted && len(upper) >= 48 && upper[0] >= 1 && upper[0] <= 4 && upper[8]>>4 == 6 {
			return h.ipv6(upper[8:], vlan, false)
		}
		if next != 0 && next != 43 && next != 60 || len(upper) < 8 || 8*(int(upper[1])+1) > len(upper) {
			break
		}
		next, upper = upper[0], upper[8*(int(upper[1])+1):]
	}
	src := h.end(be.Uint64(ip[8:]), be.Uint64(ip[16:])) ^ srcPort
	dst := h.end(be.Uint64(ip[24:]), be.Uint64(ip[32:])) ^ dstPort
	return h.finish(h.end(src, 0), h.end(dst, 0), vlan)
}

// end mixes what there is of one end.
func (h *Hash) end(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a^h.seed[0], b^h.seed[1])
	return hi ^ lo
}

// finish brings two ends together, in either order.
func (h *Hash) finish(a, b, vlan uint64) uint32 {
	hi, lo := bits.Mul64((a+b)^h.seed[2], vlan^h.seed[3])
	return uint32((hi ^ lo) >> 32)
}
