// Command sum writes the assembly of package packet that sums bytes for checksums: `go generate` two folders above. What it writes has a twin in
// Go there, and a test holds both equal.
package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

const (
	step  = 64 // bytes in a round
	width = 32 // of a vector
)

func main() {
	ConstraintExpr("amd64")
	chain()
	vectors()
	Generate()
}

// chain adds eight bytes at a time, with the carry of each addition in the next one. The last carry of a block always finds room: a sum of all
// ones has none, because only all ones with a carry, and all ones, would make it.
func chain() {
	TEXT("sumChain", NOSPLIT, "func(p *byte, n int) (sum uint64)")
	Pragma("noescape")
	Doc("sumChain is sumWords in assembly, for any n.")
	p, n := Load(Param("p"), GP64()), reg.RCX
	Load(Param("n"), n)
	sum, word := GP64(), GP64()
	XORL(sum.As32(), sum.As32())
	add := func(bytes int) {
		for at := 0; at < bytes; at += 8 {
			if m := (Mem{Base: p, Disp: at}); at == 0 {
				ADDQ(m, sum)
			} else {
				ADCQ(m, sum)
			}
		}
		ADCQ(Imm(0), sum)
		ADDQ(Imm(uint64(bytes)), p)
	}
	Label("block")
	CMPQ(n, Imm(step))
	JLT(LabelRef("rest"))
	add(step)
	SUBQ(Imm(step), n)
	JMP(LabelRef("block"))
	Label("rest")
	for bytes := step / 2; bytes >= 8; bytes /= 2 {
		less := fmt.Sprintf("less%d", bytes)
		TESTQ(U32(bytes), n)
		JZ(LabelRef(less))
		add(bytes)
		Label(less)
	}

	Comment("Up to seven bytes are left.")
	for bytes := 4; bytes > 0; bytes /= 2 {
		less := fmt.Sprintf("less%d", bytes)
		TESTQ(U32(bytes), n)
		JZ(LabelRef(less))
		switch m := (Mem{Base: p}); bytes {
		case 4:
			MOVL(m, word.As32())
		case 2:
			MOVWLZX(m, word.As32())
		default:
			MOVBLZX(m, word.As32())
		}
		ADDQ(word, sum)
		ADCQ(Imm(0), sum)
		ADDQ(Imm(uint64(bytes)), p)
		Label(less)
	}
	Store(sum, ReturnIndex(0))
	RET()
}

// vectors adds 32-bit words in vectors.
func vectors() {
	TEXT("sumVectors", NOSPLIT, "func(p *byte, n int) (sum uint64)")
	Pragma("noescape")
	Doc("sumVectors is sumWords in assembly, for processors with AVX2, and faster for long texts. n is a multiple of 64 and not 0.")
	p, n := Load(Param("p"), GP64()), Load(Param("n"), GP64())

	// Of each word of 64 bits the upper half is added to one sum, and the whole to another one, modulo 2^64: the lower halves' sum is what that
	// is more than the upper halves'. That takes three operations where two masked sums take four.
	var all, upper [step / width]reg.VecVirtual
	for i := range all {
		all[i], upper[i] = YMM(), YMM()
		VPXOR(all[i], all[i], all[i])
		VPXOR(upper[i], upper[i], upper[i])
	}
	Label("next")
	for i := range all {
		v, high := YMM(), YMM()
		VMOVDQU(Mem{Base: p, Disp: i * width}, v)
		VPSRLQ(Imm(32), v, high)
		VPADDQ(v, all[i], all[i])
		VPADDQ(high, upper[i], upper[i])
	}
	ADDQ(Imm(step), p)
	SUBQ(Imm(step), n)
	JNZ(LabelRef("next"))

	Comment("The sum of the lower halves is all - upper<<32.")
	sum, high := all[0], upper[0]
	VPADDQ(all[1], sum, sum)
	VPADDQ(upper[1], high, high)
	shifted := YMM()
	VPSLLQ(Imm(32), high, shifted)
	VPSUBQ(shifted, sum, sum)
	VPADDQ(high, sum, sum)
	half, other := XMM(), XMM()
	VEXTRACTI128(Imm(1), sum, half)
	VPADDQ(half, sum.AsX(), half)
	VPUNPCKHQDQ(half, half, other)
	VPADDQ(other, half, half)
	out := GP64()
	VMOVQ(half, out)
	VZEROUPPER()
	Store(out, ReturnIndex(0))
	RET()
}
