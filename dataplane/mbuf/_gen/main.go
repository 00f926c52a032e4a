// Command _gen writes the assembly of package mbuf, which Go has no other way to say: `go generate` in the folder above.
package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Offsets in an Mbuf.
const (
	bufAddr = 0
	dataOff = 16
	dataLen = 40
	line    = 64

	heads = 2 * line // bytes of a packet that hold the usual headers
	grows = 20       // bytes that a frame has beside its data
	ahead = 5 * line // bytes of a packet that are asked for: what is behind them comes while these are worked
)

func main() {
	ConstraintExpr("amd64")
	m, data, off := reg.RDX, reg.RBX, reg.RSI

	each("prefetchFirst", func() {
		PREFETCHT0(Mem{Base: m})
	}, "prefetchFirst asks for the first line of each of count buffers. count is not 0.")

	each("prefetchHeads", func() {
		MOVQ(Mem{Base: m, Disp: bufAddr}, data)
		MOVWLZX(Mem{Base: m, Disp: dataOff}, reg.ESI)
		ADDQ(off, data)
		PREFETCHT0(Mem{Base: m, Disp: line})
		PREFETCHT0(Mem{Base: data})
		PREFETCHT0(Mem{Base: data, Disp: line})
		MOVWLZX(Mem{Base: m, Disp: dataLen}, reg.ESI)
		CMPQ(off, U32(heads))
		JLE(LabelRef("short"))
		PREFETCHT0(Mem{Base: data, Disp: -line})
		ADDQ(Imm(grows), off)
		MOVQ(U32(ahead), reg.RDI)
		CMPQ(off, reg.RDI)
		CMOVQGT(reg.RDI, off)
		ADDQ(data, off)
		ADDQ(U32(heads), data)
		Label("text")
		PREFETCHT0(Mem{Base: data})
		ADDQ(Imm(line), data)
		CMPQ(data, off)
		JLT(LabelRef("text"))
		Label("short")
	}, "prefetchHeads reads the first line of each of count buffers, and asks for the second one and for the first two of its packet. Of one",
		"that is longer, it asks for the line in front too, and for those with the beginning of its payload. count is not 0.")

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
