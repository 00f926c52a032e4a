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

// textBytes is how many bytes of the next operation's text are asked for: as many lines as the core can wait for at once, which loses
// what it is asked for beyond that. Behind them it sees by itself that they are read in a row.
const textBytes = 24 * 64

// Burst is a burst of operations: Count are left of List, which names them in the array Ops. Long is from how many bytes on one is long.
// Dense says that a key for AES-128 leaves out a line at its beginning, and not one within.
type Burst struct {
	Ops, List, Count reg.GPPhysical
	Long             int
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

// text asks for the text of the operation behind the one that is about to be worked, if it is a long one: where a burst's text is
// not in the cache, it comes while the one before it is worked. Short ones the core overlaps by itself.
func (b Burst) text() {
	at, end := reg.RBX, reg.RCX
	CMPQ(b.Count, Imm(1))
	JEQ(LabelRef("noText"))
	MOVL(Mem{Base: b.List, Disp: 4}, reg.EAX)
	IMUL3Q(Imm(OpSize), reg.RAX, reg.RAX)
	MOVQ(Mem{Base: reg.RAX, Index: b.Ops, Scale: 1, Disp: OpSrcLen}, end)
	CMPQ(end, I32(int32(b.Long-1)))
	JLS(LabelRef("noText"))
	MOVQ(Mem{Base: reg.RAX, Index: b.Ops, Scale: 1, Disp: OpSrc}, at)
	MOVL(U32(textBytes), reg.EAX)
	CMPQ(end, reg.RAX)
	CMOVQHI(reg.RAX, end)
	ADDQ(at, end)
	Label("lineOfText")
	PREFETCHT0(Mem{Base: at})
	ADDQ(Imm(64), at)
	CMPQ(at, end)
	JCS(LabelRef("lineOfText"))
	Label("noText")
}
