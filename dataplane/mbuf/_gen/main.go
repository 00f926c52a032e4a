// Command _gen writes the assembly of package mbuf, which Go has no other way to say: `go generate` in the folder above.
package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"linecrypt/dataplane/_gen/lines"
)

func main() {
	ConstraintExpr("amd64")
	m := reg.RDX

	each("prefetchFirst", func() {
		lines.Own(m, 0)
	}, "prefetchFirst asks for the first line of each of count buffers. count is not 0.")

	each("prefetchStarts", func() {
		lines.Data(m, reg.RBX, reg.RSI)
		lines.Own(reg.RBX, 0)
	}, "prefetchStarts asks for the first line of each of count packets. count is not 0.")

	each("prefetchHeaders", func() {
		lines.Headers(m, reg.RBX, reg.RSI)
	}, "prefetchHeaders asks for the two lines of each of count packets in which headers lie. count is not 0.")

	TEXT("prefetchLines", NOSPLIT, "func(p *byte, lines int)")
	Pragma("noescape")
	Doc("prefetchLines asks for lines cache lines from p on. lines is not 0.")
	at, n := reg.RAX, reg.RCX
	Load(Param("p"), at)
	Load(Param("lines"), n)
	Label("line")
	PREFETCHT0(Mem{Base: at})
	ADDQ(Imm(lines.Size), at)
	DECQ(n)
	JNZ(LabelRef("line"))
	RET()

	TEXT("prefetchEvery", NOSPLIT, "func(p *byte, stride uintptr, count int)")
	Pragma("noescape")
	Doc("prefetchEvery asks for the lines of count places, the first of which is p, that lie stride bytes apart. count is not 0.")
	by := reg.RDX
	Load(Param("p"), at)
	Load(Param("stride"), by)
	Load(Param("count"), n)
	Label("every")
	PREFETCHT0(Mem{Base: at})
	ADDQ(by, at)
	DECQ(n)
	JNZ(LabelRef("every"))
	RET()

	TEXT("prefetchRow", NOSPLIT, "func(row, other *byte)")
	Pragma("noescape")
	Doc("prefetchRow asks for five cache lines from row on, and for that of other.")
	Load(Param("row"), at)
	Load(Param("other"), n)
	for i := range 5 {
		PREFETCHT0(Mem{Base: at, Disp: i * lines.Size})
	}
	PREFETCHT0(Mem{Base: n})
	RET()

	TEXT("prefetchFour", NOSPLIT, "func(a, b, c, d *byte)")
	Pragma("noescape")
	Doc("prefetchFour asks for the cache lines of four addresses.")
	for i, r := range []reg.Register{reg.RAX, reg.RCX, reg.RDX, reg.RBX} {
		Load(Param(string("abcd"[i])), r)
		PREFETCHT0(Mem{Base: r})
	}
	RET()

	TEXT("prefetchPacket", NOSPLIT, "func(m, p, q *byte)")
	Pragma("noescape")
	Doc("prefetchPacket asks for the lines of a packet, and for the one of p and two of q.")
	p, q, data := reg.RAX, reg.RCX, reg.RBX
	Load(Param("m"), m)
	Load(Param("p"), p)
	Load(Param("q"), q)
	PREFETCHT0(Mem{Base: p})
	PREFETCHT0(Mem{Base: q})
	PREFETCHT0(Mem{Base: q, Disp: lines.Size})
	lines.Packet(m, data, reg.RSI)
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
