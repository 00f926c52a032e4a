package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// powers is the key less a block for each block of text that is left, so that H's
// powers for these are at fixed distances from it.
var powers = reg.R13

func (g gen) findPowers() {
	LEAQ(Mem{Base: left, Disp: 15}, reg.RAX)
	ANDQ(I8(-16), reg.RAX)
	MOVQ(key, powers)
	SUBQ(reg.RAX, powers)
}

// loadLengths makes GHASH's last block.
func (g gen) loadLengths(v reg.VecPhysical) {
	MOVQ(Mem{Base: op, Disp: opSrcLen}, reg.RAX)
	MOVQ(Mem{Base: op, Disp: opAADLen}, reg.RBX)
	if g.open {
		SUBQ(Imm(16), reg.RAX)
	}
	SHLQ(Imm(3), reg.RAX)
	SHLQ(Imm(3), reg.RBX)
	VMOVQ(reg.RAX, v)
	VPINSRQ(Imm(1), reg.RBX, v, v)
}

// short begins the sum of an operation of up to sumMax bytes, with the first and the
// last block that GHASH sees. Two of them are one vector.
func (g gen) short() {
	g.findPowers()
	g.loadLengths(xmm(g.block))
	if g.lanes == 2 {
		VINSERTI128(Imm(1), xmm(g.state), g.block, g.block)
		VMOVDQU(Mem{Base: key, Disp: keyH1}, xmm(g.power))
		VINSERTI128(Imm(1), Mem{Base: powers, Disp: keyH1 - 16}, g.power, g.power)
		emit(g.acc.multiply(true, g.block, factor{register: g.power}, g.spare))
	} else {
		VMOVDQU(Mem{Base: key, Disp: keyH1}, g.power)
		emit(g.acc.multiply(true, g.block, factor{register: g.power}, g.spare))
		VMOVDQU(Mem{Base: powers, Disp: keyH1 - 16}, g.power)
		emit(g.acc.multiply(false, g.state, factor{register: g.power}, g.spare))
	}
	JMP(LabelRef("tails"))
}

// tails works what is left of the text, at most a piece, and the tag, with a routine
// for each number of vectors. The sum has GHASH's other input in it.
func (g gen) tails() {
	Label("tails")
	TESTQ(left, left)
	JEQ(LabelRef("tail0"))
	CMPQ(left, Imm(16))
	JCS(LabelRef("bytes"))
	vectors := g.sumMax() / g.bytes()
	g.choose(1, vectors)
	for n := range vectors + 1 {
		g.tail(n)
	}
	g.tailOfBytes()
	if g.lanes == 2 {
		g.wide(vectors + 1)
	}
}

// choose branches to the tail of as many vectors, from to to, as left needs.
func (g gen) choose(from, to int) {
	if from == to {
		JMP(LabelRef(fmt.Sprint("tail", from)))
		return
	}
	middle := (from + to) / 2
	above := fmt.Sprintf("over%d", middle)
	CMPQ(left, I32(int32(g.bytes()*middle)))
	JHI(LabelRef(above))
	g.choose(from, middle)
	Label(above)
	g.choose(middle+1, to)
}

// wide works tails of from to eight vectors, for which there are not enough powers: the
// first four are hashed and reduced on their own, with state before them.
func (g gen) wide(from int) {
	Label("wide")
	g.findPowers()
	emit(g.multiplyByOne(true, g.state, g.lanes*4))
	g.choose(from, 8)
	for n := from; n <= 8; n++ {
		g.tail(n)
	}
}

// tail works the last n vectors, of which the last may have fewer bytes. It has 16
// at least.
func (g gen) tail(n int) {
	label := fmt.Sprint("tail", n)
	Label(label)
	v := g.text[:n]
	g.counterBlocks(v)
	g.maskBlock()
	g.encrypt(label, append([]reg.VecPhysical{xmm(g.mask)}, v...), nil)
	hashed := g.crypt(v)
	if g.lanes*n*16 > g.sumMax() {
		g.reduceFirst(hashed[:4])
		load(Mem{Base: powers, Disp: keyH1 + 3*g.bytes()}, g.power)
		emit(g.acc.multiply(true, hashed[3], factor{register: g.power}, g.spare))
		g.loadLengths(xmm(g.block))
		VMOVDQU(Mem{Base: key, Disp: keyH1}, xmm(g.power))
		emit(g.acc.multiply(false, g.block, factor{register: g.power}, g.spare))
		g.hashRest(hashed, 4)
	} else {
		g.hashRest(hashed, 0)
	}
	g.finish()
}

// reduceFirst adds four vectors to the sum, which has state, and leaves it in the
// last of them, reduced.
func (g gen) reduceFirst(v []reg.VecPhysical) {
	for i, x := range v[:3] {
		emit(g.multiplyByOne(false, x, g.lanes*(3-i)))
	}
	emit(g.acc.reduce(g.spare))
	VPXOR(g.acc.hi, v[3], v[3])
}

// hashRest adds the vectors from one on to the sum.
func (g gen) hashRest(v []reg.VecPhysical, from int) {
	for i := from; i < len(v); i++ {
		load(Mem{Base: powers, Disp: keyH1 + g.bytes()*i}, g.power)
		emit(g.acc.multiply(false, v[i], factor{register: g.power}, g.spare))
	}
}

// finish makes the tag from the sum and mask.
func (g gen) finish() {
	emit(g.acc.reduce(g.spare))
	g.fold(g.acc.hi, g.spare)
	tag := xmm(g.acc.hi)
	VPSHUFB(consts.swap, tag, tag)
	VPXOR(xmm(g.mask), tag, tag)
	JMP(LabelRef("done"))
}

// maskBlock makes mask the counter block 1, added to the first round key.
func (g gen) maskBlock() {
	x := xmm(g.mask)
	VMOVDQU(Mem{Base: op, Disp: opNonce}, x)
	VPBLENDD(Imm(8), consts.one, x, x)
	VPXOR(xmm(g.roundKey), x, x)
}

// crypt applies the key stream in v and returns the registers with the blocks for
// GHASH. What belongs to the last vector is loaded first and stored last, so that
// the text may be in place: its blocks are worked from where they end, the last one's
// beginning thus a second time, with the key stream shifted to match.
func (g gen) crypt(v []reg.VecPhysical) []reg.VecPhysical {
	if len(v) == 0 {
		return nil
	}
	hashed := append([]reg.VecPhysical{}, v...)
	last := v[len(v)-1]
	in := g.roundKey
	table, r0, r1 := reg.RAX, reg.RBX, reg.RCX // r0, r1: how many bytes of each block count
	at := g.bytes()*(len(v)-1) - 16            // r0 behind it is where the first block begins
	LEAQ(consts.edge, table)
	LEAQ(Mem{Base: left, Disp: -at - 16}, r0)
	if g.lanes == 2 {
		MOVQ(r0, r1)
		MOVL(U32(16), reg.EBX)
		CMPQ(r1, r0)
		CMOVQCS(r1, r0)
		SUBQ(r0, r1)
	}
	// mask loads one of the edge masks for each lane.
	mask := func(which int, to reg.VecPhysical) {
		VMOVDQU(Mem{Base: table, Index: r0, Scale: 1, Disp: which}, xmm(to))
		if g.lanes == 2 {
			VINSERTI128(Imm(1), Mem{Base: table, Index: r1, Scale: 1, Disp: which}, to, to)
		}
	}
	before := g.spare // the block before each block of the last vector
	switch {
	case g.lanes == 1 && len(v) == 1:
	case g.lanes == 1:
		VPSHUFB(Mem{Base: table, Index: r0, Scale: 1, Disp: edgeLower}, v[len(v)-2], before)
		VPSHUFB(Mem{Base: table, Index: r0, Scale: 1, Disp: edgeRaise}, last, last)
		VPXOR(before, last, last)
	default:
		if len(v) == 1 {
			VPERM2I128(Imm(0x08), last, last, before)
		} else {
			VPERM2I128(Imm(0x21), last, v[len(v)-2], before)
		}
		mask(edgeLower, g.power)
		VPSHUFB(g.power, before, before)
		mask(edgeRaise, g.power)
		VPSHUFB(g.power, last, last)
		VPXOR(before, last, last)
	}
	VMOVDQU(Mem{Base: src, Index: r0, Scale: 1, Disp: at}, xmm(in))
	if g.lanes == 2 {
		VINSERTI128(Imm(1), Mem{Base: src, Index: left, Scale: 1, Disp: -16}, in, in)
	}
	VPXOR(in, last, last)
	mask(edgeToHash, g.power)
	if g.open {
		VPSHUFB(g.power, in, in)
		hashed[len(v)-1] = in
	}

	for i, x := range v[:len(v)-1] {
		VMOVDQU(Mem{Base: src, Disp: g.bytes() * i}, g.block)
		VPXOR(g.block, x, x)
		VMOVDQU(x, Mem{Base: dst, Disp: g.bytes() * i})
		if g.open {
			VPSHUFB(consts.swap, g.block, x)
		} else {
			VPSHUFB(consts.swap, x, x)
		}
	}
	// Where the second block has no byte, what is stored for it is overwritten.
	if g.lanes == 2 {
		VEXTRACTI128(Imm(1), last, Mem{Base: dst, Index: left, Scale: 1, Disp: -16})
	}
	VMOVDQU(xmm(last), Mem{Base: dst, Index: r0, Scale: 1, Disp: at})
	if !g.open {
		VPSHUFB(g.power, last, last)
	}
	return hashed
}

// tailOfBytes works a tail of less than a block.
func (g gen) tailOfBytes() {
	Label("bytes")
	x, in := xmm(g.text[0]), xmm(g.block)
	n, table := reg.RCX, reg.RBX
	g.counterBlocks(g.text[:1])
	g.maskBlock()
	g.encrypt("bytes", []reg.VecPhysical{xmm(g.mask), x}, nil)
	MOVQ(left, n)
	loadBytes("text", src, n, in)
	VPXOR(in, x, x)
	storeBytes(x)
	if g.open {
		VPSHUFB(consts.swap, in, x)
	} else {
		LEAQ(consts.edge, table)
		VPSHUFB(Mem{Base: table, Index: left, Scale: 1, Disp: edgeRaise}, x, x)
		VPSHUFB(Mem{Base: table, Index: left, Scale: 1, Disp: edgeToHash}, x, x)
	}
	VMOVDQU(power(2), xmm(g.power))
	emit(g.acc.multiply(false, g.text[0], factor{register: g.power}, g.spare))
	g.finish()
}

// storeBytes moves the first left bytes, less than 16, of v to dst.
func storeBytes(v reg.VecPhysical) {
	word, at := reg.RAX, reg.RBX
	MOVQ(dst, at)
	VMOVQ(v, word)
	TESTL(U32(8), left.As32())
	JEQ(LabelRef("store4"))
	MOVQ(word, Mem{Base: at})
	VPEXTRQ(Imm(1), v, word)
	ADDQ(Imm(8), at)
	Label("store4")
	TESTL(U32(4), left.As32())
	JEQ(LabelRef("store2"))
	MOVL(word.As32(), Mem{Base: at})
	SHRQ(Imm(32), word)
	ADDQ(Imm(4), at)
	Label("store2")
	TESTL(U32(2), left.As32())
	JEQ(LabelRef("store1"))
	MOVW(word.As16(), Mem{Base: at})
	SHRQ(Imm(16), word)
	ADDQ(Imm(2), at)
	Label("store1")
	TESTL(U32(1), left.As32())
	JEQ(LabelRef("stored"))
	MOVB(word.As8(), Mem{Base: at})
	Label("stored")
}
