package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Constants in read-only data, 32 bytes each.
var (
	sigma [4]Mem // the words of "expand 32-byte k", eight times each
	rot16 Mem    // VPSHUFB: rotates 32-bit words left by 16
	rot8  Mem
	steps Mem // 0 to 7: the counters of eight blocks
	eight Mem
)

func constants() {
	for i, word := range []uint32{0x61707865, 0x3320646e, 0x79622d32, 0x6b206574} {
		sigma[i] = table(fmt.Sprintf("sigma%d", i), func(int) uint32 { return word })
	}
	rot16 = table("rot16", func(i int) uint32 { return 0x01000302 + uint32(i&3)*0x04040404 })
	rot8 = table("rot8", func(i int) uint32 { return 0x02010003 + uint32(i&3)*0x04040404 })
	steps = table("steps", func(i int) uint32 { return uint32(i) })
	eight = table("eight", func(int) uint32 { return 8 })
}

func table(name string, value func(int) uint32) Mem {
	m := GLOBL("ccavx2_"+name, 8|16) // RODATA|NOPTR
	for i := range 8 {
		DATA(4*i, U32(value(i)))
	}
	return m
}

// pool hands out the sixteen vector registers: values move between registers
// as they are transposed, and the generator keeps book of which is where.
type pool []reg.VecPhysical

func allRegisters() *pool {
	return &pool{
		reg.Y0, reg.Y1, reg.Y2, reg.Y3, reg.Y4, reg.Y5, reg.Y6, reg.Y7,
		reg.Y8, reg.Y9, reg.Y10, reg.Y11, reg.Y12, reg.Y13, reg.Y14, reg.Y15,
	}
}

func (p *pool) take() reg.VecPhysical {
	y := (*p)[0]
	*p = (*p)[1:]
	return y
}

func (p *pool) give(ys ...reg.VecPhysical) { *p = append(*p, ys...) }

// row is four words of a state, or four columns of blocks.
type row [4]reg.VecPhysical

// transpose turns four registers that hold 4x4 words in each 128-bit half; it is
// its own inverse. It needs one more register, so the values change places.
func (p *pool) transpose(r row) row {
	t := p.take()
	a, b, c, d := r[0], r[1], r[2], r[3]
	VPUNPCKLDQ(b, a, t)
	VPUNPCKHDQ(b, a, a)
	VPUNPCKLDQ(d, c, b)
	VPUNPCKHDQ(d, c, c)
	VPUNPCKLQDQ(b, t, d)
	VPUNPCKHQDQ(b, t, t)
	VPUNPCKLQDQ(c, a, b)
	VPUNPCKHQDQ(c, a, a)
	p.give(c)
	return row{d, t, b, a}
}

var labels int

// label returns a name not used yet in this file.
func label(what string) string {
	labels++
	return fmt.Sprintf("%s_%d", what, labels)
}
