package main

import (
	"fmt"

	"linecrypt/cryptobatch/_gen/ahead"
	. "linecrypt/cryptobatch/_gen/layout"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Registers with one meaning throughout an operation.
var (
	aad, aadLen = reg.R13, reg.RCX

	base     = reg.Z0  // the nonce, byte-swapped, with a counter of zero
	aadBlock = reg.Z1  // the associated data as one block: GHASH's state before the text
	lengths  = reg.Z14 // GHASH's last block
	j0       = reg.Z7  // first the counter block 1, then the tag's mask

	acc       = sum{reg.Z8, reg.Z9, reg.Z10}
	temporary = [4]reg.VecPhysical{reg.Z11, reg.Z12, reg.Z24, reg.Z25}
	scratch   = reg.Z11

	// text holds counter blocks, then key stream, then text, of four blocks each.
	text = [4]reg.VecPhysical{reg.Z3, reg.Z4, reg.Z5, reg.Z6}

	apart = reg.R13 // of long operations: see package ahead

	// lastMask picks the bytes of the last vector of text.
	lastMask = reg.K1
)

// burstGen writes the part of a burst's routine for one key length.
type burstGen struct {
	open   bool
	rounds int
	ask    ahead.Burst
}

// burst writes the routine that works a list of operations. They follow each
// other without a dependency, and the branches hang on lengths alone, which are
// known early: the core itself thus works several operations at a time.
func burst(name string, open bool) {
	constants()
	if open {
		TEXT(name, NOSPLIT, "func(ops *byte, list *uint32, count int) (failed int)")
		Doc(name+" opens the count operations of the array ops that list names, writes their statuses and returns how many",
			"are not authentic. Their Dst holds plaintext: the caller erases it.")
	} else {
		TEXT(name, NOSPLIT, "func(ops *byte, list *uint32, count int)")
		Doc(name + " seals the count operations of the array ops that list names and writes their statuses.")
	}
	Pragma("noescape")
	Load(Param("ops"), ops)
	Load(Param("list"), list)
	Load(Param("count"), count)
	if open {
		MOVQ(U32(0), failed())
	}
	VMOVDQU64(consts.swap, swap)
	VMOVDQU64(consts.poly, poly)
	VMOVDQU64(consts.four, four)

	ask := ahead.Burst{Ops: ops, List: list, Count: count, Long: shortText + 1, Piece: 128}
	ask.First()
	Label("next")
	ask.Next()
	loadOp(open)
	loadAAD()
	loadLengths()
	CMPW(Mem{Base: key, Disp: KeyAlg}, Imm(AlgAES256))
	JEQ(LabelRef("aes256"))
	burstGen{open, 10, ask}.body()
	Label("aes256")
	burstGen{open, 14, ask}.body()

	Label("done")
	if open {
		authenticate()
	} else {
		VMOVDQU(acc.hi.AsX(), Mem{Base: dst, Index: left, Scale: 1})
		MOVB(Imm(StatusOK), Mem{Base: op, Disp: OpStatus})
	}
	DECQ(count)
	JNZ(LabelRef("next"))
	VZEROUPPER()
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
func loadOp(open bool) {
	MOVL(Mem{Base: list}, reg.EAX)
	ADDQ(Imm(4), list)
	IMUL3Q(Imm(OpSize), reg.RAX, op)
	ADDQ(ops, op)
	MOVQ(Mem{Base: op, Disp: OpKey}, key)
	MOVQ(Mem{Base: op, Disp: OpSrc}, src)
	MOVQ(Mem{Base: op, Disp: OpDst}, dst)
	MOVQ(Mem{Base: op, Disp: OpSrcLen}, left)
	if open {
		SUBQ(Imm(16), left)
	}
	MOVQ(Mem{Base: op, Disp: OpAAD}, aad)
	MOVQ(Mem{Base: op, Disp: OpAADLen}, aadLen)
	VBROADCASTI32X4(Mem{Base: op, Disp: OpNonce}, base)
	VPSHUFB(consts.nonceSwap, base, base)
}

// loadAAD makes aadBlock. Its upper lanes are zero.
func loadAAD() {
	// A masked load of nothing from a nil pointer would be slow.
	TESTQ(aadLen, aadLen)
	CMOVQEQ(op, aad)
	MOVQ(I32(-1), reg.RAX)
	BZHIQ(aadLen, reg.RAX, reg.RAX)
	CMPQ(aadLen, Imm(16))
	JHI(LabelRef("longAAD"))
	KMOVQ(reg.RAX, reg.K2)
	VMOVDQU8_Z(Mem{Base: aad}, reg.K2, aadBlock.AsX())
	VPSHUFB(swap.AsX(), aadBlock.AsX(), aadBlock.AsX())
	JMP(LabelRef("haveAAD"))

	// Up to four blocks, the last in lane 3: all but the last are multiplied by
	// H^3 to H^1 and added to it.
	Label("longAAD")
	LEAQ(Mem{Base: aadLen, Disp: 15}, reg.RBX)
	ANDQ(I8(-16), reg.RBX)
	NEGQ(reg.RBX)
	ADDQ(Imm(64), reg.RBX)
	SUBQ(reg.RBX, aad)
	SHLXQ(reg.RBX, reg.RAX, reg.RAX)
	KMOVQ(reg.RAX, reg.K2)
	VMOVDQU8_Z(Mem{Base: aad}, reg.K2, aadBlock)
	VPSHUFB(swap, aadBlock, aadBlock)
	MOVL(U32(0x3f), reg.EAX)
	KMOVQ(reg.RAX, reg.K2)
	VMOVDQU64_Z(aadBlock, reg.K2, reg.Z4)
	VMOVDQU64(Mem{Base: key, Disp: keyH1 - 32}, reg.Z5)
	multiply(acc, temporary, term{reg.Z4, reg.Z5})
	reduce(acc, scratch)
	fold(acc.hi, scratch)
	VEXTRACTI32X4(Imm(3), aadBlock, aadBlock.AsX())
	VPXORQ(acc.hi.AsX(), aadBlock.AsX(), aadBlock.AsX())
	Label("haveAAD")
}

func loadLengths() {
	MOVQ(left, reg.RAX)
	SHLQ(Imm(3), reg.RAX)
	SHLQ(Imm(3), aadLen)
	VMOVQ(reg.RAX, lengths.AsX())
	VPINSRQ(Imm(1), aadLen, lengths.AsX(), lengths.AsX())
}

func (g burstGen) label(name string) string { return fmt.Sprintf("%s%d", name, g.rounds) }

// shortText is up to how many bytes an operation is worked with one reduction.
const shortText = 192

func (g burstGen) body() {
	CMPQ(left, I32(shortText))
	JHI(LabelRef(g.label("long")))
	g.short()
	Label(g.label("long"))
	g.ask.Apart(src, left, apart, g.label("textAsked"))
	g.long()
}

// encrypt turns counter blocks into key stream.
func (g burstGen) encrypt(v []reg.VecPhysical) {
	for r := 0; r <= g.rounds; r++ {
		g.round(r, v)
	}
}

func (g burstGen) round(r int, v []reg.VecPhysical) {
	k := reg.Z13
	VBROADCASTI32X4(Mem{Base: key, Disp: keyRounds + 16*r}, k)
	for _, x := range v {
		switch r {
		case 0:
			VPXORQ(k, x, x)
		case g.rounds:
			VAESENCLAST(k, x, x)
		default:
			VAESENC(k, x, x)
		}
	}
}

// crypt turns key stream in v into blocks for GHASH, and stores the text. The last
// vector holds what lastMask says, if masked.
func (g burstGen) crypt(v []reg.VecPhysical, masked bool) {
	in := reg.Z13
	for i, x := range v {
		s, d := Mem{Base: src, Disp: 64 * i}, Mem{Base: dst, Disp: 64 * i}
		last := masked && i == len(v)-1
		if last {
			VMOVDQU8_Z(s, lastMask, in)
		} else {
			VMOVDQU64(s, in)
		}
		VPXORQ(in, x, x)
		if last {
			VMOVDQU8(x, lastMask, d)
		} else {
			VMOVDQU64(x, d)
		}
		switch {
		case g.open:
			VPSHUFB(swap, in, x)
		case last:
			VMOVDQU8_Z(x, lastMask, x)
			VPSHUFB(swap, x, x)
		default:
			VPSHUFB(swap, x, x)
		}
	}
}

// maskLast makes lastMask for the bytes left behind the full vectors before.
func maskLast(full int) {
	LEAQ(Mem{Base: left, Disp: -64 * full}, reg.RBX)
	MOVQ(I32(-1), reg.RCX)
	BZHIQ(reg.RBX, reg.RCX, reg.RCX)
	KMOVQ(reg.RCX, lastMask)
}

// short works an operation of up to 192 bytes with one reduction: GHASH's
// input is aadBlock, the text and lengths.
func (g burstGen) short() {
	// at is the key less a power for each block of text.
	at := reg.RAX
	LEAQ(Mem{Base: left, Disp: 15}, reg.RBX)
	ANDQ(I8(-16), reg.RBX)
	MOVQ(key, at)
	SUBQ(reg.RBX, at)
	if !g.open {
		// As in loadAAD. When opening, src is the tag.
		TESTQ(left, left)
		CMOVQEQ(op, src)
	}

	// The first and the last block are worked as one vector.
	ends, endPowers := reg.Z15, reg.Z16
	VINSERTI32X4(Imm(3), lengths.AsX(), aadBlock, ends)
	VMOVDQU64(Mem{Base: key, Disp: keyH1 - 48}, endPowers)
	VINSERTI32X4(Imm(0), Mem{Base: at, Disp: keyH1 - 16}, endPowers, endPowers)

	CMPQ(left, Imm(64))
	JLS(LabelRef(g.label("upTo64_")))
	CMPQ(left, I32(128))
	JLS(LabelRef(g.label("upTo128_")))
	for _, n := range []int{3, 2, 1} {
		if n < 3 {
			Label(g.label(fmt.Sprintf("upTo%d_", 64*n)))
		}
		v := text[:n]
		maskLast(n - 1)
		g.counters(v)
		VPADDD(consts.one, base, j0)
		VPSHUFB(swap, j0, j0)
		g.encrypt(append([]reg.VecPhysical{j0}, v...))
		g.crypt(v, true)
		terms := []term{{ends, endPowers}}
		for i, x := range v {
			h := reg.VecPhysical([]reg.VecPhysical{reg.Z17, reg.Z18, reg.Z19}[i])
			VMOVDQU64(Mem{Base: at, Disp: keyH1 + 64*i}, h)
			terms = append(terms, term{x, h})
		}
		g.finish(terms)
	}
}

// counters sets v to the counter blocks from 2 on.
func (g burstGen) counters(v []reg.VecPhysical) {
	for i, x := range v {
		if i == 0 {
			VPADDD(consts.firstFour, base, x)
		} else {
			VPADDD(four, v[i-1], x)
		}
	}
	for _, x := range v {
		VPSHUFB(swap, x, x)
	}
}

// finish makes the tag from the last terms and j0.
func (g burstGen) finish(terms []term) {
	multiply(acc, temporary, terms...)
	reduce(acc, scratch)
	fold(acc.hi, scratch)
	VPSHUFB(swap.AsX(), acc.hi.AsX(), acc.hi.AsX())
	VPXORQ(j0.AsX(), acc.hi.AsX(), acc.hi.AsX())
	JMP(LabelRef("done"))
}

// authenticate compares the tag with what is behind the ciphertext, without a branch.
func authenticate() {
	VPXORQ(Mem{Base: src, Index: left, Scale: 1}, acc.hi.AsX(), acc.hi.AsX())
	XORL(reg.EAX, reg.EAX)
	VPTEST(acc.hi.AsX(), acc.hi.AsX())
	SETNE(reg.AL)
	ADDQ(reg.RAX, failed())
	ADDL(Imm(StatusOK), reg.EAX)
	MOVB(reg.AL, Mem{Base: op, Disp: OpStatus})
}
