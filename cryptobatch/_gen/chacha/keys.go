package main

import (
	"fmt"

	. "linecrypt/cryptobatch/_gen/layout"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// opAt sets op to the operation of the array ops that an index in memory names.
func opAt(index Mem, ops, op reg.GPPhysical) {
	MOVL(index, op.As32().(reg.GPPhysical))
	IMUL3Q(U32(OpSize), op, op)
	ADDQ(ops, op)
}

// chachaKeys writes the routine for one-time keys of n sets of operations.
func chachaKeys(name string, n int) {
	TEXT(name, NOSPLIT, "func(ops *byte, list *uint32, keys, scratch *byte)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s makes the one-time keys (RFC 8439, section 2.6) of the %d operations of the array ops that", name, 16*n),
		"list names: the first 32 bytes of block 0 of each go to keys, one behind the other.",
		fmt.Sprintf("scratch is %d bytes; it is left with the keys.", n*startSize+2*64))
	ops, list, scratch, keys := reg.R8, reg.R10, reg.R9, reg.R11
	Load(Param("ops"), ops)
	Load(Param("list"), list)
	Load(Param("scratch"), scratch)
	Load(Param("keys"), keys)
	alignUp(scratch)
	ss := sets(n)
	for i, s := range ss {
		s.gatherOps(ops, list, 16*i)
		s.keep(scratch)
	}
	rounds(ss)
	for i, s := range ss {
		s.storeKeys(scratch, keys, 16*i)
	}
	VZEROUPPER()
	RET()
}

// keyLane is which operation a block is for: two that are neighbours in a register in
// the end are neighbours in the list.
func keyLane(j, k int) int { return 8*(k/2) + 2*j + k%2 }

// gatherOps loads keys and nonces of sixteen operations, with a counter of zero.
func (s *set) gatherOps(ops, list reg.GPPhysical, first int) {
	op := []reg.GPPhysical{reg.RAX, reg.RBX, reg.RCX, reg.RDX}
	key := []reg.GPPhysical{reg.RSI, reg.RDI, reg.R12, reg.R13}
	for j := range 4 {
		for k := range 4 {
			opAt(Mem{Base: list, Disp: 4 * (first + keyLane(j, k))}, ops, op[k])
			MOVQ(Mem{Base: op[k], Disp: OpKey}, key[k])
		}
		gather(s.word[4+j], func(k int) Mem { return Mem{Base: key[k], Disp: KeyRaw} })
		gather(s.word[8+j], func(k int) Mem { return Mem{Base: key[k], Disp: KeyRaw + 16} })
		gather(s.word[12+j], func(k int) Mem { return Mem{Base: op[k], Disp: OpRow} })
	}
	s.turnRows()
	VPXORQ(s.word[12], s.word[12], s.word[12])
}

// storeKeys stores the first eight words of each block. The others are free.
func (s *set) storeKeys(scratch, keys reg.GPPhysical, first int) {
	addStart := addKept(scratch)
	for w := range 8 {
		addStart(s, w)
	}
	free := s.word[15]
	free = s.transposeWords(0, free)
	s.transposeWords(4, free)
	low, high, z := s.word[8], s.word[9], s.word[10]
	VMOVDQU64(lowPairs, low)
	VMOVDQU64(highPairs, high)
	for j := range 4 {
		at := func(k int) Mem { return Mem{Base: keys, Disp: 32 * (first + keyLane(j, k))} }
		VMOVDQA64(low, z)
		VPERMI2Q(s.word[4+j], s.word[j], z)
		VMOVDQU64(z, at(0))
		VMOVDQA64(high, z)
		VPERMI2Q(s.word[4+j], s.word[j], z)
		VMOVDQU64(z, at(2))
	}
}
