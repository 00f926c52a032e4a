package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// sum is an unreduced sum of products. The middle part lacks the other two, which
// reduce adds (Karatsuba).
type sum struct{ lo, mi, hi reg.VecPhysical }

// xmm is the lowest lane of the sum.
func (s sum) xmm() sum { return sum{xmm(s.lo), xmm(s.mi), xmm(s.hi)} }

func xmm(v reg.VecPhysical) reg.VecPhysical { return v.AsX().(reg.VecPhysical) }

// factor is what a vector is multiplied by: powers of H in a register, which is
// spoiled, or in memory with the sum of each one's halves.
type factor struct {
	register    reg.VecPhysical
	power, half Mem
}

// power is the place of H^n in a key, half that of the sum of its halves.
func power(n int) Mem { return Mem{Base: key, Disp: keyH1 - 16*(n-1)} }
func half(n int) Mem  { return Mem{Base: key, Disp: keyHalf1 - 8*(n-1)} }

// multiply returns the instructions that add the product of x and h to s, or set s
// to it if it is the first. They spoil x and t. Each product takes three
// multiplications, as these are what the core has least room for.
func (s sum) multiply(first bool, x reg.VecPhysical, h factor, t reg.VecPhysical) []func() {
	var steps []func()
	do := func(f func()) { steps = append(steps, f) }
	var power, half Op = h.power, h.half
	if h.register != nil {
		power, half = h.register, h.register
	}
	if first {
		do(func() { VPCLMULQDQ(Imm(0x00), power, x, s.lo) })
		do(func() { VPCLMULQDQ(Imm(0x11), power, x, s.hi) })
	} else {
		do(func() { VPCLMULQDQ(Imm(0x00), power, x, t) })
		do(func() { VPXOR(t, s.lo, s.lo) })
		do(func() { VPCLMULQDQ(Imm(0x11), power, x, t) })
		do(func() { VPXOR(t, s.hi, s.hi) })
	}
	do(func() { VPSHUFD(Imm(0x4e), x, t) })
	do(func() { VPXOR(t, x, x) })
	if h.register != nil {
		do(func() { VPSHUFD(Imm(0x4e), h.register, t) })
		do(func() { VPXOR(t, h.register, h.register) })
	}
	if first {
		do(func() { VPCLMULQDQ(Imm(0x00), half, x, s.mi) })
	} else {
		do(func() { VPCLMULQDQ(Imm(0x00), half, x, x) })
		do(func() { VPXOR(x, s.mi, s.mi) })
	}
	return steps
}

// reduce returns the instructions that leave the sum modulo the polynomial, of
// each lane, in s.hi.
func (s sum) reduce(t reg.VecPhysical) []func() {
	return []func(){
		func() { VPXOR(s.lo, s.mi, s.mi) },
		func() { VPXOR(s.hi, s.mi, s.mi) },
		func() { VPCLMULQDQ(Imm(0x10), consts.poly, s.lo, t) },
		func() { VPSHUFD(Imm(0x4e), s.lo, s.lo) },
		func() { VPXOR(s.lo, s.mi, s.mi) },
		func() { VPXOR(t, s.mi, s.mi) },
		func() { VPCLMULQDQ(Imm(0x10), consts.poly, s.mi, t) },
		func() { VPSHUFD(Imm(0x4e), s.mi, s.mi) },
		func() { VPXOR(s.mi, s.hi, s.hi) },
		func() { VPXOR(t, s.hi, s.hi) },
	}
}

func emit(steps []func()) {
	for _, step := range steps {
		step()
	}
}

// spread moves a block from memory into each lane.
func (g gen) spread(from Mem, to reg.VecPhysical) {
	if g.lanes == 1 {
		VMOVDQU(from, to)
	} else {
		VBROADCASTI128(from, to)
	}
}

// fold leaves the sum of v's lanes in its lowest.
func (g gen) fold(v, t reg.VecPhysical) {
	if g.lanes == 2 {
		VEXTRACTI128(Imm(1), v, xmm(t))
		VPXOR(xmm(t), xmm(v), xmm(v))
	}
}
