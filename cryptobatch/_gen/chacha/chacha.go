package main

import (
	"fmt"
	"slices"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Offsets in the Go type chachaLane.
const (
	laneKey  = 0
	laneSrc  = 8
	laneDst  = 16
	laneLen  = 24
	laneRow  = 32
	laneSize = 48
)

// set is sixteen blocks of ChaCha20: word i of all of them in one register. So a
// round needs no shuffles, and two sets, which fill all registers, are eight
// quarter rounds that do not wait for each other: about what hides that an
// instruction takes two cycles where the core starts four in one.
//
// Block 4k+j is element j of 128-bit lane k.
type set struct {
	word [16]reg.VecPhysical
	at   int // in the scratch memory
}

// startSize is what a set keeps in the scratch memory: words 4 to 15 as they were
// before the rounds.
const startSize = 12 * 64

// sets returns the first n sets of registers.
func sets(n int) []*set {
	ss := make([]*set, n)
	for i := range ss {
		ss[i] = &set{at: i * startSize}
		copy(ss[i].word[:], zmm[16*i:])
	}
	return ss
}

func (s *set) start(scratch reg.GPPhysical, word int) Mem {
	return Mem{Base: scratch, Disp: s.at + 64*(word-4)}
}

// addKept returns what adds what a word was before the rounds.
func addKept(scratch reg.GPPhysical) func(s *set, w int) {
	return func(s *set, w int) {
		if w < 4 {
			VPADDD(sigma[w], s.word[w], s.word[w])
		} else {
			VPADDD(s.start(scratch, w), s.word[w], s.word[w])
		}
	}
}

// keep stores the rows that came from memory, and loads the one that did not.
func (s *set) keep(scratch reg.GPPhysical) {
	for w := 4; w < 16; w++ {
		VMOVDQU64(s.word[w], s.start(scratch, w))
	}
	s.loadSigma()
}

func (s *set) loadSigma() {
	for w := range 4 {
		VMOVDQU64(sigma[w], s.word[w])
	}
}

// chachaLanes writes a routine that works n sets of blocks of any operations.
func chachaLanes(name string, n int) {
	TEXT(name, NOSPLIT, "func(lanes, scratch *byte)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s works %d blocks of ChaCha20 (RFC 8439, section 2.3): for each lane it writes", name, 16*n),
		"the first n bytes of src, exclusive-or the key stream, to dst, one lane after the other.",
		fmt.Sprintf("lanes are %d of chachaLane, scratch %d bytes; it is left with the keys.", 16*n, n*startSize+2*64))
	lanes, scratch := reg.R8, reg.R9
	Load(Param("lanes"), lanes)
	Load(Param("scratch"), scratch)
	alignUp(scratch)
	ss := sets(n)
	for i, s := range ss {
		s.gatherLanes(lanes, 16*i)
		s.keep(scratch)
	}
	rounds(ss)
	finish(ss, scratch, addKept(scratch), func(i int, blocks [16]reg.VecPhysical, free reg.VecPhysical) {
		emitLanes(blocks, free, lanes, 16*i)
	})
	VZEROUPPER()
	RET()
}

// gatherLanes loads keys, counters and nonces of sixteen lanes. They come as rows
// of four words, four lanes side by side, and are turned into words.
func (s *set) gatherLanes(lanes reg.GPPhysical, first int) {
	keys := []reg.GPPhysical{reg.RAX, reg.RBX, reg.RCX, reg.RDX}
	for j := range 4 {
		lane := func(k int) int { return (first + 4*k + j) * laneSize }
		for k, r := range keys {
			MOVQ(Mem{Base: lanes, Disp: lane(k) + laneKey}, r)
		}
		gather(s.word[4+j], func(k int) Mem { return Mem{Base: keys[k]} })
		gather(s.word[8+j], func(k int) Mem { return Mem{Base: keys[k], Disp: 16} })
		gather(s.word[12+j], func(k int) Mem { return Mem{Base: lanes, Disp: lane(k) + laneRow} })
	}
	s.turnRows()
}

// turnRows turns rows 1 to 3 of the blocks, as they were gathered, into words.
func (s *set) turnRows() {
	for w := 4; w < 16; w += 4 {
		s.word[0] = s.transposeWords(w, s.word[0])
	}
}

// gather loads four 128-bit values into one register.
func gather(z reg.VecPhysical, from func(int) Mem) {
	VMOVDQU32(from(0), z.AsX())
	for j := 1; j < 4; j++ {
		VINSERTI32X4(U8(j), from(j), z, z)
	}
}

// transposeWords turns the registers of words w to w+3, four rows of four words in
// each 128-bit lane, around. It takes a free register and returns one that is.
func (s *set) transposeWords(w int, t reg.VecPhysical) (free reg.VecPhysical) {
	a, b, c, d := s.word[w], s.word[w+1], s.word[w+2], s.word[w+3]
	VPUNPCKLDQ(b, a, t) // a0 b0 a1 b1
	VPUNPCKHDQ(b, a, a)
	VPUNPCKLDQ(d, c, b)
	VPUNPCKHDQ(d, c, c)
	VPUNPCKLQDQ(b, t, d) // a0 b0 c0 d0
	VPUNPCKHQDQ(b, t, t)
	VPUNPCKLQDQ(c, a, b)
	VPUNPCKHQDQ(c, a, a)
	copy(s.word[w:], []reg.VecPhysical{d, t, b, a})
	return c
}

// rounds is all of the twenty rounds; rcx is lost.
func rounds(ss []*set) {
	MOVQ(U32(10), reg.RCX)
	loop := label("rounds")
	Label(loop)
	doubleRound(ss)
	DECQ(reg.RCX)
	JNZ(LabelRef(loop))
}

// setLag is by how many steps a set is behind the one before it in the order of
// instructions. On a Zen 5 core this takes 6 % off the loop: the rotations of a set,
// which only two of the four units do, meet the additions of another.
const setLag = 13

// doubleRound is RFC 8439, section 2.3: a column round, then a diagonal round.
func doubleRound(ss []*set) {
	steps := roundSteps()
	for t := range len(steps) + setLag*(len(ss)-1) {
		for i, s := range ss {
			if at := t - setLag*i; at >= 0 && at < len(steps) {
				steps[at](s)
			}
		}
	}
}

// roundSteps is a double round, step by step: four instructions of which none waits
// for another.
func roundSteps() (steps []func(*set)) {
	for diagonal := range 2 {
		for _, q := range []struct{ sum, addend, mixed, by int }{{0, 4, 12, 16}, {8, 12, 4, 12}, {0, 4, 12, 8}, {8, 12, 4, 7}} {
			each := func(f func(sum, addend, mixed reg.VecPhysical)) {
				steps = append(steps, func(s *set) {
					// Word i of a row, of column i or of the diagonal that begins in it.
					word := func(row, i int) reg.VecPhysical { return s.word[row+(i+diagonal*row/4)%4] }
					for i := range 4 {
						f(word(q.sum, i), word(q.addend, i), word(q.mixed, i))
					}
				})
			}
			each(func(sum, addend, _ reg.VecPhysical) { VPADDD(addend, sum, sum) })
			each(func(sum, _, mixed reg.VecPhysical) { VPXORD(sum, mixed, mixed) })
			each(func(_, _, mixed reg.VecPhysical) { VPROLD(U8(q.by), mixed, mixed) })
		}
	}
	return steps
}

// finish adds what the sets began with, turns words into blocks and passes them
// on, set by set. One register is missing for that: a word of the last set waits in
// the scratch memory, behind what the sets keep there, until others are free.
func finish(ss []*set, scratch reg.GPPhysical, addStart func(s *set, word int), emit func(set int, blocks [16]reg.VecPhysical, free reg.VecPhysical)) {
	last := ss[len(ss)-1]
	waits := Mem{Base: scratch, Disp: len(ss) * startSize}
	free := last.word[15]
	VMOVDQU64(free, waits)
	for i, s := range ss {
		if s == last {
			s.word[15] = spareFor(s, free)
			VMOVDQU64(waits, s.word[15])
		}
		for w := range s.word {
			addStart(s, w)
		}
		for w := 0; w < 16; w += 4 {
			free = s.transposeWords(w, free)
		}
		var blocks [16]reg.VecPhysical
		for j := range 4 {
			var cols [4]reg.VecPhysical
			cols, free = transpose4(s.word[j], s.word[4+j], s.word[8+j], s.word[12+j], free)
			for k, block := range cols {
				blocks[4*k+j] = block
			}
		}
		emit(i, blocks, free)
	}
}

// spareFor returns a register that neither the set nor free is.
func spareFor(s *set, free reg.VecPhysical) reg.VecPhysical {
	for _, z := range zmm {
		if z != free && !slices.Contains(s.word[:15], z) {
			return z
		}
	}
	panic("no register")
}

// emitLanes writes what sixteen lanes ask for.
func emitLanes(blocks [16]reg.VecPhysical, free reg.VecPhysical, lanes reg.GPPhysical, first int) {
	ones, tmp, n, src, dst := reg.RBX, reg.RCX, reg.RDX, reg.RSI, reg.RDI
	MOVQ(I32(-1), ones)
	for i, block := range blocks {
		at := (first + i) * laneSize
		MOVQ(Mem{Base: lanes, Disp: at + laneLen}, n)
		MOVQ(Mem{Base: lanes, Disp: at + laneSrc}, src)
		MOVQ(Mem{Base: lanes, Disp: at + laneDst}, dst)
		tailMask(n, ones, tmp, reg.K1)
		VMOVDQU8_Z(Mem{Base: src}, reg.K1, free)
		VPXORQ(free, block, block)
		VMOVDQU8(block, reg.K1, Mem{Base: dst})
	}
}
