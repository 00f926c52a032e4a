// Package lines has what the generators of assembly below share: how they ask for the cache lines of packets ahead of time.
//
// A packet's lines are asked for as what will be written, so that each comes to the core as its own at once. With two workers at one queue
// (package spread) it has been in the cache of another core: asked for as what will be read it would be shared with that one first, and the
// first store to it would have to wait for it once more.
package lines

import (
	"encoding/binary"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Size is that of a cache line in bytes.
const Size = 64

// Offsets in an Mbuf.
const (
	bufAddr = 0
	dataOff = 16
	dataLen = 40
)

// Own asks for the line disp bytes behind where r points, as what will be written: PREFETCHW, for which Go's assembler has no name. A processor
// that lacks it does nothing.
func Own(r reg.GPPhysical, disp int32) {
	n := byte(r.PhysicalIndex())
	if n&7 == 4 {
		panic("stack pointer and R12 take another form of address")
	}
	const rexB, field, disp8, disp32 = 0x41, 1 << 3, 1 << 6, 2 << 6
	Commentf("PREFETCHW %d(%s)", disp, r.Asm())
	if n >= 8 {
		code(rexB)
	}
	if disp == int32(int8(disp)) {
		code(0x0f, 0x0d, disp8|field|n&7, byte(disp))
		return
	}
	code(0x0f, 0x0d, disp32|field|n&7)
	code(binary.LittleEndian.AppendUint32(nil, uint32(disp))...)
}

// code writes bytes of an instruction.
func code(bs ...byte) {
	for _, b := range bs {
		Instruction(&ir.Instruction{Opcode: "BYTE", Operands: []Op{U8(b)}})
	}
}

// Data makes data point to the first byte of the packet in the buffer m.
func Data(m, data, scratch reg.GPPhysical) {
	MOVQ(Mem{Base: m, Disp: bufAddr}, data)
	MOVWLZX(Mem{Base: m, Disp: dataOff}, scratch.As32())
	ADDQ(scratch, data)
}

// Headers asks for the two lines of the packet in the buffer m in which its headers lie.
func Headers(m, data, scratch reg.GPPhysical) {
	Data(m, data, scratch)
	Own(data, 0)
	Own(data, Size)
}

// Packet asks for the lines of the packet in the buffer m that are read and written where it is translated, of which the first one of the
// buffer is there: the second one of that, those of its headers, and if it has data the one in front of them and one with data. It
// goes once into a routine.
func Packet(m, data, scratch reg.GPPhysical) {
	Headers(m, data, scratch)
	Own(m, Size)
	CMPW(Mem{Base: m, Disp: dataLen}, Imm(2*Size-1))
	JBE(LabelRef("small"))
	Own(data, -Size)
	Own(data, 2*Size)
	Label("small")
}
