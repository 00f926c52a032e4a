package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Where the text is at: what runs are left, and how much of the first of them is done.
var run, runs, done = reg.R10, reg.R11, reg.R12

// quadBytes is what a quad, four blocks of one operation one after the other, takes.
// Keys and nonces are gathered for all four, which spares three quarters of that.
const quadBytes = 256

// Places in the scratch memory of chachaRuns, behind what two sets need.
const (
	quadsAt     = 2*startSize + 64
	runsScratch = quadsAt + 8*laneSize + 64
)

// chachaRuns writes the routine for text of more than a few blocks.
func chachaRuns() {
	TEXT("chachaRuns", NOSPLIT, "func(runs *byte, count int, scratch *byte)")
	Pragma("noescape")
	Doc("chachaRuns works the text of operations, 32 blocks of ChaCha20 (RFC 8439, section 2.3) at a time:",
		"dst[:n] = src[:n] ^ key stream for each of count of chachaLane, whose n is not 0.",
		fmt.Sprintf("scratch is %d bytes; it is left with the keys.", runsScratch))
	scratch, quads := reg.R9, reg.R8
	Load(Param("runs"), run)
	Load(Param("count"), runs)
	Load(Param("scratch"), scratch)
	alignUp(scratch)
	LEAQ(Mem{Base: scratch, Disp: quadsAt}, quads)
	XORQ(done, done)
	next, few, end := label("runs"), label("few"), label("runsdone")
	Label(next)
	fillQuads(quads, scratch)
	CMPQ(reg.RBX, I8(4))
	JLE(LabelRef(few))
	runQuads(sets(2), quads, scratch)
	TESTQ(runs, runs)
	JNZ(LabelRef(next))
	JMP(LabelRef(end))
	Label(few)
	runQuads(sets(1), quads, scratch)
	Label(end)
	VZEROUPPER()
	RET()
}

// fillQuads makes the next eight quads and leaves in rbx how many there are; the
// others have no text.
func fillQuads(quads, scratch reg.GPPhysical) {
	q, filled, n, p, whole := reg.RAX, reg.RBX, reg.RCX, reg.RDX, reg.RSI
	loop, none, full := label("fill"), label("none"), label("filled")
	field := func(offset int) Mem { return Mem{Base: run, Disp: offset} }
	quad := func(offset int) Mem { return Mem{Base: q, Disp: offset} }
	MOVQ(quads, q)
	XORQ(filled, filled)
	MOVQ(U32(quadBytes), whole)
	Label(loop)
	for _, f := range []int{laneSrc, laneDst} {
		MOVQ(field(f), p)
		ADDQ(done, p)
		MOVQ(p, quad(f))
	}
	MOVQ(field(laneKey), p)
	MOVQ(p, quad(laneKey))
	VMOVDQU(field(laneRow), reg.X0)
	VMOVDQU(reg.X0, quad(laneRow))
	MOVQ(done, p)
	SHRQ(U8(6), p)
	ADDL(p.As32(), quad(laneRow))
	MOVQ(field(laneLen), n)
	SUBQ(done, n)
	MOVQ(n, p)
	CMPQ(n, whole)
	CMOVQGT(whole, p)
	MOVQ(p, quad(laneLen))
	ADDQ(whole, done)
	ADDQ(U8(laneSize), q)
	INCQ(filled)
	SUBQ(whole, n)
	more := label("more")
	JGT(LabelRef(more))
	ADDQ(U8(laneSize), run)
	XORQ(done, done)
	DECQ(runs)
	JZ(LabelRef(none))
	Label(more)
	CMPQ(filled, I8(8))
	JLT(LabelRef(loop))
	JMP(LabelRef(full))

	Label(none)
	MOVQ(filled, n)
	idle, idled := label("idle"), label("idled")
	Label(idle)
	CMPQ(n, I8(8))
	JGE(LabelRef(idled))
	for _, f := range []int{laneKey, laneSrc, laneDst} {
		MOVQ(scratch, quad(f))
	}
	MOVQ(runs, quad(laneLen))
	ADDQ(U8(laneSize), q)
	INCQ(n)
	JMP(LabelRef(idle))
	Label(idled)
	Label(full)
}

// runQuads works the quads that fill the sets.
func runQuads(ss []*set, quads, scratch reg.GPPhysical) {
	for i, s := range ss {
		s.gatherQuads(quads, 4*i)
		s.keep(scratch)
	}
	for i := range 4 * len(ss) {
		prefetchQuad(quads, i)
	}
	rounds(ss)
	finish(ss, scratch, func(i int, blocks [16]reg.VecPhysical, free reg.VecPhysical) {
		for k := range 4 {
			emitQuad([4]reg.VecPhysical(blocks[4*k:4*k+4]), free, quads, 4*i+k)
		}
	})
}

// gatherQuads loads keys, counters and nonces of four quads.
func (s *set) gatherQuads(quads reg.GPPhysical, first int) {
	keys := []reg.GPPhysical{reg.RAX, reg.RBX, reg.RCX, reg.RDX}
	quad := func(k int) int { return (first + k) * laneSize }
	for k, r := range keys {
		MOVQ(Mem{Base: quads, Disp: quad(k) + laneKey}, r)
	}
	gather(s.word[7], func(k int) Mem { return Mem{Base: keys[k]} })
	gather(s.word[11], func(k int) Mem { return Mem{Base: keys[k], Disp: 16} })
	gather(s.word[15], func(k int) Mem { return Mem{Base: quads, Disp: quad(k) + laneRow} })
	for w := 4; w < 16; w++ {
		VPSHUFD(U8(0x55*(w%4)), s.word[w|3], s.word[w])
	}
	VPADDD(counters, s.word[12], s.word[12])
}

// prefetchQuad asks for the text, which is needed when the rounds are over.
func prefetchQuad(quads reg.GPPhysical, i int) {
	MOVQ(Mem{Base: quads, Disp: i*laneSize + laneSrc}, reg.RAX)
	MOVQ(Mem{Base: quads, Disp: i*laneSize + laneDst}, reg.RBX)
	for j := range 4 {
		PREFETCHT0(Mem{Base: reg.RAX, Disp: 64 * j})
		PREFETCHT0(Mem{Base: reg.RBX, Disp: 64 * j})
	}
}

// emitQuad writes four blocks, with masks only where the text ends in them.
func emitQuad(blocks [4]reg.VecPhysical, free reg.VecPhysical, quads reg.GPPhysical, i int) {
	ones, tmp, n, src, dst, none, whole := reg.RBX, reg.RCX, reg.RDX, reg.RSI, reg.RDI, reg.RAX, reg.R13
	MOVQ(Mem{Base: quads, Disp: i*laneSize + laneLen}, n)
	MOVQ(Mem{Base: quads, Disp: i*laneSize + laneSrc}, src)
	MOVQ(Mem{Base: quads, Disp: i*laneSize + laneDst}, dst)
	part, done := label("part"), label("quaddone")
	CMPQ(n, U32(256))
	JNE(LabelRef(part))
	for j, block := range blocks {
		VPXORQ(Mem{Base: src, Disp: 64 * j}, block, block)
		VMOVDQU64(block, Mem{Base: dst, Disp: 64 * j})
	}
	JMP(LabelRef(done))
	Label(part)
	XORQ(none, none)
	MOVQ(U32(64), whole)
	MOVQ(I32(-1), ones)
	for j, block := range blocks {
		MOVQ(n, tmp)
		CMPQ(tmp, whole)
		CMOVQGT(whole, tmp)
		CMPQ(tmp, none)
		CMOVQLT(none, tmp)
		tailMask(tmp, ones, tmp, reg.K1)
		VMOVDQU8_Z(Mem{Base: src, Disp: 64 * j}, reg.K1, free)
		VPXORQ(free, block, block)
		VMOVDQU8(block, reg.K1, Mem{Base: dst, Disp: 64 * j})
		SUBQ(whole, n)
	}
	Label(done)
}
