package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

var roundConstants = [...]uint8{1, 2, 4, 8, 16, 32, 64, 128, 0x1b, 0x36}

// expand writes the routines that make an expanded key from a raw one.
func expand() {
	constants()
	raw, block := reg.RAX, key

	TEXT("expandAES128Vaes512", NOSPLIT, "func(raw *byte, block *byte)")
	Doc("expandAES128Vaes512 makes the round keys and powers of H of block from the 16 bytes at raw.")
	Pragma("noescape")
	Load(Param("raw"), raw)
	Load(Param("block"), block)
	VMOVDQU(Mem{Base: raw}, reg.X0)
	VMOVDQU(reg.X0, Mem{Base: block, Disp: keyRounds})
	for i, c := range roundConstants {
		nextRoundKey(reg.X0, reg.X0, c, 0xff)
		VMOVDQU(reg.X0, Mem{Base: block, Disp: keyRounds + 16*(i+1)})
	}
	powers(10)
	wipe()
	RET()

	TEXT("expandAES256Vaes512", NOSPLIT, "func(raw *byte, block *byte)")
	Doc("expandAES256Vaes512 makes the round keys and powers of H of block from the 32 bytes at raw.")
	Pragma("noescape")
	Load(Param("raw"), raw)
	Load(Param("block"), block)
	VMOVDQU(Mem{Base: raw}, reg.X0)
	VMOVDQU(Mem{Base: raw, Disp: 16}, reg.X1)
	VMOVDQU(reg.X0, Mem{Base: block, Disp: keyRounds})
	VMOVDQU(reg.X1, Mem{Base: block, Disp: keyRounds + 16})
	for i := 2; i < 15; i++ {
		if i%2 == 0 {
			nextRoundKey(reg.X0, reg.X1, roundConstants[i/2-1], 0xff)
			VMOVDQU(reg.X0, Mem{Base: block, Disp: keyRounds + 16*i})
			continue
		}
		nextRoundKey(reg.X1, reg.X0, 0, 0xaa)
		VMOVDQU(reg.X1, Mem{Base: block, Disp: keyRounds + 16*i})
	}
	powers(14)
	wipe()
	RET()
}

// nextRoundKey steps k by the schedule, with the word that the instruction
// makes from last, picked by the shuffle (FIPS 197, section 5.2).
func nextRoundKey(k, last reg.VecPhysical, constant, shuffle uint8) {
	t, u := reg.X2, reg.X3
	VAESKEYGENASSIST(Imm(uint64(constant)), last, t)
	VPSHUFD(Imm(uint64(shuffle)), t, t)
	VPSLLDQ(Imm(4), k, u)
	VPXOR(u, k, k)
	VPSLLDQ(Imm(4), u, u)
	VPXOR(u, k, k)
	VPSLLDQ(Imm(4), u, u)
	VPXOR(u, k, k)
	VPXOR(t, k, k)
}

// powers enciphers the zero block and stores the powers of the result, each
// multiplied by x.
func powers(rounds int) {
	VMOVDQU64(consts.swap, swap)
	VMOVDQU64(consts.poly, poly)
	h, t, p := reg.Z0, reg.Z1, reg.Z4

	VMOVDQU(Mem{Base: key, Disp: keyRounds}, h.AsX())
	for r := 1; r < rounds; r++ {
		VAESENC(Mem{Base: key, Disp: keyRounds + 16*r}, h.AsX(), h.AsX())
	}
	VAESENCLAST(Mem{Base: key, Disp: keyRounds + 16*rounds}, h.AsX(), h.AsX())
	VPSHUFB(swap.AsX(), h.AsX(), h.AsX())

	VPSHUFD(Imm(0xff), h.AsX(), t.AsX())
	VPSRAD(Imm(31), t.AsX(), t.AsX())
	VPANDQ(poly.AsX(), t.AsX(), t.AsX())
	VPSRLQ(Imm(63), h.AsX(), reg.X2)
	VPSLLDQ(Imm(8), reg.X2, reg.X2)
	VPADDQ(h.AsX(), h.AsX(), h.AsX())
	VPXOR(reg.X2, h.AsX(), h.AsX())
	VPXOR(t.AsX(), h.AsX(), h.AsX())
	VMOVDQU(h.AsX(), Mem{Base: key, Disp: keyH1})

	VMOVDQA(h.AsX(), p.AsX())
	MOVQ(U32(15), reg.RCX)
	at := reg.RBX
	LEAQ(Mem{Base: key, Disp: keyH1 - 16}, at)
	next := "powers128"
	if rounds == 14 {
		next = "powers256"
	}
	Label(next)
	multiply(sum{reg.Z5, reg.Z6, reg.Z7}, [4]reg.VecPhysical{3: reg.Z8}, term{p, h})
	reduce(sum{reg.Z5, reg.Z6, reg.Z7}, reg.Z8)
	VMOVDQA(reg.X7, p.AsX())
	VMOVDQU(p.AsX(), Mem{Base: at})
	SUBQ(Imm(16), at)
	DECQ(reg.RCX)
	JNZ(LabelRef(next))
}

// wipe erases what the registers still hold of the key.
func wipe() {
	VZEROALL()
}
