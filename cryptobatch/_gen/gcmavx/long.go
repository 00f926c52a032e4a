package main

import (
	"fmt"

	"linecrypt/cryptobatch/_gen/ahead"
	. "linecrypt/cryptobatch/_gen/layout"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// piece is the size of eight vectors.
func (g gen) piece() int { return 8 * g.bytes() }

// sumMax is the longest text that tails hash with one reduction. With two lanes a key has
// powers for no more, with state before the text and the lengths behind it; with one
// lane it is a piece.
func (g gen) sumMax() int { return [...]int{1: 128, 2: 192}[g.lanes] }

// long works an operation of more than sumMax bytes: pieces, until no more than one is
// left for tails.
func (g gen) long() {
	if g.lanes == 2 {
		VPERM2I128(Imm(0x08), g.state, g.state, g.state)
		CMPQ(left, I32(int32(g.piece())))
		JLS(LabelRef("wide"))
	}
	if g.open {
		g.openPieces()
	} else {
		g.sealPieces()
	}
}

// sealPieces hashes each piece while the next one is encrypted, so that the
// multiplier, which is the scarcer, never waits for the cipher.
func (g gen) sealPieces() {
	g.counterBlocks(g.text[:])
	g.encrypt("first", g.text[:], nil)
	g.cryptPiece()
	CMPQ(left, I32(int32(g.piece())))
	JLS(LabelRef("lastPiece"))
	g.pieces(g.hashPiece(dst, -g.piece()))
	Label("lastPiece")
	if g.lanes == 2 {
		CMPQ(left, I32(int32(g.sumMax())))
		JLS(LabelRef("lastBesideTail"))
		emit(g.hashPiece(dst, -g.piece()))
		JMP(LabelRef("wide"))
		Label("lastBesideTail")
	}
	// The key stream for what is left is made for the longest tail: a routine for each
	// length, with the hash in it, would double the tails.
	v, mask := g.text[:g.sumMax()/g.bytes()], g.text[7]
	if g.lanes == 1 {
		mask = g.power
	}
	g.counterBlocks(v)
	g.maskBlock(mask)
	g.encrypt("beside", append([]reg.VecPhysical{xmm(mask)}, v...), g.hashPiece(dst, -g.piece()))
	g.beginSum(g.roundKey)
	VMOVDQA(xmm(mask), xmm(g.mask))
	g.chooseTail("crypt")
}

// openPieces hashes each piece while it is decrypted.
func (g gen) openPieces() {
	g.pieces(g.hashPiece(src, 0))
	if g.lanes == 2 {
		CMPQ(left, I32(int32(g.sumMax())))
		JHI(LabelRef("wide"))
	}
	g.beginSum(g.power)
	JMP(LabelRef("tails"))
}

// pieces works pieces until at most one is left, each with the steps beside the cipher:
// one loop for each key length, so that they are spread over all its rounds.
func (g gen) pieces(steps []func()) {
	CMPB(g.aes256, Imm(0))
	JNE(LabelRef("piece14"))
	for _, rounds := range []int{10, 14} {
		label := fmt.Sprint("piece", rounds)
		Label(label)
		g.counterBlocks(g.text[:])
		g.rounds(1, rounds-1, g.text[:], steps)
		g.finalRound(g.text[:])
		g.cryptPiece()
		CMPQ(left, I32(int32(g.piece())))
		JHI(LabelRef(label))
		if rounds == 10 {
			JMP(LabelRef("noPieces"))
		}
	}
	Label("noPieces")
}

// beginSum begins the sum of the tail of a long operation, with state and the
// lengths. It spoils power.
func (g gen) beginSum(power reg.VecPhysical) {
	g.findPowers()
	VMOVDQU(Mem{Base: powers, Disp: keyH1 - g.bytes()}, power)
	emit(g.acc.multiply(true, g.state, factor{register: power}, g.spare))
	emit(g.addLengths(power))
}

// cryptPiece applies the key stream in text.
func (g gen) cryptPiece() {
	ahead.Beside(src, apart, g.piece())
	for i, x := range g.text {
		VPXOR(Mem{Base: src, Disp: g.bytes() * i}, x, x)
		VMOVDQU(x, Mem{Base: dst, Disp: g.bytes() * i})
	}
	n := I32(int32(g.piece()))
	ADDQ(n, src)
	ADDQ(n, dst)
	SUBQ(n, left)
}

// counterBlocks sets v to the counter blocks of the text at src, each added to the
// first round key. The first counter is 2 more than a multiple of the blocks in a
// piece. Up to the next multiple, a counter is thus the sum of that and of a constant
// without a carry, and the constant may be added to what is already in the cipher's
// byte order.
func (g gen) counterBlocks(v []reg.VecPhysical) {
	n := 8 * g.lanes
	base := [2]reg.VecPhysical{g.block, g.spare} // for counters up to the next multiple, and behind it
	g.spread(Mem{Base: key, Disp: keyRounds}, g.roundKey)
	MOVL(src.As32(), reg.EAX)
	SUBL(Mem{Base: op, Disp: OpSrc}, reg.EAX)
	SHRL(Imm(4), reg.EAX)
	made := 0
	for i, x := range v {
		which := (g.lanes*i + 2) / n
		if made == which {
			y := base[which]
			LEAL(Mem{Base: reg.RAX, Disp: n * which}, reg.EBX)
			BSWAPL(reg.EBX)
			MOVL(reg.EBX, g.counter)
			g.spread(Mem{Base: op, Disp: OpNonce}, y)
			VPBROADCASTD(g.counter, x)
			VPBLENDD(Imm(0x88), x, y, y)
			VPXOR(g.roundKey, y, y)
			made++
		}
		VPXOR(consts.counters.Offset(g.bytes()*i), base[which], x)
	}
}

// encrypt turns what counterBlocks made into key stream, with the steps spread
// evenly over the rounds that AES-128 has too.
func (g gen) encrypt(label string, v []reg.VecPhysical, steps []func()) {
	g.rounds(1, 9, v, steps)
	CMPB(g.aes256, Imm(0))
	JEQ(LabelRef(label + "LastRound"))
	g.rounds(10, 13, v, nil)
	Label(label + "LastRound")
	g.finalRound(v)
}

// rounds works some rounds of the cipher, with the steps spread evenly over them.
func (g gen) rounds(first, last int, v []reg.VecPhysical, steps []func()) {
	done, n := 0, 0
	for r := first; r <= last; r++ {
		g.spread(Mem{Base: key, Disp: keyRounds + 16*r}, g.roundKey)
		for _, x := range v {
			VAESENC(g.keyFor(x), x, x)
			n++
			upTo := n * len(steps) / (len(v) * (last - first + 1))
			emit(steps[done:upTo])
			done = upTo
		}
	}
}

func (g gen) finalRound(v []reg.VecPhysical) {
	g.spread(Mem{Base: lastRound}, g.roundKey)
	for _, x := range v {
		VAESENCLAST(g.keyFor(x), x, x)
	}
}

// keyFor is the round key in the width of x.
func (g gen) keyFor(x reg.VecPhysical) reg.VecPhysical {
	if x.Size() == 16 {
		return xmm(g.roundKey)
	}
	return g.roundKey
}

// hashPiece returns the instructions that take eight vectors of blocks at a pointer into
// state. State and all vectors but the last are multiplied by the powers that bring
// them in line with the last, which is added after the reduction; state comes last,
// because each piece waits for the one before it there.
func (g gen) hashPiece(base reg.GPPhysical, disp int) []func() {
	var steps []func()
	do := func(f func()) { steps = append(steps, f) }
	take := func(i int) {
		do(func() { VMOVDQU(Mem{Base: base, Disp: disp + g.bytes()*i}, g.block) })
		do(func() { VPSHUFB(consts.swap, g.block, g.block) })
	}
	for i := range 7 {
		take(i)
		steps = append(steps, g.multiplyByOne(i == 0, g.block, g.lanes*(7-i))...)
	}
	steps = append(steps, g.multiplyByOne(false, g.state, g.lanes*8)...)
	take(7)
	steps = append(steps, g.acc.reduce(g.spare)...)
	do(func() { VPXOR(g.block, g.acc.hi, g.state) })
	return steps
}

// multiplyByOne returns the instructions that add the product of each lane of x and
// H^n to the sum.
func (g gen) multiplyByOne(first bool, x reg.VecPhysical, n int) []func() {
	if g.lanes == 1 {
		return g.acc.multiply(first, x, factor{power: power(n), half: half(n)}, g.spare)
	}
	take := func() { g.spread(power(n), g.power) }
	return append([]func(){take}, g.acc.multiply(first, x, factor{register: g.power}, g.spare)...)
}
