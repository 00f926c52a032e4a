package main

import (
	"linecrypt/cryptobatch/_gen/ahead"
	. "linecrypt/cryptobatch/_gen/layout"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Registers until the text begins.
var aad, aadLen = reg.R13, reg.RCX

// apart is a register of long operations, until their tails begin: see package ahead.
var apart = reg.R13

// burst writes the routine that works a list of operations. They follow each
// other without a dependency, and the branches hang on lengths and algorithms
// alone, which are known early: the core itself thus works several operations at a
// time.
func (g gen) burst(name string) {
	if g.open {
		TEXT(name, NOSPLIT, "func(ops *byte, list *uint32, count int) (failed int)")
		Doc(name+" opens the count operations of the array ops that list names, writes their statuses and returns how many",
			"are not authentic. Their Dst holds plaintext: the caller erases it.")
	} else {
		TEXT(name, NOSPLIT, "func(ops *byte, list *uint32, count int)")
		Doc(name + " seals the count operations of the array ops that list names and writes their statuses.")
	}
	Pragma("noescape")
	g.counter, g.aes256 = AllocLocal(8), AllocLocal(8)
	Load(Param("ops"), ops)
	Load(Param("list"), list)
	Load(Param("count"), count)
	if g.open {
		MOVQ(U32(0), failed())
	}

	ask := ahead.Burst{Ops: ops, List: list, Count: count, Long: g.sumMax() + 1, Piece: g.piece(), Dense: true}
	ask.First()
	Label("next")
	ask.Next()
	g.loadOp()
	g.loadAAD()
	CMPQ(left, I32(int32(g.sumMax())))
	JHI(LabelRef("long"))
	g.short()
	Label("long")
	ask.Apart(src, left, apart, "textAsked")
	g.long()
	g.tails()

	Label("done")
	tag := xmm(g.acc.hi)
	if g.open {
		authenticate(tag)
	} else {
		VMOVDQU(tag, Mem{Base: dst, Index: left, Scale: 1})
		MOVB(Imm(StatusOK), Mem{Base: op, Disp: OpStatus})
	}
	DECQ(count)
	JNZ(LabelRef("next"))
	VZEROALL()
	RET()
}

// failed is the place of the result.
func failed() Mem {
	b, err := ReturnIndex(0).Resolve()
	if err != nil {
		panic(err)
	}
	return b.Addr
}

// loadOp takes the next operation of the list.
func (g gen) loadOp() {
	MOVL(Mem{Base: list}, reg.EAX)
	ADDQ(Imm(4), list)
	IMUL3Q(Imm(OpSize), reg.RAX, op)
	ADDQ(ops, op)
	MOVQ(Mem{Base: op, Disp: OpKey}, key)
	MOVQ(Mem{Base: op, Disp: OpSrc}, src)
	MOVQ(Mem{Base: op, Disp: OpDst}, dst)
	MOVQ(Mem{Base: op, Disp: OpSrcLen}, left)
	if g.open {
		SUBQ(Imm(16), left)
	}
	MOVQ(Mem{Base: op, Disp: OpAAD}, aad)
	MOVQ(Mem{Base: op, Disp: OpAADLen}, aadLen)
	LEAQ(Mem{Base: key, Disp: denser}, reg.RAX)
	CMPW(Mem{Base: key, Disp: KeyAlg}, Imm(AlgAES256))
	SETEQ(g.aes256)
	CMOVQNE(reg.RAX, key)
	LEAQ(Mem{Base: key, Disp: keyRounds + 16*10}, lastRound)
	LEAQ(Mem{Base: key, Disp: keyRounds + 16*14}, reg.RAX)
	CMOVQEQ(reg.RAX, lastRound)
}

// loadAAD makes the associated data one block in state's lowest lane: GHASH's state
// before the text, not yet multiplied.
func (g gen) loadAAD() {
	state := xmm(g.state)
	CMPQ(aadLen, Imm(16))
	JHI(LabelRef("longAAD"))
	loadBytes("aad", aad, aadLen, state)
	VPSHUFB(consts.swap, state, state)
	JMP(LabelRef("haveAAD"))

	// Each block but the last is multiplied by H. The last is loaded from where it
	// ends.
	Label("longAAD")
	VPXOR(state, state, state)
	Label("blockOfAAD")
	x, t, h, acc := xmm(g.block), xmm(g.spare), xmm(g.power), g.acc.xmm()
	VMOVDQU(Mem{Base: aad}, x)
	VPSHUFB(consts.swap, x, x)
	VPXOR(state, x, x)
	VMOVDQU(Mem{Base: key, Disp: keyH1}, h)
	emit(acc.multiply(true, x, factor{register: h}, t))
	emit(acc.reduce(t))
	VMOVDQA(acc.hi, state)
	ADDQ(Imm(16), aad)
	SUBQ(Imm(16), aadLen)
	CMPQ(aadLen, Imm(16))
	JHI(LabelRef("blockOfAAD"))
	VMOVDQU(Mem{Base: aad, Index: aadLen, Scale: 1, Disp: -16}, x)
	LEAQ(consts.edge, reg.RAX)
	VPSHUFB(Mem{Base: reg.RAX, Index: aadLen, Scale: 1, Disp: edgeToHash}, x, x)
	VPXOR(x, state, state)
	Label("haveAAD")
}

// loadBytes moves n bytes, at most 16, to v and fills it with zeros. It reads them by
// two words that may overlap. It spoils RAX, RBX, and n.
func loadBytes(label string, from, n reg.GPPhysical, v reg.VecPhysical) {
	ref := func(what string) LabelRef { return LabelRef(label + what) }
	lo, hi := reg.RAX, reg.RBX
	CMPQ(n, Imm(8))
	JHI(ref("Over8"))
	CMPQ(n, Imm(4))
	JCC(ref("Over3"))
	XORL(reg.EAX, reg.EAX)
	TESTQ(n, n)
	JEQ(ref("Word"))
	// The first byte, the one at half the length, and the last: for lengths of one and
	// two some are the same, and come to the same place.
	MOVBLZX(Mem{Base: from, Index: n, Scale: 1, Disp: -1}, reg.EBX)
	LEAL(Mem{Base: n, Disp: -1}, reg.EAX)
	SHLL(Imm(3), reg.EAX)
	SHLXL(reg.EAX, reg.EBX, reg.EBX)
	MOVBLZX(Mem{Base: from}, reg.EAX)
	ORL(reg.EBX, reg.EAX)
	SHRQ(Imm(1), n)
	MOVBLZX(Mem{Base: from, Index: n, Scale: 1}, reg.EBX)
	SHLL(Imm(3), n.As32())
	SHLXL(n.As32(), reg.EBX, reg.EBX)
	ORL(reg.EBX, reg.EAX)
	JMP(ref("Word"))

	Label(label + "Over3")
	MOVL(Mem{Base: from}, reg.EAX)
	MOVL(Mem{Base: from, Index: n, Scale: 1, Disp: -4}, reg.EBX)
	SUBL(Imm(4), n.As32())
	SHLL(Imm(3), n.As32())
	SHLXQ(n, hi, hi)
	ORQ(hi, lo)
	JMP(ref("Word"))

	Label(label + "Over8")
	MOVQ(Mem{Base: from}, lo)
	MOVQ(Mem{Base: from, Index: n, Scale: 1, Disp: -8}, hi)
	SHLL(Imm(3), n.As32())
	NEGL(n.As32())
	SHRXQ(n, hi, hi)
	VMOVQ(lo, v)
	VPINSRQ(Imm(1), hi, v, v)
	JMP(ref("Loaded"))

	Label(label + "Word")
	VMOVQ(lo, v)
	Label(label + "Loaded")
}

// authenticate compares the tag with what is behind the ciphertext, without a branch.
func authenticate(tag reg.VecPhysical) {
	VPXOR(Mem{Base: src, Index: left, Scale: 1}, tag, tag)
	XORL(reg.EAX, reg.EAX)
	VPTEST(tag, tag)
	SETNE(reg.AL)
	ADDQ(reg.RAX, failed())
	ADDL(Imm(StatusOK), reg.EAX)
	MOVB(reg.AL, Mem{Base: op, Disp: OpStatus})
}
