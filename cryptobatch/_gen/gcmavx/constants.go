package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

// consts are the constants in read-only data.
var consts struct {
	swap     Mem // byte order of each block of a vector reversed
	poly     Mem // the polynomial in each lane of a vector, for reduce
	counters Mem // counters 2, 3, ... of eight vectors, modulo the blocks in these
	one      Mem // counter 1, one block
	lessTag  Mem // what to add to the length of text with a tag, in a block's first half
	edge     Mem // masks for blocks of which some bytes count, see edgeBytes
}

func (g gen) constants(engine string) {
	prefix := "gcm" + engine
	consts.swap = g.bytesOf(prefix+"Swap", g.inEachLane(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0))
	consts.poly = g.bytesOf(prefix+"Poly", g.inEachLane(1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xc2))
	counters := make([]byte, 8*g.bytes())
	for i := range 8 * g.lanes {
		counters[16*i+15] = byte((2 + i) % (8 * g.lanes))
	}
	consts.counters = g.bytesOf(prefix+"Counters", counters)
	consts.one = g.bytesOf(prefix+"One", append(make([]byte, 15), 1))
	consts.lessTag = g.bytesOf(prefix+"LessTag", []byte{0xf0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 15: 0})
	consts.edge = g.bytesOf(prefix+"Edge", edgeBytes())
}

// The masks in consts.edge for r bytes, 0 to 16, start r bytes into these.
const (
	edgeRaise  = 0  // moves the first r bytes to the end of the block
	edgeLower  = 16 // moves what is behind the first r bytes to the start
	edgeToHash = 48 // makes of the last r bytes, with zeros behind them, a block for GHASH
)

func edgeBytes() []byte {
	const none = 0x80
	b := make([]byte, 80)
	for i := range 16 {
		b[i], b[32+i], b[48+i] = none, none, none
		b[16+i], b[64+i] = byte(i), byte(15-i)
	}
	return b
}

func (g gen) inEachLane(block ...byte) []byte {
	if g.lanes == 1 {
		return block
	}
	return append(block, block...)
}

func (g gen) bytesOf(name string, b []byte) Mem {
	m := GLOBL(name, 8|16) // RODATA|NOPTR
	for i, x := range b {
		DATA(i, U8(x))
	}
	return m
}
