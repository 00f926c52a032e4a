// Command prefetch writes what the engines in assembly share: a routine that asks for
// keys before the Go code looks at them. `go generate` in package cryptobatch runs it.
package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Where things are in an Op and in a Key. Package cryptobatch asserts them at
// compile time.
const (
	opKey  = 0
	opSize = 104
	keyAlg = 504
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
	MOVQ(Mem{Base: op, Disp: opKey}, key)
	PREFETCHT0(Mem{Base: key, Disp: keyAlg})
	ADDQ(Imm(opSize), op)
	DECQ(count)
	JNZ(LabelRef("next"))
	RET()
	Generate()
}
