// Command prefetch writes what the engines in assembly share: a routine that asks for
// keys before the Go code looks at them. `go generate` in package cryptobatch runs it.
package main

import (
	. "linecrypt/cryptobatch/_gen/layout"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func main() {
	ConstraintExpr("amd64")
	TEXT("prefetchKeys", NOSPLIT, "func(ops *byte, count int)")
	Pragma("noescape")
	Doc("prefetchKeys asks for the cache line of each key that every operation reads, the one with its header.",
		"With many keys these come from memory, all at the same time instead of a few. A nil key is no harm.",
		"count is not 0.")
	op, count, key := reg.RAX, reg.RCX, reg.RDX
	Load(Param("ops"), op)
	Load(Param("count"), count)
	Label("next")
	MOVQ(Mem{Base: op, Disp: OpKey}, key)
	PREFETCHT0(Mem{Base: key, Disp: KeyAlg})
	ADDQ(Imm(OpSize), op)
	DECQ(count)
	JNZ(LabelRef("next"))
	RET()
	Generate()
}
