package main

import (
	"fmt"

	. "linecrypt/cryptobatch/_gen/layout"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// quadBytes is what a quad, four blocks of one operation one after the other, takes. Its
// key and nonce are gathered for all four at once, which spares three quarters of that.
const quadBytes = 256

// What is left of a text behind its whole quads is one more quad, but for a single
// block, and so for texts of no more than two.
const (
	tailBytes  = 64
	shortBytes = 128
)

// pieceBytes is what sixteen blocks of one operation take, a set. They need no
// gathering: each word of key and nonce is in all of them.
const pieceBytes = 1024

// Places in the scratch memory of chachaTexts, behind what two sets need.
const (
	quadsAt      = 2*startSize + 64
	piecesAt     = quadsAt + 8*laneSize
	singleAt     = piecesAt + 2*pieceSize
	keyPlacesAt  = singleAt + 8
	textsScratch = keyPlacesAt + 8*8 + 64
)

// A piece in the scratch memory: where it is in the text, the number of its first block.
const (
	pieceAt      = 0
	pieceCounter = 8
	pieceSize    = 16
)

// pieceOps are the operations that the two pieces are of.
var pieceOps = [2]reg.GPPhysical{reg.RAX, reg.RBX}

func piece(i, field int) Mem {
	return Mem{Base: texts.scratch, Disp: piecesAt + i*pieceSize + field}
}

// single is the place of the operation whose last piece had no other to go with.
func single() Mem { return Mem{Base: texts.scratch, Disp: singleAt} }

// keyPlace is where the last block of a quad goes if it is the first of its operation,
// which the one-time key comes from; nil if it is one of text like the others.
func keyPlace(quad int) Mem {
	return Mem{Base: texts.scratch, Disp: keyPlacesAt + 8*quad}
}

// spareBlock is up to how many bytes of text leave a quad's last block for that.
const spareBlock = 192

// texts is where chachaTexts is at.
var texts = struct {
	ops, list, count        reg.GPPhysical // the operations, the rest of the list
	op, left, at            reg.GPPhysical // the one that is worked, how much of it is left, and is done
	quads, scratch, quad, n reg.GPPhysical // places of quads, of the next one, and how many there are
	firsts                  reg.GPPhysical // a bit for each block of quads that is the first of its operation
}{
	reg.R10, reg.R11, reg.R12,
	reg.R13, reg.R14, reg.R15,
	reg.R8, reg.R9, reg.RAX, reg.RBX,
	reg.RSI,
}

// chachaTexts writes the routine for texts of more than a few blocks.
func chachaTexts() {
	TEXT("chachaTexts", NOSPLIT, "func(ops *byte, list *uint32, count, behind int, long bool, keys, scratch *byte)")
	Pragma("noescape")
	Doc("chachaTexts works the texts of the count operations of the array ops that list names, 32 blocks of",
		"ChaCha20 (RFC 8439, section 2.3) at a time: dst = src ^ key stream, from block 1 on. The last behind bytes",
		"of src are no text. It leaves out texts of up to 128 bytes, and the last block of those that",
		"have one block more than a multiple of four. Count is not 0. long says that there may be texts of 1 KiB",
		"and more, which take another way. If keys is not nil the one-time keys of those operations whose last",
		"four blocks have room for it go there, to the operation's place in the list.",
		fmt.Sprintf("scratch is %d bytes; it is left with the keys.", textsScratch))
	Load(Param("ops"), texts.ops)
	Load(Param("list"), texts.list)
	Load(Param("count"), texts.count)
	Load(Param("scratch"), texts.scratch)
	alignUp(texts.scratch)
	LEAQ(Mem{Base: texts.scratch, Disp: quadsAt}, texts.quads)
	next, few, end := label("quads"), label("few"), label("textsdone")
	XORQ(texts.left, texts.left)
	MOVQ(texts.left, single())
	Load(Param("long"), reg.AL)
	TESTB(reg.AL, reg.AL)
	short := label("short")
	JZ(LabelRef(short))
	pieces()
	Label(short)
	Label(next)
	fill := label("fillquads")
	TESTQ(texts.left, texts.left)
	JG(LabelRef(fill))
	TESTQ(texts.count, texts.count)
	JZ(LabelRef(end))
	Label(fill)
	fillQuads()
	CMPQ(texts.n, I8(4))
	JLE(LabelRef(few))
	runQuads(sets(2))
	JMP(LabelRef(next))
	Label(few)
	TESTQ(texts.n, texts.n)
	JZ(LabelRef(end))
	runQuads(sets(1))
	JMP(LabelRef(next))
	Label(end)
	VZEROUPPER()
	RET()
}

// pieces works two pieces at a time, of any operations, and notes the one that may be
// left in the end.
func pieces() {
	p := reg.RCX
	next, end := label("pieces"), label("piecesdone")
	Label(next)
	for i := range 2 {
		search, found, none := label("search"), label("found"), end
		if i == 1 {
			none = label("odd")
		}
		Label(search)
		CMPQ(texts.left, U32(pieceBytes))
		JGE(LabelRef(found))
		TESTQ(texts.count, texts.count)
		JZ(LabelRef(none))
		nextText(p)
		JMP(LabelRef(search))
		if i == 1 {
			Label(none)
			MOVQ(pieceOps[0], single())
			JMP(LabelRef(end))
		}
		Label(found)
		MOVQ(texts.op, pieceOps[i])
		MOVQ(texts.at, piece(i, pieceAt))
		MOVQ(texts.at, p)
		SHRQ(U8(6), p)
		INCL(p.As32())
		MOVL(p.As32(), piece(i, pieceCounter))
		VPBROADCASTD(p.As32(), sets(2)[i].word[12])
		ADDQ(U32(pieceBytes), texts.at)
		SUBQ(U32(pieceBytes), texts.left)
	}
	runPieces()
	JMP(LabelRef(next))
	Label(end)
	// Back to the first operation, for what is behind pieces.
	Load(Param("list"), texts.list)
	Load(Param("count"), texts.count)
	XORQ(texts.left, texts.left)
}

// runPieces works two pieces.
func runPieces() {
	key := [2]reg.GPPhysical{reg.RSI, reg.RDI}
	for i, op := range pieceOps {
		MOVQ(Mem{Base: op, Disp: OpKey}, key[i])
	}
	start := func(i, w int) Mem {
		switch {
		case w < 12:
			return Mem{Base: key[i], Disp: KeyRaw + 4*(w-4)}
		case w == 12:
			return piece(i, pieceCounter)
		}
		return Mem{Base: pieceOps[i], Disp: OpRow + 4*(w-12)}
	}
	for i, op := range pieceOps {
		MOVQ(Mem{Base: op, Disp: OpSrc}, reg.RCX)
		ADDQ(piece(i, pieceAt), reg.RCX)
		prefetchText(reg.RCX, pieceBytes)
	}
	ss := sets(2)
	for i, s := range ss {
		for w := 4; w < 16; w++ {
			if w != 12 { // there already
				VPBROADCASTD(start(i, w), s.word[w])
			}
		}
		VPADDD(numbers, s.word[12], s.word[12])
		s.loadSigma()
	}
	rounds(ss)
	addStart := func(s *set, w int) {
		z := s.word[w]
		if w < 4 {
			VPADDD(sigma[w], z, z)
			return
		}
		VPADDD_BCST(start(s.at/startSize, w), z, z)
		if w == 12 {
			VPADDD(numbers, z, z)
		}
	}
	finish(ss, texts.scratch, addStart, func(i int, blocks [16]reg.VecPhysical, _ reg.VecPhysical) {
		src, dst := reg.RCX, reg.RDX
		for _, p := range []struct {
			field int
			to    reg.GPPhysical
		}{{OpSrc, src}, {OpDst, dst}} {
			MOVQ(Mem{Base: pieceOps[i], Disp: p.field}, p.to)
			ADDQ(piece(i, pieceAt), p.to)
		}
		for b, block := range blocks {
			VPXORQ(Mem{Base: src, Disp: 64 * b}, block, block)
			VMOVDQU64(block, Mem{Base: dst, Disp: 64 * b})
		}
	})
}

// fillQuads makes the next eight quads; if there are not that many, the others have no text.
func fillQuads() {
	quad := func(offset int) Mem { return Mem{Base: texts.quad, Disp: offset} }
	op := func(offset int) Mem { return Mem{Base: texts.op, Disp: offset} }
	p, whole, place := reg.RCX, reg.RDX, reg.RDI
	loop, more, none, idle, full := label("fill"), label("more"), label("none"), label("idle"), label("full")
	MOVQ(texts.quads, texts.quad)
	XORQ(texts.n, texts.n)
	XORQ(texts.firsts, texts.firsts)
	MOVQ(U32(quadBytes), whole)
	Label(loop)
	TESTQ(texts.left, texts.left)
	JG(LabelRef(more))
	TESTQ(texts.count, texts.count)
	JZ(LabelRef(none))
	nextText(p)
	behindPieces(p)
	JMP(LabelRef(loop))

	Label(more)
	for _, f := range [][2]int{{OpSrc, laneSrc}, {OpDst, laneDst}} {
		MOVQ(op(f[0]), p)
		ADDQ(texts.at, p)
		MOVQ(p, quad(f[1]))
	}
	MOVQ(op(OpKey), p)
	MOVQ(p, quad(laneKey))
	// One store for the whole row: what is stored in parts is slow to load.
	VMOVDQU(op(OpRow), reg.X0)
	MOVQ(texts.at, p)
	SHRQ(U8(6), p)
	INCL(p.As32())
	VPINSRD(U8(0), p.As32(), reg.X0, reg.X0)
	VMOVDQU(reg.X0, quad(laneRow))
	keyInQuad(place, p)
	MOVQ(texts.left, p)
	CMPQ(p, whole)
	CMOVQGT(whole, p)
	MOVQ(p, quad(laneLen))
	ADDQ(whole, texts.at)
	SUBQ(whole, texts.left)
	ADDQ(U8(laneSize), texts.quad)
	INCQ(texts.n)
	CMPQ(texts.n, I8(8))
	JLT(LabelRef(loop))
	JMP(LabelRef(full))

	Label(none)
	MOVQ(texts.n, p)
	Label(idle)
	for _, f := range []int{laneKey, laneSrc, laneDst} {
		MOVQ(texts.scratch, quad(f))
	}
	MOVQ(texts.count, quad(laneLen))
	MOVQ(texts.count, Mem{Base: texts.scratch, Index: p, Scale: 8, Disp: keyPlacesAt})
	ADDQ(U8(laneSize), texts.quad)
	INCQ(p)
	CMPQ(p, I8(8))
	JLT(LabelRef(idle))
	Label(full)
}

// keyInQuad has the next quad make its operation's one-time key where that is wanted and
// there is room.
func keyInQuad(place, bit reg.GPPhysical) {
	none, known := label("nokey"), label("keyplace")
	MOVQ(param("keys"), place)
	TESTQ(place, place)
	JZ(LabelRef(known))
	CMPQ(texts.left, U32(spareBlock))
	JG(LabelRef(none))
	LEAQ(Mem{Disp: 3, Base: texts.n, Index: texts.n, Scale: 2}, bit)
	ADDQ(texts.n, bit)
	BTSQ(bit, texts.firsts)
	MOVQ(param("count"), bit)
	SUBQ(texts.count, bit)
	DECQ(bit)
	SHLQ(U8(5), bit)
	ADDQ(bit, place)
	JMP(LabelRef(known))
	Label(none)
	XORQ(place, place)
	Label(known)
	MOVQ(place, Mem{Base: texts.scratch, Index: texts.n, Scale: 8, Disp: keyPlacesAt})
}

// param is the place of a parameter.
func param(name string) Mem {
	b, err := Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	return b.Addr
}

// nextText takes the next operation of the list, and leaves nothing of it if its text is
// short.
func nextText(p reg.GPPhysical) {
	opAt(Mem{Base: texts.list}, texts.ops, texts.op)
	ADDQ(I8(4), texts.list)
	DECQ(texts.count)
	XORQ(texts.at, texts.at)
	MOVQ(Mem{Base: texts.op, Disp: OpSrcLen}, texts.left)
	SUBQ(param("behind"), texts.left)
	// Less the last block, if it is one too many.
	MOVQ(texts.left, p)
	DECQ(p)
	ANDQ(U32(quadBytes-1), p)
	INCQ(p)
	CMPQ(p, U8(tailBytes))
	long := label("long")
	JG(LabelRef(long))
	SUBQ(p, texts.left)
	Label(long)
	MOVQ(Mem{Base: texts.op, Disp: OpSrcLen}, p)
	SUBQ(param("behind"), p)
	CMPQ(p, U32(shortBytes))
	longer := label("longer")
	JG(LabelRef(longer))
	XORQ(texts.left, texts.left)
	Label(longer)
}

// behindPieces goes on behind those pieces of the operation that have been worked.
func behindPieces(p reg.GPPhysical) {
	even := label("even")
	MOVQ(texts.left, p)
	ANDQ(I32(-pieceBytes), p)
	JZ(LabelRef(even))
	CMPQ(texts.op, single())
	JNE(LabelRef(even))
	SUBQ(U32(pieceBytes), p)
	Label(even)
	SUBQ(p, texts.left)
	ADDQ(p, texts.at)
}

// runQuads works the quads that fill the sets.
func runQuads(ss []*set) {
	quads, scratch := texts.quads, texts.scratch
	for i, s := range ss {
		if i > 0 {
			SHRQ(U8(16), texts.firsts)
		}
		KMOVW(texts.firsts.As32(), reg.K1)
		KNOTW(reg.K1, reg.K1)
		s.gatherQuads(quads, 4*i)
		// A first block has the number 0.
		VMOVDQA32_Z(s.word[12], reg.K1, s.word[12])
		s.keep(scratch)
	}
	for i := range 4 * len(ss) {
		MOVQ(Mem{Base: quads, Disp: i*laneSize + laneSrc}, reg.RAX)
		prefetchText(reg.RAX, quadBytes)
	}
	rounds(ss)
	finish(ss, scratch, addKept(scratch), func(i int, blocks [16]reg.VecPhysical, free reg.VecPhysical) {
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
	gather(s.word[7], func(k int) Mem { return Mem{Base: keys[k], Disp: KeyRaw} })
	gather(s.word[11], func(k int) Mem { return Mem{Base: keys[k], Disp: KeyRaw + 16} })
	gather(s.word[15], func(k int) Mem { return Mem{Base: quads, Disp: quad(k) + laneRow} })
	for w := 4; w < 16; w++ {
		VPSHUFD(U8(0x55*(w%4)), s.word[w|3], s.word[w])
	}
	VPADDD(counters, s.word[12], s.word[12])
}

// prefetchText asks for text, which is needed when the rounds are over.
func prefetchText(src reg.GPPhysical, n int) {
	for line := 0; line < n; line += 64 {
		PREFETCHT0(Mem{Base: src, Disp: line})
	}
}

// emitQuad writes four blocks, with masks only where the text ends in them.
func emitQuad(blocks [4]reg.VecPhysical, free reg.VecPhysical, quads reg.GPPhysical, i int) {
	ones, tmp, n, src, dst, none := reg.RBX, reg.RCX, reg.RDX, reg.RSI, reg.RDI, reg.RAX
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
	MOVQ(I32(-1), ones)
	for j, block := range blocks {
		tailMask(n, ones, tmp, reg.K1) // the instruction takes 64 and more for all
		VMOVDQU8_Z(Mem{Base: src, Disp: 64 * j}, reg.K1, free)
		VPXORQ(free, block, block)
		VMOVDQU8(block, reg.K1, Mem{Base: dst, Disp: 64 * j})
		SUBQ(U8(64), n)
		CMOVQLT(none, n)
	}
	MOVQ(keyPlace(i), dst)
	TESTQ(dst, dst)
	JZ(LabelRef(done))
	VMOVDQU64(blocks[3].AsY(), Mem{Base: dst})
	Label(done)
}
