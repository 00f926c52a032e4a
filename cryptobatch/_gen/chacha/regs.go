package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// zmm names all 512-bit registers: the routines allocate them by hand, because
// they use every one and shuffle which value is where.
var zmm = []reg.VecPhysical{
	reg.Z0, reg.Z1, reg.Z2, reg.Z3, reg.Z4, reg.Z5, reg.Z6, reg.Z7,
	reg.Z8, reg.Z9, reg.Z10, reg.Z11, reg.Z12, reg.Z13, reg.Z14, reg.Z15,
	reg.Z16, reg.Z17, reg.Z18, reg.Z19, reg.Z20, reg.Z21, reg.Z22, reg.Z23,
	reg.Z24, reg.Z25, reg.Z26, reg.Z27, reg.Z28, reg.Z29, reg.Z30, reg.Z31,
}

// Constants in read-only data.
var (
	sigma     [4]Mem // "expand 32-byte k", each word sixteen times
	counters  Mem    // 0, 1, 2, 3 in each 128-bit lane
	numbers   Mem    // 0 to 15
	clampLo   Mem    // what Poly1305 keeps of r
	clampHi   Mem
	mask44    Mem
	mask42    Mem
	hiBit     Mem // the bit above a whole block, in limb 2
	five      Mem
	one       Mem
	under64   Mem
	chunk64   Mem
	blockEnd  [4]Mem // how many bytes of a chunk are behind each block
	lowTwo    Mem    // VPERMT2Q: quadwords 0 and 1 of four rows, column by column
	highTwo   Mem    // the same of quadwords 2 and 3
	lowPairs  Mem    // VPERMI2Q: 128-bit lanes 0 of two registers, then lanes 1
	highPairs Mem    // the same of lanes 2 and 3
	pairsLo   Mem    // VPERMT2Q: interleaves the low halves of two columns
	pairsHi   Mem
)

func constants() {
	for i, word := range []uint64{0x61707865, 0x3320646e, 0x79622d32, 0x6b206574} {
		sigma[i] = table(fmt.Sprint("sigma", i), 8, func(int) uint64 { return word<<32 | word })
	}
	// Block 4k+j is element j of 128-bit lane k.
	numbers = table("numbers", 8, func(i int) uint64 { return uint64(2*i+1)<<32 | uint64(2*i) })
	counters = table("counters", 8, func(i int) uint64 { return []uint64{1 << 32, 3<<32 | 2}[i&1] })
	clampLo = table("clamplo", 1, func(int) uint64 { return 0x0ffffffc0fffffff })
	clampHi = table("clamphi", 1, func(int) uint64 { return 0x0ffffffc0ffffffc })
	mask44 = table("mask44", 1, func(int) uint64 { return 1<<44 - 1 })
	mask42 = table("mask42", 1, func(int) uint64 { return 1<<42 - 1 })
	hiBit = table("hibit", 1, func(int) uint64 { return 1 << 40 })
	five = table("five", 1, func(int) uint64 { return 5 })
	one = table("one", 1, func(int) uint64 { return 1 })
	under64 = table("under64", 1, func(int) uint64 { return 63 })
	chunk64 = table("chunk64", 1, func(int) uint64 { return 64 })
	for j := range blockEnd {
		blockEnd[j] = table(fmt.Sprint("blockend", j), 1, func(int) uint64 { return uint64(48 - 16*j) })
	}
	lowTwo = table("lowtwo", 8, func(i int) uint64 { return [8]uint64{0, 4, 8, 12, 1, 5, 9, 13}[i] })
	highTwo = table("hightwo", 8, func(i int) uint64 { return [8]uint64{2, 6, 10, 14, 3, 7, 11, 15}[i] })
	lowPairs = table("lowpairs", 8, func(i int) uint64 { return [8]uint64{0, 1, 8, 9, 2, 3, 10, 11}[i] })
	highPairs = table("highpairs", 8, func(i int) uint64 { return [8]uint64{4, 5, 12, 13, 6, 7, 14, 15}[i] })
	pairsLo = table("pairslo", 8, func(i int) uint64 { return [8]uint64{0, 8, 1, 9, 2, 10, 3, 11}[i] })
	pairsHi = table("pairshi", 8, func(i int) uint64 { return [8]uint64{4, 12, 5, 13, 6, 14, 7, 15}[i] })
}

func table(name string, n int, value func(int) uint64) Mem {
	m := GLOBL("cc_"+name, 8|16) // RODATA|NOPTR
	for i := range n {
		DATA(8*i, U64(value(i)))
	}
	return m
}

// transpose4 treats a to d as four rows of four 128-bit elements and returns
// the registers that hold the columns; the values of all and of t are gone.
// The fifth result is free afterwards.
func transpose4(a, b, c, d, t reg.VecPhysical) (cols [4]reg.VecPhysical, free reg.VecPhysical) {
	VSHUFI32X4(U8(0x44), b, a, t) // a0 a1 b0 b1
	VSHUFI32X4(U8(0xee), b, a, a) // a2 a3 b2 b3
	VSHUFI32X4(U8(0x44), d, c, b)
	VSHUFI32X4(U8(0xee), d, c, c)
	VSHUFI32X4(U8(0x88), b, t, d) // a0 b0 c0 d0
	VSHUFI32X4(U8(0xdd), b, t, b)
	VSHUFI32X4(U8(0x88), c, a, t)
	VSHUFI32X4(U8(0xdd), c, a, a)
	return [4]reg.VecPhysical{d, b, t, a}, c
}

// tailMask sets k to the lowest n bits, n at most 64; ones holds -1, tmp is lost.
func tailMask(n, ones, tmp reg.GPPhysical, k reg.OpmaskPhysical) {
	BZHIQ(n, ones, tmp)
	KMOVQ(tmp, k)
}

// alignUp moves a pointer to the next cache line: what crosses two lines costs
// two loads. Scratch memory is 64 bytes longer for that.
func alignUp(p reg.GPPhysical) {
	ADDQ(I8(63), p)
	ANDQ(I8(-64), p)
}

var labels int

// label returns a name not used yet in this file.
func label(what string) string {
	labels++
	return fmt.Sprintf("%s_%d", what, labels)
}
