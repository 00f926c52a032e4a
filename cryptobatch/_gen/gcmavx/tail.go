package main

import (
	"fmt"

	. "linecrypt/cryptobatch/_gen/layout"

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
	VMOVQ(Mem{Base: op, Disp: OpSrcLen}, v)
	if g.open {
		VPADDQ(consts.lessTag, v, v)
	}
	VPINSRQ(Imm(1), Mem{Base: op, Disp: OpAADLen}, v, v)
	VPSLLQ(Imm(3), v, v)
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

// addLengths returns the instructions that add GHASH's last block to the sum. They
// spoil power.
func (g gen) addLengths(power reg.VecPhysical) []func() {
	return append([]func(){
		func() { g.loadLengths(xmm(g.block)) },
		func() { VMOVDQU(Mem{Base: key, Disp: keyH1}, xmm(power)) },
	}, g.acc.multiply(false, g.block, factor{register: power}, g.spare)...)
}

// tails works what is left of the text, at most a piece, and the tag, with a routine
// for each number of vectors. The sum has GHASH's other input in it.
func (g gen) tails() {
	Label("tails")
	TESTQ(left, left)
	JEQ(LabelRef("tail0"))
	g.chooseTail("tail")
	vectors := g.sumMax() / g.bytes()
	for n := range vectors + 1 {
		g.tail(n)
	}
	g.tailOfBytes()
	if g.lanes == 2 {
		g.wide(vectors + 1)
	}
}

// chooseTail branches to what works the 1 to sumMax bytes that are left, from the label
// on that begins so.
func (g gen) chooseTail(label string) {
	CMPQ(left, Imm(16))
	JCS(LabelRef(label + "OfBytes"))
	g.choose(label, 1, g.sumMax()/g.bytes())
}

// choose branches to one of the labels for as many vectors as left needs, from to to.
func (g gen) choose(label string, from, to int) {
	if from == to {
		JMP(LabelRef(fmt.Sprint(label, from)))
		return
	}
	middle := (from + to) / 2
	above := fmt.Sprintf("%sOver%d", label, middle)
	CMPQ(left, I32(int32(g.bytes()*middle)))
	JHI(LabelRef(above))
	g.choose(label, from, middle)
	Label(above)
	g.choose(label, middle+1, to)
}

// wide works tails of from to eight vectors, for which there are not enough powers: the
// first four are hashed and reduced on their own, with state before them.
func (g gen) wide(from int) {
	Label("wide")
	g.findPowers()
	emit(g.multiplyByOne(true, g.state, g.lanes*4))
	g.choose("tail", from, 8)
	for n := from; n <= 8; n++ {
		g.tail(n)
	}
}

// tail works the last n vectors, of which the last may have fewer bytes. It has 16
// at least. Ciphertext that is to be opened is hashed beside the cipher.
func (g gen) tail(n int) {
	label := fmt.Sprint("tail", n)
	Label(label)
	v := g.text[:n]
	g.counterBlocks(v)
	g.maskBlock(g.mask)
	blocks := append([]reg.VecPhysical{xmm(g.mask)}, v...)
	if g.open {
		g.findEdge(n)
		g.encrypt(label, blocks, g.hashTail(n, g.takeSource))
		g.crypt(v)
	} else {
		g.encrypt(label, blocks, nil)
		if n > 0 && n*g.bytes() <= g.sumMax() {
			Label(fmt.Sprint("crypt", n))
		}
		g.findEdge(n)
		g.crypt(v)
		emit(g.hashTail(n, func(i, _ int) ([]func(), reg.VecPhysical) { return nil, v[i] }))
	}
	g.finish()
}

// hashTail returns the instructions that add n vectors to the sum. For each of them
// take returns the register that has its blocks and the instructions that load it.
func (g gen) hashTail(n int, take func(i, n int) ([]func(), reg.VecPhysical)) []func() {
	var steps []func()
	do := func(more ...func()) { steps = append(steps, more...) }
	next := func(i int) reg.VecPhysical {
		how, x := take(i, n)
		do(how...)
		return x
	}
	byPowers := func(first bool, i int, x reg.VecPhysical) {
		do(func() { VMOVDQU(Mem{Base: powers, Disp: keyH1 + g.bytes()*i}, g.power) })
		do(g.acc.multiply(first, x, factor{register: g.power}, g.spare)...)
	}
	from := 0
	if n*g.bytes() > g.sumMax() {
		for i := range 3 {
			do(g.multiplyByOne(false, next(i), g.lanes*(3-i))...)
		}
		do(g.acc.reduce(g.spare)...)
		x := next(3)
		do(func() { VPXOR(g.acc.hi, x, x) })
		byPowers(true, 3, x)
		do(g.addLengths(g.power)...)
		from = 4
	}
	for i := from; i < n; i++ {
		byPowers(false, i, next(i))
	}
	return steps
}

// takeSource loads vector i of n from the text.
func (g gen) takeSource(i, n int) ([]func(), reg.VecPhysical) {
	if i < n-1 {
		return []func(){
			func() { VMOVDQU(Mem{Base: src, Disp: g.bytes() * i}, g.block) },
			func() { VPSHUFB(consts.swap, g.block, g.block) },
		}, g.block
	}
	return []func(){
		func() { g.loadLast(n, g.block) },
		func() { g.shuffle(edgeToHash, g.block, g.power) },
	}, g.block
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

// maskBlock makes v the counter block 1, added to the first round key.
func (g gen) maskBlock(v reg.VecPhysical) {
	x := xmm(v)
	VMOVDQU(Mem{Base: op, Disp: OpNonce}, x)
	VPBLENDD(Imm(8), consts.one, x, x)
	VPXOR(xmm(g.roundKey), x, x)
}

// The last vector's blocks are worked from where they end, their beginnings thus a second
// time if they have fewer than 16 bytes. edge0 and edge1 count the bytes of each block,
// edges points to the masks.
var edges, edge0, edge1 = reg.RAX, reg.RBX, reg.RCX

// findEdge sets edge0, edge1 and edges for a tail of n vectors.
func (g gen) findEdge(n int) {
	if n == 0 {
		return
	}
	LEAQ(consts.edge, edges)
	LEAQ(Mem{Base: left, Disp: -g.bytes() * (n - 1)}, edge0)
	if g.lanes == 2 {
		MOVQ(edge0, edge1)
		MOVL(U32(16), edge0.As32())
		CMPQ(edge1, edge0)
		CMOVQCS(edge1, edge0)
		SUBQ(edge0, edge1)
	}
}

// lastAt are the places of the last vector's blocks.
func (g gen) lastAt(n int, base reg.GPPhysical) (first, second Mem) {
	return Mem{Base: base, Index: edge0, Scale: 1, Disp: g.bytes()*(n-1) - 16},
		Mem{Base: base, Index: left, Scale: 1, Disp: -16}
}

// loadLast loads the last of n vectors.
func (g gen) loadLast(n int, to reg.VecPhysical) {
	first, second := g.lastAt(n, src)
	VMOVDQU(first, xmm(to))
	if g.lanes == 2 {
		VINSERTI128(Imm(1), second, to, to)
	}
}

// shuffle applies one of the edge masks to each block of v.
func (g gen) shuffle(mask int, v, t reg.VecPhysical) {
	first := Mem{Base: edges, Index: edge0, Scale: 1, Disp: mask}
	if g.lanes == 1 {
		VPSHUFB(first, v, v)
		return
	}
	VMOVDQU(first, xmm(t))
	VINSERTI128(Imm(1), Mem{Base: edges, Index: edge1, Scale: 1, Disp: mask}, t, t)
	VPSHUFB(t, v, v)
}

// crypt applies the key stream in v. When sealing, it leaves the blocks for GHASH
// there. What belongs to the last vector is loaded first and stored last, so that the
// text may be in place.
func (g gen) crypt(v []reg.VecPhysical) {
	n := len(v)
	if n == 0 {
		return
	}
	last := v[n-1]
	g.shiftLast(v)
	g.loadLast(n, g.block)
	VPXOR(g.block, last, last)
	for i, x := range v[:n-1] {
		VPXOR(Mem{Base: src, Disp: g.bytes() * i}, x, x)
		VMOVDQU(x, Mem{Base: dst, Disp: g.bytes() * i})
		if !g.open {
			VPSHUFB(consts.swap, x, x)
		}
	}
	// A second block without a byte is not stored even for the moment until the first one's
	// store: its text is combined with key stream of the first.
	first, second := g.lastAt(n, dst)
	if g.lanes == 2 {
		skip := fmt.Sprint("oneBlock", n)
		TESTQ(edge1, edge1)
		JEQ(LabelRef(skip))
		VEXTRACTI128(Imm(1), last, second)
		Label(skip)
	}
	VMOVDQU(xmm(last), first)
	if !g.open {
		g.shuffle(edgeToHash, last, g.power)
	}
}

// shiftLast moves the key stream of the last vector's blocks to where they end, with the
// end of that of the block before in front.
func (g gen) shiftLast(v []reg.VecPhysical) {
	n := len(v)
	last, before := v[n-1], g.block
	switch {
	case g.lanes == 1 && n == 1:
		return
	case g.lanes == 1:
		VMOVDQA(v[n-2], before)
	case n == 1:
		VPERM2I128(Imm(0x08), last, last, before)
	default:
		VPERM2I128(Imm(0x21), last, v[n-2], before)
	}
	g.shuffle(edgeLower, before, g.power)
	g.shuffle(edgeRaise, last, g.power)
	VPXOR(before, last, last)
}

// tailOfBytes works a tail of less than a block.
func (g gen) tailOfBytes() {
	Label("tailOfBytes")
	x, in := xmm(g.text[0]), xmm(g.block)
	n, table := reg.RCX, reg.RBX
	g.counterBlocks(g.text[:1])
	g.maskBlock(g.mask)
	g.encrypt("bytes", []reg.VecPhysical{xmm(g.mask), x}, nil)
	if !g.open {
		Label("cryptOfBytes")
	}
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
