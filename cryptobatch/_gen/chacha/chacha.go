package main

import (
	"fmt"

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

// group is four blocks of ChaCha20: row i of the four states in register i, one
// block in each 128-bit lane. In this layout a round is twelve instructions and
// three that rotate the rows by one, two and three columns, and a lane can take
// any key, nonce and counter by a plain load.
type group [4]reg.VecPhysical

// chachaLanes writes a routine that works 4*groups blocks at once: for each lane
// dst[:n] = src[:n] ^ block(key, counter, nonce). Eight groups fill all registers:
// that many because one round is a chain of twelve dependent instructions. Two
// groups take about half as long, for what does not fill eight.
func chachaLanes(name string, groups int) {
	n := 4 * groups
	TEXT(name, NOSPLIT, "func(lanes, scratch *byte)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s works %d blocks of ChaCha20 (RFC 8439, section 2.3): for each lane it writes", name, n),
		"the first n bytes of src, exclusive-or the key stream, to dst, one lane after the other.",
		fmt.Sprintf("lanes are %d of chachaLane, scratch %d bytes; it is left with the keys.", n, groups*3*64+64))
	lanes, scratch := reg.R8, reg.R9
	Load(Param("lanes"), lanes)
	Load(Param("scratch"), scratch)
	alignUp(scratch)

	gs := make([]group, groups)
	for i := range gs {
		copy(gs[i][:], zmm[4*i:])
		loadGroup(gs[i], lanes, scratch, i)
	}

	rounds(gs)
	for i, g := range gs {
		VPADDD(sigma, g[0], g[0])
		for row := 1; row < 4; row++ {
			VPADDD(start(scratch, i, row), g[row], g[row])
		}
	}
	emitGroups(gs, lanes, scratch)
	VZEROUPPER()
	RET()
}

// start is where the rows that group i began with are kept.
func start(scratch reg.GPPhysical, i, row int) Mem {
	return Mem{Base: scratch, Disp: (3*i + row - 1) * 64}
}

func loadGroup(g group, lanes, scratch reg.GPPhysical, i int) {
	keys := []reg.GPPhysical{reg.RAX, reg.RBX, reg.RCX, reg.RDX}
	for j, r := range keys {
		MOVQ(Mem{Base: lanes, Disp: (4*i+j)*laneSize + laneKey}, r)
	}
	VMOVDQU64(sigma, g[0])
	gather(g[1], func(j int) Mem { return Mem{Base: keys[j]} })
	gather(g[2], func(j int) Mem { return Mem{Base: keys[j], Disp: 16} })
	gather(g[3], func(j int) Mem { return Mem{Base: lanes, Disp: (4*i+j)*laneSize + laneRow} })
	for row := 1; row < 4; row++ {
		VMOVDQU64(g[row], start(scratch, i, row))
	}
}

// gather loads four 128-bit values into one register.
func gather(z reg.VecPhysical, from func(int) Mem) {
	VMOVDQU32(from(0), z.AsX())
	for j := 1; j < 4; j++ {
		VINSERTI32X4(U8(j), from(j), z, z)
	}
}

// rounds is all of the twenty rounds; rcx is lost.
func rounds(gs []group) {
	MOVQ(U32(10), reg.RCX)
	loop := label("rounds")
	Label(loop)
	doubleRound(gs)
	DECQ(reg.RCX)
	JNZ(LabelRef(loop))
}

// The groups are worked as streams of two, each three steps behind the one
// before: so additions, which four units do, meet rotations, which two do. On a
// Zen 5 core this takes 8 % off the loop; all groups in step take most.
const (
	streamGroups = 2
	streamLag    = 3
)

// doubleRound is RFC 8439, section 2.3: a column round, then a diagonal round.
func doubleRound(gs []group) {
	steps := roundSteps()
	streams := len(gs) / streamGroups
	for t := range len(steps) + streamLag*(streams-1) {
		for j := range streamGroups {
			for i := range streams {
				if at := t - streamLag*i; at >= 0 && at < len(steps) {
					steps[at](gs[i*streamGroups+j])
				}
			}
		}
	}
}

// roundSteps is a double round, instruction by instruction.
func roundSteps() (steps []func(group)) {
	for _, turn := range [][4]uint64{{0, 0x39, 0x4e, 0x93}, {0, 0x93, 0x4e, 0x39}} {
		for _, s := range []struct{ sum, addend, mixed, by int }{{0, 1, 3, 16}, {2, 3, 1, 12}, {0, 1, 3, 8}, {2, 3, 1, 7}} {
			steps = append(steps,
				func(g group) { VPADDD(g[s.addend], g[s.sum], g[s.sum]) },
				func(g group) { VPXORD(g[s.sum], g[s.mixed], g[s.mixed]) },
				func(g group) { VPROLD(U8(s.by), g[s.mixed], g[s.mixed]) })
		}
		for row := 3; row > 0; row-- {
			steps = append(steps, func(g group) { VPSHUFD(U8(turn[row]), g[row], g[row]) })
		}
	}
	return steps
}

// emitGroups turns rows into blocks and writes what the lanes ask for. There is
// no register left for that, so one waits in the scratch memory.
func emitGroups(gs []group, lanes, scratch reg.GPPhysical) {
	ones, tmp, n, src, dst := reg.RBX, reg.RCX, reg.RDX, reg.RSI, reg.RDI
	MOVQ(I32(-1), ones)
	last := gs[len(gs)-1]
	VMOVDQU64(last[3], Mem{Base: scratch})
	free := last[3]
	for i, g := range gs {
		if i == len(gs)-1 {
			g[3] = gs[0][0]
			if g[3] == free {
				g[3] = gs[0][1]
			}
			VMOVDQU64(Mem{Base: scratch}, g[3])
		}
		var cols [4]reg.VecPhysical
		cols, free = transpose4(g[0], g[1], g[2], g[3], free)
		for j, block := range cols {
			at := (4*i + j) * laneSize
			MOVQ(Mem{Base: lanes, Disp: at + laneLen}, n)
			MOVQ(Mem{Base: lanes, Disp: at + laneSrc}, src)
			MOVQ(Mem{Base: lanes, Disp: at + laneDst}, dst)
			tailMask(n, ones, tmp, reg.K1)
			VMOVDQU8_Z(Mem{Base: src}, reg.K1, free)
			VPXORQ(free, block, block)
			VMOVDQU8(block, reg.K1, Mem{Base: dst})
		}
	}
}

// chachaQuads writes a routine for groups that are four blocks of one operation
// one after the other, which spares it the gathering.
func chachaQuads(name string, groups int) {
	TEXT(name, NOSPLIT, "func(quads, spill *byte)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s works %d groups of four blocks of ChaCha20: like chachaLanes32, but each chachaLane", name, groups),
		"stands for four blocks from its counter on and up to 256 bytes of text.",
		"spill is 64 bytes; it is left with key stream.")
	quads, spill := reg.R8, reg.R9
	Load(Param("quads"), quads)
	Load(Param("spill"), spill)
	gs := make([]group, groups)
	for i := range gs {
		copy(gs[i][:], zmm[4*i:])
		loadQuad(gs[i], quads, i)
	}
	for i := range gs {
		prefetchQuad(quads, i)
	}
	rounds(gs)
	emitQuads(gs, quads, spill)
	VZEROUPPER()
	RET()
}

func loadQuad(g group, quads reg.GPPhysical, i int) {
	MOVQ(Mem{Base: quads, Disp: i*laneSize + laneKey}, reg.RAX)
	VMOVDQU64(sigma, g[0])
	VBROADCASTI32X4(Mem{Base: reg.RAX}, g[1])
	VBROADCASTI32X4(Mem{Base: reg.RAX, Disp: 16}, g[2])
	VBROADCASTI32X4(Mem{Base: quads, Disp: i*laneSize + laneRow}, g[3])
	VPADDD(counters, g[3], g[3])
}

// prefetchQuad asks for the text, which is needed when the rounds are over.
func prefetchQuad(quads reg.GPPhysical, i int) {
	MOVQ(Mem{Base: quads, Disp: i*laneSize + laneSrc}, reg.RAX)
	MOVQ(Mem{Base: quads, Disp: i*laneSize + laneDst}, reg.RBX)
	for j := range 4 {
		PREFETCHT0(Mem{Base: reg.RAX, Disp: 64 * j})
		PREFETCHT0(Mem{Base: reg.RBX, Disp: 64 * j})
	}
}

// emitQuads adds what the groups began with, loaded once more, and writes the
// text. One register is missing for that; it waits in the spill memory.
func emitQuads(gs []group, quads, spill reg.GPPhysical) {
	last := len(gs) - 1
	VMOVDQU64(gs[last][3], Mem{Base: spill})
	free := gs[last][3]
	for i, g := range gs {
		if i == last {
			g[3] = gs[0][0]
			if g[3] == free {
				g[3] = gs[0][1]
			}
			VMOVDQU64(Mem{Base: spill}, g[3])
		}
		MOVQ(Mem{Base: quads, Disp: i*laneSize + laneKey}, reg.RAX)
		VPADDD(sigma, g[0], g[0])
		VBROADCASTI32X4(Mem{Base: reg.RAX}, free)
		VPADDD(free, g[1], g[1])
		VBROADCASTI32X4(Mem{Base: reg.RAX, Disp: 16}, free)
		VPADDD(free, g[2], g[2])
		VBROADCASTI32X4(Mem{Base: quads, Disp: i*laneSize + laneRow}, free)
		VPADDD(counters, g[3], g[3])
		VPADDD(free, g[3], g[3])
		var cols [4]reg.VecPhysical
		cols, free = transpose4(g[0], g[1], g[2], g[3], free)
		emitQuad(cols, free, quads, i)
	}
}

// emitQuad writes four blocks, with masks only where the text ends in them.
func emitQuad(cols [4]reg.VecPhysical, free reg.VecPhysical, quads reg.GPPhysical, i int) {
	ones, tmp, n, src, dst, none, whole := reg.RBX, reg.RCX, reg.RDX, reg.RSI, reg.RDI, reg.R10, reg.R11
	MOVQ(Mem{Base: quads, Disp: i*laneSize + laneLen}, n)
	MOVQ(Mem{Base: quads, Disp: i*laneSize + laneSrc}, src)
	MOVQ(Mem{Base: quads, Disp: i*laneSize + laneDst}, dst)
	part, done := label("part"), label("quaddone")
	CMPQ(n, U32(256))
	JNE(LabelRef(part))
	for j, block := range cols {
		VPXORQ(Mem{Base: src, Disp: 64 * j}, block, block)
		VMOVDQU64(block, Mem{Base: dst, Disp: 64 * j})
	}
	JMP(LabelRef(done))
	Label(part)
	XORQ(none, none)
	MOVQ(U32(64), whole)
	MOVQ(I32(-1), ones)
	for j, block := range cols {
		MOVQ(n, tmp)
		CMPQ(tmp, whole)
		CMOVQGT(whole, tmp)
		CMPQ(tmp, none)
		CMOVQLT(none, tmp)
		tailMask(tmp, ones, tmp, reg.K1)
		VMOVDQU8_Z(Mem{Base: src, Disp: 64 * j}, reg.K1, free)
		VPXORQ(free, block, block)
		VMOVDQU8(block, reg.K1, Mem{Base: dst, Disp: 64 * j})
		SUBQ(whole, n)
	}
	Label(done)
}
