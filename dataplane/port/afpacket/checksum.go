package afpacket

import (
	"encoding/binary"
	"math/bits"
)

// complete finishes a checksum that the sender left to hardware: the field at start+offset holds the sum of the
// pseudo-header, and everything from start on is to be added. It is right for any transport, behind VLAN tags, IPv6
// extension headers and tunnels alike. It reports false when the field lies outside of frame.
func complete(frame []byte, start, offset int) bool {
	if start > len(frame) || offset > len(frame)-start-2 {
		return false
	}
	sum := ^onesSum(frame[start:])
	if sum == 0 {
		// UDP takes zero for no checksum; TCP takes both for the same.
		sum = 0xffff
	}
	binary.BigEndian.PutUint16(frame[start+offset:], sum)
	return true
}

// onesSum is the ones' complement sum of b as big-endian words (RFC 1071). Ones' complement addition is indifferent to
// word size and byte order up to one swap at the end, so it adds eight bytes at a time.
func onesSum(b []byte) uint16 {
	var sum, carry uint64
	for ; len(b) >= 32; b = b[32:] {
		sum, carry = bits.Add64(sum, binary.BigEndian.Uint64(b), carry)
		sum, carry = bits.Add64(sum, binary.BigEndian.Uint64(b[8:]), carry)
		sum, carry = bits.Add64(sum, binary.BigEndian.Uint64(b[16:]), carry)
		sum, carry = bits.Add64(sum, binary.BigEndian.Uint64(b[24:]), carry)
	}
	for ; len(b) >= 8; b = b[8:] {
		sum, carry = bits.Add64(sum, binary.BigEndian.Uint64(b), carry)
	}
	if len(b) > 0 {
		var tail [8]byte
		copy(tail[:], b)
		sum, carry = bits.Add64(sum, binary.BigEndian.Uint64(tail[:]), carry)
	}
	sum, carry = bits.Add64(sum, 0, carry)
	sum += carry
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}
