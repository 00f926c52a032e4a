package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

var roundConstants = [...]uint8{1, 2, 4, 8, 16, 32, 64, 128, 0x1b, 0x36}

// expand writes the routines that make an expanded key from a raw one.
func (g gen) expand(engine string) {
	raw, block := reg.RAX, key
	a, b := xmm(g.text[0]), xmm(g.text[1])

	TEXT("expandAES128"+engine, NOSPLIT, "func(raw *byte, block *byte)")
	Doc("expandAES128" + engine + " makes the round keys and powers of H of block from the 16 bytes at raw.")
	Pragma("noescape")
	Load(Param("raw"), raw)
	Load(Param("block"), block)
	ADDQ(Imm(denser), block)
	VMOVDQU(Mem{Base: raw}, a)
	VMOVDQU(a, Mem{Base: block, Disp: keyRounds})
	for i, c := range roundConstants {
		g.nextRoundKey(a, a, c, 0xff)
		VMOVDQU(a, Mem{Base: block, Disp: keyRounds + 16*(i+1)})
	}
	g.powers(10)
	wipe()
	RET()

	TEXT("expandAES256"+engine, NOSPLIT, "func(raw *byte, block *byte)")
	Doc("expandAES256" + engine + " makes the round keys and powers of H of block from the 32 bytes at raw.")
	Pragma("noescape")
	Load(Param("raw"), raw)
	Load(Param("block"), block)
	VMOVDQU(Mem{Base: raw}, a)
	VMOVDQU(Mem{Base: raw, Disp: 16}, b)
	VMOVDQU(a, Mem{Base: block, Disp: keyRounds})
	VMOVDQU(b, Mem{Base: block, Disp: keyRounds + 16})
	for i := 2; i < 15; i++ {
		if i%2 == 0 {
			g.nextRoundKey(a, b, roundConstants[i/2-1], 0xff)
			VMOVDQU(a, Mem{Base: block, Disp: keyRounds + 16*i})
			continue
		}
		g.nextRoundKey(b, a, 0, 0xaa)
		VMOVDQU(b, Mem{Base: block, Disp: keyRounds + 16*i})
	}
	g.powers(14)
	wipe()
	RET()
}

// nextRoundKey steps k by the schedule, with the word that the instruction
// makes from last, picked by the shuffle (FIPS 197, section 5.2).
func (g gen) nextRoundKey(k, last reg.VecPhysical, constant, shuffle uint8) {
	t, u := xmm(g.text[2]), xmm(g.text[3])
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
func (g gen) powers(rounds int) {
	h, t, u, p := xmm(g.text[0]), xmm(g.text[1]), xmm(g.text[2]), xmm(g.text[3])
	factorH, acc := xmm(g.power), g.acc.xmm()

	VMOVDQU(Mem{Base: key, Disp: keyRounds}, h)
	for r := 1; r < rounds; r++ {
		VAESENC(Mem{Base: key, Disp: keyRounds + 16*r}, h, h)
	}
	VAESENCLAST(Mem{Base: key, Disp: keyRounds + 16*rounds}, h, h)
	VPSHUFB(consts.swap, h, h)

	VPSHUFD(Imm(0xff), h, t)
	VPSRAD(Imm(31), t, t)
	VPAND(consts.poly, t, t)
	VPSRLQ(Imm(63), h, u)
	VPSLLDQ(Imm(8), u, u)
	VPADDQ(h, h, h)
	VPXOR(u, h, h)
	VPXOR(t, h, h)
	VMOVDQA(h, p)
	at, atHalf, n := reg.RBX, reg.RAX, reg.RCX
	highest := 16
	if g.lanes == 1 {
		highest = 10
		LEAQ(half(1), atHalf)
	}
	LEAQ(power(1), at)
	MOVQ(U32(uint32(highest)), n)
	next := fmt.Sprint("powers", rounds)
	Label(next)
	VMOVDQU(p, Mem{Base: at})
	SUBQ(Imm(16), at)
	if g.lanes == 1 {
		VPSHUFD(Imm(0x4e), p, t)
		VPXOR(p, t, t)
		VMOVQ(t, Mem{Base: atHalf})
		SUBQ(Imm(8), atHalf)
	}
	VMOVDQA(h, factorH)
	emit(acc.multiply(true, p, factor{register: factorH}, t))
	emit(acc.reduce(t))
	VMOVDQA(acc.hi, p)
	DECQ(n)
	JNZ(LabelRef(next))
}

// wipe erases what the registers still hold of the key.
func wipe() {
	VZEROALL()
}
