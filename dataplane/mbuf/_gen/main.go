// Command _gen writes the assembly of package mbuf, which Go has no other way to say: `go generate` in the folder above.
package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

const line = 64

// Offsets in an Mbuf.
const (
	bufAddr = 0
	dataOff = 16
)

func main() {
	ConstraintExpr("amd64")
	m := reg.RDX

	each("prefetchFirst", func() {
		PREFETCHT0(Mem{Base: m})
	}, "prefetchFirst asks for the first line of each of count buffers. count is not 0.")

	each("prefetchHeaders", func() {
		MOVQ(Mem{Base: m, Disp: bufAddr}, reg.RBX)
		MOVWLZX(Mem{Base: m, Disp: dataOff}, reg.ESI)
		PREFETCHT0(Mem{Base: reg.RBX, Index: reg.RSI, Scale: 1})
		PREFETCHT0(Mem{Base: reg.RBX, Index: reg.RSI, Scale: 1, Disp: line})
	}, "prefetchHeaders asks for the two lines of each of count packets in which headers lie. count is not 0.")

	TEXT("prefetchLines", NOSPLIT, "func(p *byte, lines int)")
	Pragma("noescape")
	Doc("prefetchLines asks for lines cache lines from p on. lines is not 0.")
	at, n := reg.RAX, reg.RCX
	Load(Param("p"), at)
	Load(Param("lines"), n)
	Label("line")
	PREFETCHT0(Mem{Base: at})
	ADDQ(Imm(line), at)
	DECQ(n)
	JNZ(LabelRef("line"))
	RET()

	Generate()
}

// each writes a routine that does something for each of count buffers, the address of which is in RDX.
func each(name string, body func(), doc ...string) {
	TEXT(name, NOSPLIT, "func(ms **byte, count int)")
	Pragma("noescape")
	Doc(doc...)
	at, n := reg.RAX, reg.RCX
	Load(Param("ms"), at)
	Load(Param("count"), n)
	Label("next")
	MOVQ(Mem{Base: at}, reg.RDX)
	body()
	ADDQ(Imm(8), at)
	DECQ(n)
	JNZ(LabelRef("next"))
	RET()
}
