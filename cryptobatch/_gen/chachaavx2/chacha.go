package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Offsets in the Go type avx2Lane.
const (
	laneKey  = 0
	laneSrc  = 8
	laneDst  = 16
	laneLen  = 24
	laneRow  = 32 // counter and nonce
	laneSize = 48
)

// Eight blocks are worked at once, word i of all eight in one register: so a
// round needs no shuffles between columns and diagonals. Sixteen words leave no
// register for rotations, therefore two of the words 8 to 11 wait in the
// scratch memory at any time.
type state struct {
	*pool
	word [16]reg.VecPhysical // of 8 to 11, only 8 and 9 between double rounds
}

// Places in the scratch memory, which starts on a cache line.
const (
	startAt   = 0       // words 4 to 15 as they were before the rounds, from 128 on
	waitAt    = 16 * 32 // words 8 to 11 that wait
	streamAt  = 20 * 32 // eight blocks of key stream
	scratchSz = 36*32 + 64
)

var scratch = reg.R9

func start(word int) Mem { return Mem{Base: scratch, Disp: startAt + 32*word} }
func wait(word int) Mem  { return Mem{Base: scratch, Disp: waitAt + 32*(word-8)} }

func loadScratch() {
	Load(Param("scratch"), scratch)
	ADDQ(I8(63), scratch)
	ANDQ(I8(-64), scratch)
}

// rounds is as many double rounds as rcx says, of the ten. The chain of
// instructions is long and leaves most of the core idle: beside, if not nil, is
// called three times in each double round to use it.
func (s *state) rounds(beside func()) {
	if beside == nil {
		beside = func() {}
	}
	tmp := [2]reg.VecPhysical{s.take(), s.take()}
	c := [2]reg.VecPhysical{s.word[8], s.word[9]}
	s.word[10], s.word[11] = c[0], c[1]
	swap := func(out, in int) {
		for i := range c {
			VMOVDQA(c[i], wait(out+i))
			VMOVDQA(wait(in+i), c[i])
		}
	}
	loop := label("rounds")
	Label(loop)
	s.quarters(tmp, [4]int{0, 4, 8, 12}, [4]int{1, 5, 9, 13})
	beside()
	swap(8, 10)
	s.quarters(tmp, [4]int{2, 6, 10, 14}, [4]int{3, 7, 11, 15})
	beside()
	s.quarters(tmp, [4]int{0, 5, 10, 15}, [4]int{1, 6, 11, 12})
	beside()
	swap(10, 8)
	s.quarters(tmp, [4]int{2, 7, 8, 13}, [4]int{3, 4, 9, 14})
	DECQ(reg.RCX)
	JNZ(LabelRef(loop))
	s.give(tmp[:]...)
}

// quarters is two quarter rounds (RFC 8439, section 2.1), step by step.
func (s *state) quarters(tmp [2]reg.VecPhysical, words ...[4]int) {
	for _, step := range []struct{ sum, addend, mixed, by int }{{0, 1, 3, 16}, {2, 3, 1, 12}, {0, 1, 3, 8}, {2, 3, 1, 7}} {
		for _, q := range words {
			VPADDD(s.word[q[step.addend]], s.word[q[step.sum]], s.word[q[step.sum]])
		}
		for _, q := range words {
			VPXOR(s.word[q[step.sum]], s.word[q[step.mixed]], s.word[q[step.mixed]])
		}
		switch step.by {
		case 16, 8:
			for _, q := range words {
				VPSHUFB(map[int]Mem{16: rot16, 8: rot8}[step.by], s.word[q[step.mixed]], s.word[q[step.mixed]])
			}
		default:
			for i, q := range words {
				VPSLLD(U8(step.by), s.word[q[step.mixed]], tmp[i])
			}
			for _, q := range words {
				VPSRLD(U8(32-step.by), s.word[q[step.mixed]], s.word[q[step.mixed]])
			}
			for i, q := range words {
				VPOR(tmp[i], s.word[q[step.mixed]], s.word[q[step.mixed]])
			}
		}
	}
}

// halves adds what the state began with and passes on the blocks, half by half:
// first the 32 bytes from 0 on of each block, then those from 32 on. The
// register is free afterwards.
func (s *state) halves(emit func(block, half int, y reg.VecPhysical)) {
	for half := range 2 {
		if half == 1 {
			s.word[10], s.word[11] = s.take(), s.take()
			VMOVDQA(wait(10), s.word[10])
			VMOVDQA(wait(11), s.word[11])
		}
		var rows [2]row
		for i := range rows {
			copy(rows[i][:], s.word[8*half+4*i:])
			for j, y := range rows[i] {
				if w := 8*half + 4*i + j; w < 4 {
					VPADDD(sigma[w], y, y)
				} else {
					VPADDD(start(w), y, y)
				}
			}
			rows[i] = s.transpose(rows[i])
		}
		for k := range 4 {
			first, second := rows[0][k], rows[1][k]
			t := s.take()
			VPERM2I128(U8(0x20), second, first, t)
			VPERM2I128(U8(0x31), second, first, first)
			emit(k, half, t)
			emit(k+4, half, first)
			s.give(t, first, second)
		}
	}
}

// chachaLanes works eight blocks of any operations.
func chachaLanes() {
	TEXT("chachaLanes8AVX2", NOSPLIT, "func(lanes, feed, scratch *byte)")
	Pragma("noescape")
	Doc("chachaLanes8AVX2 works eight blocks of ChaCha20 (RFC 8439, section 2.3): for each lane it writes",
		"the first n bytes of src, exclusive-or the key stream, to dst, one lane after the other.",
		"lanes are eight of avx2Lane. feed is nil or an avx2Poly, with all its fields set and at least 48 bytes",
		"of text, of which it absorbs up to 480. scratch is 1216 bytes, left with secrets.")
	lanes := reg.R8
	Load(Param("lanes"), lanes)
	loadScratch()
	s := &state{pool: allRegisters()}
	s.gather(lanes)
	s.roundsFed()
	Load(Param("lanes"), lanes)
	s.halves(func(block, half int, y reg.VecPhysical) {
		VMOVDQA(y, Mem{Base: scratch, Disp: streamAt + 64*block + 32*half})
	})
	emitLanes(lanes)
	VZEROUPPER()
	RET()
}

// roundsFed is all twenty rounds, as many of them as the feed has blocks for with
// three blocks beside each two.
func (s *state) roundsFed() {
	alone, done := label("alone"), label("mixed")
	fed := Mem{Base: scratch, Disp: streamAt} // not in use yet
	MOVQ(U32(10), reg.RCX)
	Load(Param("feed"), feed.lane)
	TESTQ(feed.lane, feed.lane)
	JZ(LabelRef(alone))
	feed.load()
	MOVQ(Mem{Base: feed.lane, Disp: polySegment + polyLeft}, reg.RCX)
	SHRQ(U8(4), reg.RCX)
	MOVQ(U32(30), reg.RAX)
	CMPQ(reg.RCX, reg.RAX)
	CMOVQGT(reg.RAX, reg.RCX)
	IMUL3Q(U32(21846), reg.RCX, reg.RCX) // a third of up to 30, in 16 bits
	SHRQ(U8(16), reg.RCX)
	MOVQ(reg.RCX, fed)
	s.rounds(feed.next)
	feed.store()
	MOVQ(U32(10), reg.RCX)
	SUBQ(fed, reg.RCX)
	JZ(LabelRef(done))
	Label(alone)
	s.rounds(nil)
	Label(done)
}

// gather makes the states of eight lanes: keys, counters and nonces are loaded as
// they lie in memory and transposed.
func (s *state) gather(lanes reg.GPPhysical) {
	keys := []reg.GPPhysical{reg.RAX, reg.RBX, reg.RCX, reg.RDX, reg.RSI, reg.RDI, reg.R10, reg.R11}
	for j, r := range keys {
		MOVQ(Mem{Base: lanes, Disp: j*laneSize + laneKey}, r)
	}
	from := [4]func(int) Mem{
		nil,
		func(j int) Mem { return Mem{Base: keys[j]} },
		func(j int) Mem { return Mem{Base: keys[j], Disp: 16} },
		func(j int) Mem { return Mem{Base: lanes, Disp: j*laneSize + laneRow} },
	}
	for _, i := range []int{2, 1, 3} {
		var r row
		for j := range r {
			r[j] = s.take()
			VMOVDQU(from[i](j), r[j].AsX())
			VINSERTI128(U8(1), from[i](j+4), r[j], r[j])
		}
		r = s.transpose(r)
		for j, y := range r {
			VMOVDQA(y, start(4*i+j))
			s.word[4*i+j] = y
		}
		if i == 2 {
			VMOVDQA(r[2], wait(10))
			VMOVDQA(r[3], wait(11))
			s.give(r[2], r[3])
		}
	}
	s.loadSigma()
}

func (s *state) loadSigma() {
	for i := range sigma {
		s.word[i] = s.take()
		VMOVDQU(sigma[i], s.word[i])
	}
}

// emitLanes writes what the lanes ask for.
func emitLanes(lanes reg.GPPhysical) {
	stream, left := reg.R10, reg.R11
	n, src, dst := reg.RDX, reg.RSI, reg.RDI
	LEAQ(Mem{Base: scratch, Disp: streamAt}, stream)
	MOVQ(U32(8), left)
	loop, part, next := label("lane"), label("part"), label("next")
	Label(loop)
	MOVQ(Mem{Base: lanes, Disp: laneLen}, n)
	MOVQ(Mem{Base: lanes, Disp: laneSrc}, src)
	MOVQ(Mem{Base: lanes, Disp: laneDst}, dst)
	CMPQ(n, I8(64))
	JNE(LabelRef(part))
	for i := range 2 {
		y := []reg.VecPhysical{reg.Y0, reg.Y1}[i]
		VMOVDQA(Mem{Base: stream, Disp: 32 * i}, y)
		VPXOR(Mem{Base: src, Disp: 32 * i}, y, y)
	}
	VMOVDQU(reg.Y0, Mem{Base: dst})
	VMOVDQU(reg.Y1, Mem{Base: dst, Disp: 32})
	Label(next)
	ADDQ(I8(laneSize), lanes)
	ADDQ(I8(64), stream)
	DECQ(left)
	JNZ(LabelRef(loop))
	done := label("done")
	JMP(LabelRef(done))
	Label(part)
	emitPart(n, src, dst, stream)
	JMP(LabelRef(next))
	Label(done)
}

// emitPart writes n bytes, less than 64, by the bits of n.
func emitPart(n, src, dst, stream reg.GPPhysical) {
	at := reg.RBX
	MOVQ(stream, at)
	bit := func(size int, work func()) {
		skip := label("skip")
		TESTQ(U32(uint32(size)), n)
		JZ(LabelRef(skip))
		work()
		if size > 1 {
			ADDQ(I8(int8(size)), src)
			ADDQ(I8(int8(size)), dst)
			ADDQ(I8(int8(size)), at)
		}
		Label(skip)
	}
	from, to, key := Mem{Base: src}, Mem{Base: dst}, Mem{Base: at}
	bit(32, func() {
		VMOVDQU(key, reg.Y0)
		VPXOR(from, reg.Y0, reg.Y0)
		VMOVDQU(reg.Y0, to)
	})
	bit(16, func() {
		VMOVDQU(key, reg.X0)
		VPXOR(from, reg.X0, reg.X0)
		VMOVDQU(reg.X0, to)
	})
	bit(8, func() { MOVQ(key, reg.RAX); XORQ(from, reg.RAX); MOVQ(reg.RAX, to) })
	bit(4, func() { MOVL(key, reg.EAX); XORL(from, reg.EAX); MOVL(reg.EAX, to) })
	bit(2, func() { MOVW(key, reg.AX); XORW(from, reg.AX); MOVW(reg.AX, to) })
	bit(1, func() { MOVB(key, reg.AL); XORB(from, reg.AL); MOVB(reg.AL, to) })
}

// feedBytes is what is authenticated beside eight blocks of ChaCha20.
const feedBytes = 512

// chachaRun works a multiple of 512 bytes of one operation, which spares it the
// gathering and lanes made in Go, and authenticates as much of another one.
func chachaRun() {
	TEXT("chachaRun8AVX2", NOSPLIT, "func(lane, feed, scratch *byte)")
	Pragma("noescape")
	Doc("chachaRun8AVX2 works the text of one avx2Lane from its counter on; n is a multiple of 512, not 0,",
		"and left 0. feed is nil or an avx2Poly, with all its fields set and at least n bytes of text, of",
		"which it absorbs n. scratch is 1216 bytes, left with secrets.")
	lane, key, src, dst := reg.R8, reg.RAX, reg.RSI, reg.RDI
	Load(Param("lane"), lane)
	Load(Param("feed"), feed.lane)
	loadScratch()
	MOVQ(Mem{Base: lane, Disp: laneKey}, key)
	MOVQ(Mem{Base: lane, Disp: laneSrc}, src)
	MOVQ(Mem{Base: lane, Disp: laneDst}, dst)
	for w := 4; w < 16; w++ {
		from := Mem{Base: key, Disp: 4 * (w - 4)}
		if w >= 12 {
			from = Mem{Base: lane, Disp: laneRow + 4*(w-12)}
		}
		VPBROADCASTD(from, reg.Y0)
		if w == 12 {
			VPADDD(steps, reg.Y0, reg.Y0)
		}
		VMOVDQA(reg.Y0, start(w))
	}
	alone := label("alone")
	TESTQ(feed.lane, feed.lane)
	JZ(LabelRef(alone))
	feed.load()
	runLoop(src, dst, feed.chain.next)
	feed.store()
	VZEROUPPER()
	RET()
	Label(alone)
	runLoop(src, dst, nil)
	VZEROUPPER()
	RET()
}

// runLoop works 512 bytes at a time. Beside thirty of the calls of beside that
// the rounds make, two are made at the end, for 32 blocks of 16 bytes.
func runLoop(src, dst reg.GPPhysical, beside func()) {
	loop := label("run")
	Label(loop)
	s := &state{pool: allRegisters()}
	s.loadSigma()
	for w := 4; w < 16; w++ {
		if w == 10 || w == 11 {
			y := (*s.pool)[0]
			VMOVDQA(start(w), y)
			VMOVDQA(y, wait(w))
			continue
		}
		s.word[w] = s.take()
		VMOVDQA(start(w), s.word[w])
	}
	MOVQ(U32(10), reg.RCX)
	s.rounds(beside)
	s.halves(func(block, half int, y reg.VecPhysical) {
		at := 64*block + 32*half
		VPXOR(Mem{Base: src, Disp: at}, y, y)
		VMOVDQU(y, Mem{Base: dst, Disp: at})
		if beside != nil && block == 0 {
			beside()
		}
	})
	VMOVDQA(start(12), reg.Y0)
	VPADDD(eight, reg.Y0, reg.Y0)
	VMOVDQA(reg.Y0, start(12))
	ADDQ(U32(feedBytes), src)
	ADDQ(U32(feedBytes), dst)
	lane := reg.RDX
	Load(Param("lane"), lane)
	SUBQ(U32(feedBytes), Mem{Base: lane, Disp: laneLen})
	JNZ(LabelRef(loop))
}
