package packet

import (
	"encoding/binary"
	"math/bits"
	"unsafe"

	"linecrypt/dataplane/mbuf"
)

// Sum returns the ones' complement sum (RFC 1071) of b as big-endian 16-bit words, added to initial; an odd last byte
// counts as the high one. The checksum field is its complement. Sums of parts chain as long as every part but the last
// has even length.
func Sum(b []byte, initial uint16) uint16 {
	// The sum of byte-swapped words is the byte-swapped sum, so the loads need no swap each.
	acc, c := bits.Add64(sumOf(b), uint64(bits.ReverseBytes16(initial)), 0)
	return bits.ReverseBytes16(fold(acc + c))
}

// sumWords adds the 16-bit words of b, as they are loaded: what it returns folds to their sum. It is the twin of the assembly.
func sumWords(b []byte) (sum uint64) {
	var c uint64
	for len(b) >= 8 {
		sum, c = bits.Add64(sum, binary.LittleEndian.Uint64(b), c)
		b = b[8:]
	}
	sum, c = bits.Add64(sum, tail(b), c)
	return sum + c
}

// tail loads the up to seven last bytes, padded with zeros.
func tail(b []byte) uint64 {
	var v uint64
	if len(b) >= 4 {
		v = uint64(binary.LittleEndian.Uint32(b))
		b = b[4:]
		switch len(b) {
		case 3:
			return v | uint64(b[0])<<32 | uint64(b[1])<<40 | uint64(b[2])<<48
		case 2:
			return v | uint64(b[0])<<32 | uint64(b[1])<<40
		case 1:
			return v | uint64(b[0])<<32
		}
		return v
	}
	switch len(b) {
	case 3:
		return uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16
	case 2:
		return uint64(b[0]) | uint64(b[1])<<8
	case 1:
		return uint64(b[0])
	}
	return 0
}

func fold(v uint64) uint16 {
	v = v>>32 + v&0xffffffff
	v = v>>32 + v&0xffffffff
	v = v>>16 + v&0xffff
	v = v>>16 + v&0xffff
	return uint16(v)
}

// Update16 returns the checksum field after a 16-bit word of what it covers changed from was to is (RFC 1624, eqn. 3).
func Update16(field, was, is uint16) uint16 {
	v := uint32(^field) + uint32(^was) + uint32(is)
	v = v>>16 + v&0xffff
	return ^uint16(v>>16 + v&0xffff)
}

// Update32 is Update16 for a 32-bit value at an even offset.
func Update32(field uint16, was, is uint32) uint16 {
	return Update16(Update16(field, uint16(was>>16), uint16(is>>16)), uint16(was), uint16(is))
}

// pseudo returns the sum of the TCP pseudo header (RFC 9293 section 3.1, RFC 8200 section 8.1) of the IP header at h for n
// bytes of TCP.
func (p *Packet) pseudo(h []byte, n int) uint16 {
	rest := addOnes(uint16(n), protoTCP)
	if p.Ver == 6 {
		return Sum(h[8:40], rest)
	}
	addrs := binary.LittleEndian.Uint64(h[12:20])
	return addOnes(bits.ReverseBytes16(fold(addrs)), rest)
}

func addOnes(a, b uint16) uint16 {
	v := uint32(a) + uint32(b)
	return uint16(v>>16 + v&0xffff)
}

// VerifyTCP reports whether the segment's checksum is right. Where the port has already looked, its word counts: both
// flags together mean that the data is known good though the field is not filled in.
func (p *Packet) VerifyTCP() bool {
	if f := p.M.OlFlags & (mbuf.RxL4CksumGood | mbuf.RxL4CksumBad); f != 0 {
		return f&mbuf.RxL4CksumGood != 0
	}
	b := p.Data()
	return Sum(b[p.L4:], p.pseudo(b[p.L3:], len(b)-int(p.L4))) == 0xffff
}

// VerifyIPv4 reports whether the IPv4 header checksum is right, honouring what the port says. It is true of IPv6.
func (p *Packet) VerifyIPv4() bool {
	if f := p.M.OlFlags & (mbuf.RxIPCksumGood | mbuf.RxIPCksumBad); f != 0 {
		return f&mbuf.RxIPCksumGood != 0
	}
	if p.Ver != 4 {
		return true
	}
	h := p.M.Data()[p.L3:]
	return Sum(h[:int(h[0]&15)*4], 0) == 0xffff
}

// Verify reports whether both checksums of a segment are right, as VerifyTCP and VerifyIPv4 do.
func (p *Packet) Verify() bool {
	return p.M.OlFlags&rxGood == rxGood || p.VerifyTCP() && p.VerifyIPv4()
}

// Judged reports whether the port, or VerifyFirst, has said of both checksums whether they are right.
func (p *Packet) Judged() bool {
	f := p.M.OlFlags
	return f&(mbuf.RxL4CksumGood|mbuf.RxL4CksumBad) != 0 && f&(mbuf.RxIPCksumGood|mbuf.RxIPCksumBad) != 0
}

// VerifyFirst looks at those checksums of the first n packets of a burst, TCP segments, that their port has said nothing of, and says of them in
// the port's place whether they are right, or wrong: who sends damaged segments does not have them summed again with each that is left of their run.
// IPv6 has only one. A packet's text is asked for while the one before it is summed: it comes from another core, as a rule.
func VerifyFirst(burst []Packet, n int) {
	for i := range burst[:n] {
		if i+1 < len(burst) {
			if next := &burst[i+1]; next.PayloadLen > line && next.M.OlFlags&(mbuf.RxL4CksumGood|mbuf.RxL4CksumBad) == 0 {
				mbuf.PrefetchMemory(unsafe.Add(next.M.BufAddr, next.M.DataOff()+int(next.Payload)+line), min(int(next.PayloadLen)/line, textLines))
			}
		}
		p := &burst[i]
		f := p.M.OlFlags
		if f&(mbuf.RxL4CksumGood|mbuf.RxL4CksumBad) == 0 {
			f |= said(p.VerifyTCP(), mbuf.RxL4CksumGood, mbuf.RxL4CksumBad)
		}
		if f&(mbuf.RxIPCksumGood|mbuf.RxIPCksumBad) == 0 {
			f |= said(p.VerifyIPv4(), mbuf.RxIPCksumGood, mbuf.RxIPCksumBad)
		}
		p.M.OlFlags = f
	}
}

// A line of the cache in bytes, and how many of a text are asked for at most: a core waits for some twenty at a time.
const (
	line      = 64
	textLines = 16
)

func said(right bool, good, bad uint64) uint64 {
	if right {
		return good
	}
	return bad
}

// rxGood is what a port says of a packet whose checksums are right.
const rxGood = mbuf.RxL4CksumGood | mbuf.RxIPCksumGood

// rxCksumFlags is what a port says about a received packet; it is no longer true of a rewritten one.
const rxCksumFlags = mbuf.RxL4CksumGood | mbuf.RxL4CksumBad | mbuf.RxIPCksumGood | mbuf.RxIPCksumBad

const txFlags = mbuf.TxTCPCksum | mbuf.TxUDPCksum | mbuf.TxIPCksum | mbuf.TxIPv4 | mbuf.TxIPv6

// Finish makes the TCP checksum of a rewritten or built segment right: in software, or where offload is true by setting
// the mbuf up for the transmitting port to do it (pseudo-header sum in the field, TxTCPCksum, header lengths in TxOffload
// as DPDK lays them out). It hides damage, so a received segment is verified before. The IPv4 header checksum needs no
// finishing, every method here keeps it right. A network header that is longer than the mbuf's field for it, of IPv6 with
// long extension headers, gets its checksum in software.
func (p *Packet) Finish(offload bool) {
	b := p.Data()
	l3, l4 := int(p.L3), int(p.L4)
	n := len(b) - l4
	ps := p.pseudo(b[l3:], n)
	field := b[l4+16 : l4+18]
	m := p.M
	m.OlFlags &^= rxCksumFlags | txFlags
	if !offload || l4-l3 > maxL3Len {
		field[0], field[1] = 0, 0
		binary.BigEndian.PutUint16(field, ^Sum(b[l4:], ps))
		return
	}
	binary.BigEndian.PutUint16(field, ps)
	m.OlFlags |= mbuf.TxTCPCksum | mbuf.TxIPv4<<(p.Ver>>1&1)
	m.TxOffload = uint64(l3) | uint64(l4-l3)<<l2Bits | uint64(int(p.Payload)-l4)<<(l2Bits+l3Bits)
}

// FinishUDP makes the checksum of a UDP packet right whose field holds the sum of the pseudo-header, as Finish does TCP's.
func (p *Packet) FinishUDP(offload bool) {
	const header, field = 8, 6
	m, n := p.M, int(p.Payload)-int(p.L3)
	m.OlFlags &^= rxCksumFlags | txFlags
	if offload && n <= maxL3Len {
		m.OlFlags |= mbuf.TxUDPCksum | mbuf.TxIPv4<<(p.Ver>>1&1)
		m.TxOffload = uint64(p.L3) | uint64(n)<<l2Bits | header<<(l2Bits+l3Bits)
		return
	}
	b := p.PayloadBytes()
	sum := ^Sum(b, 0)
	if sum == 0 {
		sum = 0xffff
	}
	binary.BigEndian.PutUint16(b[field:], sum)
}

// Widths of the first fields of rte_mbuf's tx_offload: lengths of the link-layer and of the network header.
const (
	l2Bits   = 7
	l3Bits   = 9
	maxL3Len = 1<<l3Bits - 1
)
