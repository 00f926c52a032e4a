// Package ahead writes what the routines of AES-GCM ask memory for while they work the operations before, for all widths of vectors.
package ahead

import (
	. "linecrypt/cryptobatch/_gen/layout"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// keys is for how many operations the keys are on their way from memory: with
// many keys each comes from there, and the core itself sees only a few ahead.
const keys = 4

// How many bytes of the next operation's text are asked for at once. A text of up to atOnce is, all of it. More at once would hold up the
// operation that is to be worked meanwhile until most of it is there; so beside a long one it is asked for piece by piece, and at once only
// what is more than that, but at least some. Behind a short one it is as many lines as the core can wait for, which loses what it is
// asked for beyond that.
const (
	atOnce    = 16 * 64
	leastText = 2 * 64
	mostText  = 24 * 64
)

// Burst is a burst of operations: Count are left of List, which names them in the array Ops. Long is from how many bytes on one is long, and
// Piece, a power of two, what the loop over the text of a long one works at a time at least.
// Dense says that a key for AES-128 leaves out a line at its beginning, and not one within.
type Burst struct {
	Ops, List, Count reg.GPPhysical
	Long, Piece      int
	Dense            bool
}

// First asks for the keys of the burst's first operations. There are some. It spoils RAX, RBX, RCX and R8.
func (b Burst) First() {
	n, at := reg.RCX, reg.RBX
	MOVQ(b.Count, n)
	MOVQ(b.List, at)
	MOVL(U32(keys), reg.EAX)
	CMPQ(n, reg.RAX)
	CMOVQHI(reg.RAX, n)
	Label("prefetch")
	b.key(Mem{Base: at}, "prefetched")
	ADDQ(Imm(4), at)
	DECQ(n)
	JNZ(LabelRef("prefetch"))
}

// Next asks, before an operation is worked, for the key of one that comes later, and for the text of the next one. It spoils what First does.
func (b Burst) Next() {
	CMPQ(b.Count, Imm(keys))
	JLS(LabelRef("noKey"))
	b.key(Mem{Base: b.List, Disp: 4 * keys}, "noKey")
	b.text()
}

// key asks for the cache lines of a key that an operation reads; index is the
// operation's place in the list. Only long operations need the first two, with the
// high powers of H, or for AES-128 in a dense key the second and the third. Which
// it is has been looked at when the operation was listed.
func (b Burst) key(index Mem, asked string) {
	key := reg.R8
	MOVL(index, reg.EAX)
	IMUL3Q(Imm(OpSize), reg.RAX, reg.RAX)
	ADDQ(b.Ops, reg.RAX)
	MOVQ(Mem{Base: reg.RAX, Disp: OpKey}, key)
	first := 128
	if b.Dense {
		first = 192
	}
	for line := first; line < KeyAlg-64; line += 64 {
		PREFETCHT0(Mem{Base: key, Disp: line})
	}
	if b.Dense {
		CMPW(Mem{Base: key, Disp: KeyAlg}, Imm(AlgAES256))
		JNE(LabelRef(asked + "128"))
		PREFETCHT0(Mem{Base: key, Disp: 128})
		Label(asked + "128")
	}
	CMPQ(Mem{Base: reg.RAX, Disp: OpSrcLen}, I32(int32(b.Long-1)))
	JLS(LabelRef(asked))
	PREFETCHT0(Mem{Base: key})
	PREFETCHT0(Mem{Base: key, Disp: 64})
	if b.Dense {
		PREFETCHT0(Mem{Base: key, Disp: 128})
	}
	Label(asked)
}

// text asks for the text of the operation behind the one that is about to be worked, if it is a long one, but for what is asked for beside that
// one. Short ones the core overlaps by itself.
func (b Burst) text() {
	at, size := reg.RBX, reg.RCX
	CMPQ(b.Count, Imm(1))
	JEQ(LabelRef("noText"))
	b.op(1)
	MOVQ(Mem{Base: reg.RAX, Index: b.Ops, Scale: 1, Disp: OpSrcLen}, size)
	CMPQ(size, I32(int32(b.Long-1)))
	JLS(LabelRef("noText"))
	MOVQ(Mem{Base: reg.RAX, Index: b.Ops, Scale: 1, Disp: OpSrc}, at)
	CMPQ(size, I32(atOnce))
	JLS(LabelRef("textAtOnce"))
	b.op(0)
	CMPQ(Mem{Base: reg.RAX, Index: b.Ops, Scale: 1, Disp: OpSrcLen}, I32(int32(b.Long-1)))
	JHI(LabelRef("noText"))
	Label("textAtOnce")
	beginning(at, size, "lineOfText")
	Label("noText")
}

// op sets RAX to how far in the array Ops the operation lies that comes n behind the next one of List.
func (b Burst) op(n int) {
	MOVL(Mem{Base: b.List, Disp: 4 * n}, reg.EAX)
	IMUL3Q(Imm(OpSize), reg.RAX, reg.RAX)
}

// beginning asks for size bytes of a text, or as many as there may be at once, and moves at behind them. It spoils RAX and size.
func beginning(at, size reg.GPPhysical, label string) {
	MOVL(U32(mostText), reg.EAX)
	CMPQ(size, reg.RAX)
	CMOVQGT(reg.RAX, size)
	MOVQ(at, reg.RAX)
	ADDQ(size, at)
	Label(label)
	PREFETCHT0(Mem{Base: reg.RAX})
	ADDQ(Imm(64), reg.RAX)
	CMPQ(reg.RAX, at)
	JCS(LabelRef(label))
}

// Apart begins what Beside goes on with, before left bytes of a long text at src are worked, of an operation that is gone from List: it asks for as
// much of the next one's text as Beside will not, and sets apart to how far behind src the rest of it lies. Where there is none, or all of it
// has been asked for, that is 0. It spoils RAX, RBX and RCX.
func (b Burst) Apart(src, left, apart reg.GPPhysical, label string) {
	XORL(apart.As32(), apart.As32())
	CMPQ(b.Count, Imm(1))
	JEQ(LabelRef(label))
	b.op(0)
	size, beside := reg.RBX, reg.RCX
	MOVQ(Mem{Base: reg.RAX, Index: b.Ops, Scale: 1, Disp: OpSrcLen}, size)
	CMPQ(size, I32(atOnce))
	JLS(LabelRef(label))
	MOVQ(Mem{Base: reg.RAX, Index: b.Ops, Scale: 1, Disp: OpSrc}, apart)
	LEAQ(Mem{Base: left, Disp: -1}, beside)
	ANDQ(I32(int32(-b.Piece)), beside)
	SUBQ(beside, size)
	MOVL(U32(leastText), reg.EAX)
	CMPQ(size, reg.RAX)
	CMOVQLT(reg.RAX, size)
	beginning(apart, size, label+"Line")
	SUBQ(src, apart)
	Label(label)
}

// Beside asks for as much of the next operation's text as is about to be worked of the one at src: n bytes, whole lines. Where that is the longer
// one it asks for what is behind the end of the other too, which costs some lines for nothing, and with apart 0 for its own again.
func Beside(src, apart reg.GPPhysical, n int) {
	for at := 0; at < n; at += 64 {
		PREFETCHT0(Mem{Base: src, Index: apart, Scale: 1, Disp: at})
	}
}
