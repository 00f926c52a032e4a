package flowtable

import (
	"encoding/binary"
	"math/bits"
)

// hasher is the keyed hash of connection keys: NH (RFC 4418's core: a sum of products of key words plus message words), whose
// collisions are as rare as 2^-64 for anyone who does not know the seed, folded to 32 bits by one more multiplication.
type hasher struct {
	k [8]uint64
}

// newHasher expands the seed by splitmix64.
func newHasher(seed [2]uint64) hasher {
	var h hasher
	state := seed[0]
	for i := range h.k {
		if i == len(h.k)/2 {
			state ^= seed[1]
		}
		state += 0x9e3779b97f4a7c15
		z := state
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		h.k[i] = z ^ z>>31 ^ bits.RotateLeft64(seed[1], i)
	}
	return h
}

func (h *hasher) sum(key *Key) uint32 {
	le := binary.LittleEndian
	hi, lo := bits.Mul64(le.Uint64(key.Inside[:8])+h.k[0], le.Uint64(key.Inside[8:])+h.k[1])
	hi2, lo2 := bits.Mul64(le.Uint64(key.Outside[:8])+h.k[2], le.Uint64(key.Outside[8:])+h.k[3])
	return h.fold(hi, lo, hi2, lo2, uint64(key.InsidePort)|uint64(key.OutsidePort)<<16|uint64(key.VLAN)<<32)
}

// fold adds the products of both addresses and that of the rest of a key.
func (h *hasher) fold(hi, lo, hi2, lo2, rest uint64) uint32 {
	hi3, lo3 := bits.Mul64(rest+h.k[4], h.k[5])
	var carry uint64
	lo, carry = bits.Add64(lo, lo2, 0)
	hi, _ = bits.Add64(hi, hi2, carry)
	lo, carry = bits.Add64(lo, lo3, 0)
	hi, _ = bits.Add64(hi, hi3, carry)
	hi, lo = bits.Mul64(hi^h.k[6], lo^h.k[7])
	mixed := hi ^ lo
	return uint32(mixed ^ mixed>>32)
}
