// Command gcm writes the AES-GCM assembly of package cryptobatch for AVX-512
// with VAES and VPCLMULQDQ: `go generate` in the package's folder.
//
// GHASH works in the bit-reflected form: blocks are byte-swapped when loaded,
// and the powers of H in the key are multiplied by x beforehand (H<<1 modulo the
// polynomial), which makes up for the bit by which a carry-less product of
// reflected numbers is short. A sum of products is kept in three parts (low,
// middle, high) and reduced once.
package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Where AES-GCM has things in a Key.
const (
	// keyPowers holds H^16, H^15, ... H^1, so that a vector load gives the powers
	// that four blocks in a row need.
	keyPowers = 0
	keyH1     = keyPowers + 15*16
	keyRounds = 256
)

// Registers with one meaning throughout a burst.
var (
	ops, list, count = reg.RDI, reg.RSI, reg.RDX

	op, key, src, dst, left = reg.R8, reg.R9, reg.R10, reg.R11, reg.R12

	swap = reg.Z31 // byte order of each block reversed
	poly = reg.Z30 // the polynomial, for reduce
	four = reg.Z29 // 4 in each lane's counter
)

func main() {
	ConstraintExpr("amd64")
	expand()
	burst("sealBurstVaes512", false)
	burst("openBurstVaes512", true)
	Generate()
}

// lanes declares a constant of the same 16 bytes in each lane.
func lanes(name string, b [16]byte) Mem {
	m := GLOBL(name, 8|16) // RODATA|NOPTR
	for i := range 64 {
		DATA(i, U8(b[i%16]))
	}
	return m
}

func dwordsOf(name string, v [16]uint32) Mem {
	m := GLOBL(name, 8|16)
	for i, w := range v {
		DATA(4*i, U32(w))
	}
	return m
}

// consts are four lanes each.
var consts struct {
	swap, poly, four Mem
	firstFour        Mem // counters 2, 3, 4, 5
	one              Mem // counter 1 in the first lane
	nonceSwap        Mem // as swap, with a counter of zero
}

// constants declares the read-only data once.
func constants() {
	if consts.swap.Symbol.Name != "" {
		return
	}
	consts.swap = lanes("gcmSwap", [16]byte{15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0})
	consts.nonceSwap = lanes("gcmNonceSwap", [16]byte{0x80, 0x80, 0x80, 0x80, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0})
	consts.poly = lanes("gcmPoly", [16]byte{0: 1, 15: 0xc2})
	consts.one = dwordsOf("gcmOne", [16]uint32{1})
	consts.four = lanes("gcmFour", [16]byte{4})
	consts.firstFour = dwordsOf("gcmFirstFour", [16]uint32{0: 2, 4: 3, 8: 4, 12: 5})
}

// term is a vector of blocks and the powers that they are multiplied by.
type term struct{ x, h reg.VecPhysical }

// sum is an unreduced sum of products.
type sum struct{ lo, mi, hi reg.VecPhysical }

// multiply sets s to the sum of the terms' products. t is scratch.
func multiply(s sum, t [4]reg.VecPhysical, terms ...term) {
	for i, m := range terms {
		if i == 0 {
			VPCLMULQDQ(Imm(0x00), m.h, m.x, s.lo)
			VPCLMULQDQ(Imm(0x11), m.h, m.x, s.hi)
			VPCLMULQDQ(Imm(0x01), m.h, m.x, s.mi)
			VPCLMULQDQ(Imm(0x10), m.h, m.x, t[3])
			VPXORQ(t[3], s.mi, s.mi)
			continue
		}
		VPCLMULQDQ(Imm(0x00), m.h, m.x, t[0])
		VPCLMULQDQ(Imm(0x11), m.h, m.x, t[1])
		VPCLMULQDQ(Imm(0x01), m.h, m.x, t[2])
		VPCLMULQDQ(Imm(0x10), m.h, m.x, t[3])
		VPXORQ(t[0], s.lo, s.lo)
		VPXORQ(t[1], s.hi, s.hi)
		VPTERNLOGQ(Imm(0x96), t[2], t[3], s.mi)
	}
}

// reduce leaves the sum modulo the polynomial, of each lane, in s.hi.
func reduce(s sum, t reg.VecPhysical) {
	VPCLMULQDQ(Imm(0x01), s.lo, poly, t)
	VPSHUFD(Imm(0x4e), s.lo, s.lo)
	VPTERNLOGQ(Imm(0x96), t, s.lo, s.mi)
	VPCLMULQDQ(Imm(0x01), s.mi, poly, t)
	VPSHUFD(Imm(0x4e), s.mi, s.mi)
	VPTERNLOGQ(Imm(0x96), t, s.mi, s.hi)
}

// fold leaves the sum of v's four lanes in its lowest. t is scratch.
func fold(v, t reg.VecPhysical) {
	VEXTRACTI64X4(Imm(1), v, t.AsY())
	VPXORQ(t.AsY(), v.AsY(), v.AsY())
	VEXTRACTI32X4(Imm(1), v.AsY(), t.AsX())
	VPXORQ(t.AsX(), v.AsX(), v.AsX())
}
