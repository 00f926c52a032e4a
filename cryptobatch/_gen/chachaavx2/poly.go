package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Offsets in the Go type avx2Poly. A message is two segments, each of which is
// padded to whole blocks: the associated data and, 24 bytes behind, the text. The
// pointers stay where a segment begins, because the garbage collector knows them
// and one to the end might be into nothing.
const (
	polyPtr     = 0
	polyLeft    = 8
	polyLen     = 16
	polySegment = 24
	polyH       = 48
	polyR0      = 72
	polyR1      = 80
	polyS1      = 88
	polySize    = 104
)

// chain is one of the two messages. A block costs a chain of about sixteen
// dependent cycles and six of the multiplier, so two chains nearly double what
// one does; a third has no registers.
type chain struct {
	lane   int               // offset of its avx2Poly
	key    int               // offset of its one-time key
	h      [3]reg.GPPhysical // 64, 64 and a few bits
	tmp    [4]reg.GPPhysical
	ptr    reg.GPPhysical
	r0, r1 Mem // clamped r
	s1     Mem // r1*5/4: what r1*2^128 is modulo 2^130-5; r1 is a multiple of 4
	rest   Mem // blocks that the other chain does not have
	tail   Mem // bytes after the last whole block
}

var (
	t0, t1, t2, t3 = reg.RAX, reg.RBX, reg.RCX, reg.RSI
	temps          = [4]reg.GPPhysical{t0, t1, t2, t3}
	count          = reg.R14
)

// feed is the chain that is worked beside ChaCha20. What it needs is in its
// avx2Poly; rsi, rdi, r9 and rcx are not its.
var feed = feeder{
	lane: reg.R15,
	chain: chain{
		h:   [3]reg.GPPhysical{reg.R10, reg.R11, reg.R12},
		tmp: [4]reg.GPPhysical{reg.RAX, reg.RBX, reg.R8, reg.R13},
		ptr: reg.R14,
		r0:  Mem{Base: reg.R15, Disp: polyR0},
		r1:  Mem{Base: reg.R15, Disp: polyR1},
		s1:  Mem{Base: reg.R15, Disp: polyS1},
	},
}

type feeder struct {
	chain
	lane reg.GPPhysical
}

func (f feeder) load() {
	MOVQ(Mem{Base: f.lane, Disp: polySegment + polyPtr}, f.ptr)
	ADDQ(Mem{Base: f.lane, Disp: polySegment + polyLen}, f.ptr)
	SUBQ(Mem{Base: f.lane, Disp: polySegment + polyLeft}, f.ptr)
	for i, h := range f.h {
		MOVQ(Mem{Base: f.lane, Disp: polyH + 8*i}, h)
	}
}

// store keeps h and cuts off what was absorbed.
func (f feeder) store() {
	for i, h := range f.h {
		MOVQ(h, Mem{Base: f.lane, Disp: polyH + 8*i})
	}
	SUBQ(Mem{Base: f.lane, Disp: polySegment + polyPtr}, f.ptr)
	SUBQ(Mem{Base: f.lane, Disp: polySegment + polyLen}, f.ptr)
	NEGQ(f.ptr)
	MOVQ(f.ptr, Mem{Base: f.lane, Disp: polySegment + polyLeft})
}

// next absorbs the next block of the text.
func (c chain) next() {
	c.absorb(Mem{Base: c.ptr}, Mem{Base: c.ptr, Disp: 8})
	ADDQ(I8(16), c.ptr)
}

// polyPair writes Poly1305 for two messages of the AEAD construction.
func polyPair() {
	TEXT("polyPairAVX2", NOSPLIT, "func(lanes, keys, tags *byte)")
	Pragma("noescape")
	Doc("polyPairAVX2 computes the tags (RFC 8439, sections 2.5 and 2.8) of two messages, each under its own",
		"one-time key, from h on. Messages of one length cost least; the time does not depend on what is in them.",
		"lanes are two of avx2Poly, keys two times 32 bytes, tags takes two times 16.")
	frame := AllocLocal(12 * 8)
	local := func(i int) Mem { return frame.Offset(8 * i) }
	a := chain{lane: 0, key: 0, h: [3]reg.GPPhysical{reg.RDI, reg.R8, reg.R9}, tmp: temps, ptr: reg.R13,
		r0: local(0), r1: local(1), s1: local(2), rest: local(6), tail: local(8)}
	b := chain{lane: polySize, key: 32, h: [3]reg.GPPhysical{reg.R10, reg.R11, reg.R12}, tmp: temps, ptr: reg.R15,
		r0: local(3), r1: local(4), s1: local(5), rest: local(7), tail: local(9)}
	lanes, pass := local(10), local(11)

	Load(Param("keys"), count)
	a.begin(count)
	b.begin(count)
	Load(Param("lanes"), count)
	for _, c := range []chain{a, b} {
		for i, h := range c.h {
			MOVQ(Mem{Base: count, Disp: c.lane + polyH + 8*i}, h)
		}
	}
	MOVQ(count, lanes)
	MOVQ(U32(2), pass)
	segment := label("segment")
	Label(segment)
	segments(a, b, lanes)
	ADDQ(I8(polySegment), lanes)
	DECQ(pass)
	JNZ(LabelRef(segment))

	Load(Param("lanes"), count)
	for _, c := range []chain{a, b} {
		c.absorb(Mem{Base: count, Disp: c.lane + polyLen}, Mem{Base: count, Disp: c.lane + polySegment + polyLen})
	}
	Load(Param("keys"), a.ptr)
	Load(Param("tags"), b.ptr)
	a.finish(a.ptr, Mem{Base: b.ptr})
	b.finish(a.ptr, Mem{Base: b.ptr, Disp: 16})
	XORQ(t0, t0)
	for i := range 6 {
		MOVQ(t0, local(i))
	}
	RET()
}

// begin clamps and keeps r.
func (c chain) begin(keys reg.GPPhysical) {
	MOVQ(U64(0x0ffffffc0fffffff), t0)
	ANDQ(Mem{Base: keys, Disp: c.key}, t0)
	MOVQ(t0, c.r0)
	MOVQ(U64(0x0ffffffc0ffffffc), t0)
	ANDQ(Mem{Base: keys, Disp: c.key + 8}, t0)
	MOVQ(t0, c.r1)
	MOVQ(t0, t1)
	SHRQ(U8(2), t1)
	ADDQ(t0, t1)
	MOVQ(t1, c.s1)
}

// segments absorbs one segment of each message: the blocks that both have side
// by side, then the others, then what is no whole block.
func segments(a, b chain, lanes Mem) {
	MOVQ(lanes, t0)
	for i, c := range []chain{a, b} {
		blocks := []reg.GPPhysical{t1, t2}[i]
		MOVQ(Mem{Base: t0, Disp: c.lane + polyLeft}, blocks)
		MOVQ(Mem{Base: t0, Disp: c.lane + polyPtr}, c.ptr)
		ADDQ(Mem{Base: t0, Disp: c.lane + polyLen}, c.ptr)
		SUBQ(blocks, c.ptr)
		MOVQ(blocks, t3)
		ANDQ(I8(15), t3)
		MOVQ(t3, c.tail)
		SHRQ(U8(4), blocks)
	}
	MOVQ(t1, count)
	CMPQ(t2, count)
	CMOVQLT(t2, count)
	SUBQ(count, t1)
	SUBQ(count, t2)
	MOVQ(t1, a.rest)
	MOVQ(t2, b.rest)
	blocks(a, b)
	for _, c := range []chain{a, b} {
		MOVQ(c.rest, count)
		blocks(c)
	}
	a.partial()
	b.partial()
}

// blocks absorbs count blocks in each of the chains.
func blocks(cs ...chain) {
	loop, none := label("blocks"), label("none")
	TESTQ(count, count)
	JZ(LabelRef(none))
	Label(loop)
	for _, c := range cs {
		c.next()
	}
	DECQ(count)
	JNZ(LabelRef(loop))
	Label(none)
}

// absorb is h = (h + lo + 2^64*hi + 2^128) * r, partly reduced: h stays below
// 5*2^128.
func (c chain) absorb(lo, hi Op) {
	h0, h1, h2 := c.h[0], c.h[1], c.h[2]
	t0, t1, t2, t3 := c.tmp[0], c.tmp[1], c.tmp[2], c.tmp[3]
	ADDQ(lo, h0)
	ADCQ(hi, h1)
	ADCQ(I8(1), h2)

	MOVQ(h0, reg.RDX)
	MULXQ(c.r0, t0, t1)
	MULXQ(c.r1, t2, t3)
	MOVQ(h1, reg.RDX)
	MULXQ(c.s1, h0, h1)
	ADDQ(h0, t0)
	ADCQ(h1, t1)
	MULXQ(c.r0, h0, h1)
	ADDQ(h0, t2)
	ADCQ(h1, t3)
	MOVQ(c.s1, reg.RDX)
	IMULQ(h2, reg.RDX)
	IMULQ(c.r0, h2)
	ADDQ(reg.RDX, t2)
	ADCQ(I8(0), t3)
	ADDQ(t1, t2)
	ADCQ(t3, h2)

	// What is above 2^130 returns five times.
	MOVQ(h2, t1)
	MOVQ(h2, t3)
	ANDQ(I8(3), h2)
	SHRQ(U8(2), t1)
	ANDQ(I8(-4), t3)
	ADDQ(t3, t1)
	MOVQ(t0, h0)
	MOVQ(t2, h1)
	ADDQ(t1, h0)
	ADCQ(I8(0), h1)
	ADCQ(I8(0), h2)
}

// partial absorbs the tail, which is padded with zeros, if there is one. It reads
// no byte outside: numbers of 8, 4 or 1 bytes that overlap.
func (c chain) partial() {
	none, small, tiny, join := label("whole"), label("small"), label("tiny"), label("join")
	n, lo, hi, shift := t2, t0, t1, t3
	MOVQ(c.tail, n)
	TESTQ(n, n)
	JZ(LabelRef(none))
	CMPQ(n, I8(8))
	JLT(LabelRef(small))
	MOVQ(Mem{Base: c.ptr}, lo)
	MOVQ(Mem{Base: c.ptr, Index: n, Scale: 1, Disp: -8}, hi)
	MOVQ(U32(16*8-1), shift)
	SHLQ(U8(3), n)
	SUBQ(n, shift)
	SHRQ(U8(1), hi)
	SHRXQ(shift, hi, hi)
	JMP(LabelRef(join))

	Label(small)
	XORQ(hi, hi)
	CMPQ(n, I8(4))
	JLT(LabelRef(tiny))
	MOVL(Mem{Base: c.ptr}, lo.As32())
	MOVL(Mem{Base: c.ptr, Index: n, Scale: 1, Disp: -4}, reg.EDX)
	MOVQ(n, shift)
	SHLQ(U8(3), shift)
	SUBQ(I8(32), shift)
	SHLXQ(shift, reg.RDX, reg.RDX)
	ORQ(reg.RDX, lo)
	JMP(LabelRef(join))

	Label(tiny)
	MOVBLZX(Mem{Base: c.ptr}, lo.As32())
	MOVBLZX(Mem{Base: c.ptr, Index: n, Scale: 1, Disp: -1}, reg.EDX)
	MOVQ(n, shift)
	SHLQ(U8(3), shift)
	SUBQ(I8(8), shift)
	SHLXQ(shift, reg.RDX, reg.RDX)
	ORQ(reg.RDX, lo)
	SHRQ(U8(1), n)
	MOVBLZX(Mem{Base: c.ptr, Index: n, Scale: 1}, reg.EDX)
	SHLQ(U8(3), n)
	SHLXQ(n, reg.RDX, reg.RDX)
	ORQ(reg.RDX, lo)

	Label(join)
	c.absorb(lo, hi)
	Label(none)
}

// finish reduces h to below 2^130-5, adds s and writes the tag.
func (c chain) finish(keys reg.GPPhysical, tag Mem) {
	h0, h1, h2 := c.h[0], c.h[1], c.h[2]
	MOVQ(h0, t0)
	MOVQ(h1, t1)
	MOVQ(h2, t2)
	SUBQ(I8(-5), t0)
	SBBQ(I8(-1), t1)
	SBBQ(I8(3), t2)
	CMOVQCC(t0, h0)
	CMOVQCC(t1, h1)
	ADDQ(Mem{Base: keys, Disp: c.key + 16}, h0)
	ADCQ(Mem{Base: keys, Disp: c.key + 24}, h1)
	MOVQ(h0, tag)
	tag.Disp += 8
	MOVQ(h1, tag)
}
