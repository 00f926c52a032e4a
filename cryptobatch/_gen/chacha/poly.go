package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Offsets in the Go type polyLane.
const (
	polyAAD     = 0
	polyAADLen  = 8
	polyText    = 16
	polyTextLen = 24
	polySize    = 32
)

// Registers of polyLanes. Numbers modulo 2^130-5 are held in limbs of 44, 44 and
// 42 bits, eight numbers side by side; VPMADD52 multiplies 52 by 52 bits, so
// limbs may be a few bits longer between two multiplications.
var (
	accum = [3]reg.VecPhysical{reg.Z0, reg.Z1, reg.Z2}
	mulR  = [3]reg.VecPhysical{reg.Z3, reg.Z4, reg.Z5}
	mulS  = [3]reg.VecPhysical{reg.Z5, reg.Z6, reg.Z7} // 20*r, index 1 and 2
	m44   = reg.Z8
	m42   = reg.Z9
	top   = reg.Z10
	prod  = product{
		low:  [3]reg.VecPhysical{reg.Z11, reg.Z12, reg.Z13},
		high: [3]reg.VecPhysical{reg.Z14, reg.Z15, reg.Z16},
	}
	tmpA  = reg.Z17
	remZ  = reg.Z18 // bytes left in each lane
	extra = reg.Z19
	rows  = [8]reg.VecPhysical{reg.Z20, reg.Z21, reg.Z22, reg.Z23, reg.Z24, reg.Z25, reg.Z26, reg.Z27}
	spare = reg.Z28
	input = [3]reg.VecPhysical{reg.Z29, reg.Z30, reg.Z31}
)

// polyLanes writes Poly1305 for eight messages of the AEAD construction.
func polyLanes() {
	TEXT("polyLanes8", NOSPLIT, "func(lanes, keys, tags, scratch *byte)")
	Pragma("noescape")
	Doc("polyLanes8 computes the tags (RFC 8439, sections 2.5 and 2.8) of eight messages, each under its own",
		"one-time key. Messages of one length cost least; the time does not depend on what is in them.",
		"lanes are eight of polyLane, keys eight times 32 bytes, tags takes eight times 16. scratch is",
		"1088 bytes; it is left with powers of the keys.")
	lanes, keys, tags := reg.R8, reg.R9, reg.RDX
	Load(Param("lanes"), lanes)
	Load(Param("keys"), keys)
	Load(Param("scratch"), powers)
	alignUp(powers)
	VPBROADCASTQ(mask44, m44)
	VPBROADCASTQ(mask42, m42)
	VPBROADCASTQ(hiBit, top)
	MOVQ(I32(-1), reg.RBX)

	loadR(keys)
	for _, z := range accum {
		VPXORQ(z, z, z)
	}
	associatedData(lanes)
	columns(lanes, highTwo, reg.Z29, remZ)
	wholeChunks(lanes)
	textEnds(lanes)

	columns(lanes, lowTwo, reg.Z29, reg.Z30)
	columns(lanes, highTwo, reg.Z29, reg.Z31)
	polyStep(reg.Z30, reg.Z31, nil)
	Load(Param("tags"), tags)
	finish(keys, tags)
	VZEROUPPER()
	RET()
}

// columns takes two of the four quadwords of each of eight rows of 32 bytes.
func columns(base reg.GPPhysical, pick Mem, first, second reg.VecPhysical) {
	VMOVDQU64(pick, rows[0])
	VMOVDQU64(Mem{Base: base}, rows[2])
	VPERMT2Q(Mem{Base: base, Disp: 64}, rows[0], rows[2])
	VMOVDQU64(Mem{Base: base, Disp: 128}, rows[3])
	VPERMT2Q(Mem{Base: base, Disp: 192}, rows[0], rows[3])
	VSHUFI64X2(U8(0x44), rows[3], rows[2], first)
	VSHUFI64X2(U8(0xee), rows[3], rows[2], second)
}

// loadR clamps r, splits it into limbs and prepares the multiples by which what
// is above 2^132 returns: 2^132 = 4 * 2^130 = 4 * 5.
func loadR(keys reg.GPPhysical) {
	lo, hi := reg.Z29, reg.Z30
	columns(keys, lowTwo, lo, hi)
	VPANDQ_BCST(clampLo, lo, lo)
	VPANDQ_BCST(clampHi, hi, hi)
	limbs(lo, hi, mulR[0], mulR[1], mulR[2])
	for i := 1; i < 3; i++ {
		VPSLLQ(U8(4), mulR[i], mulS[i])
		VPSLLQ(U8(2), mulR[i], tmpA)
		VPADDQ(tmpA, mulS[i], mulS[i])
	}
}

// limbs splits 128-bit numbers; tmpA is lost.
func limbs(lo, hi, l0, l1, l2 reg.VecPhysical) {
	VPSRLQ(U8(44), lo, l1)
	VPSLLQ(U8(20), hi, tmpA)
	VPORQ(tmpA, l1, l1)
	VPANDQ(m44, l1, l1)
	VPANDQ(m44, lo, l0)
	VPSRLQ(U8(24), hi, l2)
}

// polyStep absorbs a block into each lane: accum = (accum + block) * r. Lanes
// that are not in the mask k keep what they have; k nil means all lanes.
func polyStep(lo, hi reg.VecPhysical, k reg.OpmaskPhysical) {
	block := prod.low
	limbs(lo, hi, block[0], block[1], block[2])
	VPORQ(top, block[2], block[2])
	for i := range input {
		VPADDQ(block[i], accum[i], input[i])
	}
	prod.clear()
	prod.add(input, inRegisters())
	carry()
	for i := range accum {
		if k == nil {
			VMOVDQA64(prod.low[i], accum[i])
		} else {
			VMOVDQA64(prod.low[i], k, accum[i])
		}
	}
}

// power holds the limbs of a power of r and 20 times its upper two: what a
// multiplication takes, in registers or in memory.
type power struct{ r, s [3]Op }

func inRegisters() (p power) {
	for i := range 3 {
		p.r[i], p.s[i] = mulR[i], mulS[i]
	}
	return p
}

// inMemory is the power r^n, n from 2 to 4, in the scratch memory.
func inMemory(n int) (p power) {
	for i := range 3 {
		p.r[i] = Mem{Base: powers, Disp: ((n-2)*5 + i) * 64}
		if i > 0 {
			p.s[i] = Mem{Base: powers, Disp: ((n-2)*5 + 2 + i) * 64}
		}
	}
	return p
}

// product is a sum of products before carries, low + 2^52*high limb by limb.
type product struct{ low, high [3]reg.VecPhysical }

// clear starts a sum of products.
func (t product) clear() {
	for i := range t.low {
		VPXORQ(t.low[i], t.low[i], t.low[i])
		VPXORQ(t.high[i], t.high[i], t.high[i])
	}
}

// add adds the product of in and p.
func (t product) add(in [3]reg.VecPhysical, p power) {
	factors := [3][3]Op{
		{p.r[0], p.r[1], p.r[2]},
		{p.s[2], p.r[0], p.r[1]},
		{p.s[1], p.s[2], p.r[0]},
	}
	for j := range in {
		for i := range t.low {
			VPMADD52LUQ(factors[j][i], in[j], t.low[i])
			VPMADD52HUQ(factors[j][i], in[j], t.high[i])
		}
	}
}

// merge adds another sum.
func (t product) merge(other product) {
	for i := range t.low {
		VPADDQ(other.low[i], t.low[i], t.low[i])
		VPADDQ(other.high[i], t.high[i], t.high[i])
	}
}

// preparePowers computes r^2, r^3 and r^4 of each lane into the scratch memory.
func preparePowers() {
	in := mulR
	for n := 2; n <= 4; n++ {
		prod.clear()
		prod.add(in, inRegisters())
		carry()
		p := inMemory(n)
		for i, z := range prod.low {
			VMOVDQU64(z, p.r[i])
			if i > 0 {
				VPSLLQ(U8(2), z, tmpA)
				VPADDQ(z, tmpA, tmpA)
				VPSLLQ(U8(2), tmpA, tmpA)
				VMOVDQU64(tmpA, p.s[i])
			}
			VMOVDQA64(z, input[i])
		}
		in = input
	}
}

// A chunk is absorbed with one carry for its four blocks:
// accum = (accum + b0)*r^4 + b1*r^3 + b2*r^2 + b3*r. chunkEarly is what does not
// wait for the chunk before; it leaves b0 in input and all of quads free. It makes
// two sums, because a sum is a chain of multiplications of four cycles each; the
// registers of the second one are those of blocks that the first has taken.
func chunkEarly(quads [8]reg.VecPhysical, free reg.VecPhysical) {
	second := product{
		low:  [3]reg.VecPhysical{quads[4], quads[5], quads[6]},
		high: [3]reg.VecPhysical{quads[7], free, extra},
	}
	prod.clear()
	for j := 3; j >= 0; j-- {
		limbs(quads[2*j], quads[2*j+1], input[0], input[1], input[2])
		VPORQ(top, input[2], input[2])
		switch j {
		case 3:
			prod.add(input, inRegisters())
		case 2:
			prod.add(input, inMemory(2))
			second.clear()
		case 1:
			second.add(input, inMemory(3))
			prod.merge(second)
		}
	}
}

// chunkLate is the rest of a chunk.
func chunkLate() {
	for i := range input {
		VPADDQ(accum[i], input[i], input[i])
	}
	prod.add(input, inMemory(4))
	carry()
	for i := range accum {
		VMOVDQA64(prod.low[i], active, accum[i])
	}
}

// carry brings the product back to limbs of 44 (the second one bit more) and 42
// bits in prod.low. A high half counts 2^52, eight bits above the next limb; that
// of the last one 2^140, ten bits above 2^130, which returns as five.
func carry() {
	for i := 1; i < 3; i++ {
		VPSRLQ(U8(44), prod.low[i-1], tmpA)
		VPANDQ(m44, prod.low[i-1], prod.low[i-1])
		VPSLLQ(U8(8), prod.high[i-1], prod.high[i-1])
		VPADDQ(prod.high[i-1], prod.low[i], prod.low[i])
		VPADDQ(tmpA, prod.low[i], prod.low[i])
	}
	VPSLLQ(U8(10), prod.high[2], prod.high[2])
	foldTop(prod.low, prod.high[2])
}

// foldTop returns what is above 2^130 in h, and more that counts as much, to the
// lowest limb, as five, and passes on what that limb then has too much.
func foldTop(h [3]reg.VecPhysical, more reg.VecPhysical) {
	VPSRLQ(U8(42), h[2], tmpA)
	VPANDQ(m42, h[2], h[2])
	if more != nil {
		VPADDQ(more, tmpA, tmpA)
	}
	VPADDQ(tmpA, h[0], h[0])
	VPSLLQ(U8(2), tmpA, tmpA)
	VPADDQ(tmpA, h[0], h[0])
	passOn(h, 0)
}

// passOn carries from limb i to the next.
func passOn(h [3]reg.VecPhysical, i int) {
	VPSRLQ(U8(44), h[i], tmpA)
	VPANDQ(m44, h[i], h[i])
	VPADDQ(tmpA, h[i+1], h[i+1])
}

// transpose8 turns rows, the quadwords of a chunk for each lane, into one
// register for each quadword.
func transpose8() (quads [8]reg.VecPhysical, free reg.VecPhysical) {
	free = spare
	var low, high [4]reg.VecPhysical
	for k := range low {
		a, b := rows[2*k], rows[2*k+1]
		VPUNPCKLQDQ(b, a, free)
		VPUNPCKHQDQ(b, a, b)
		low[k], high[k], free = free, b, a
	}
	even, free := transpose4(low[0], low[1], low[2], low[3], free)
	odd, free := transpose4(high[0], high[1], high[2], high[3], free)
	for i := range even {
		quads[2*i], quads[2*i+1] = even[i], odd[i]
	}
	return quads, free
}

// Registers of the loops over text: how far the lanes are, -1, scratch memory.
// The mask of the lanes at work, all of one bit each, is K3.
var (
	at     = reg.RSI
	ones   = reg.RBX
	powers = reg.R10
	active = reg.K3
)

// chunkAt is where a lane's next whole chunk is read from, less at.
func chunkAt(lane int) Mem { return Mem{Base: powers, Disp: 15*64 + 8*lane} }

// wholeChunks absorbs all whole 64 bytes of the lanes: as many as all lanes have
// that have any left, then once more without those that are done, until none
// has. What those absorb is another's text, and not kept.
//
// The next chunk is loaded before the carries of this one, else the core has too
// much waiting for those to reach what could be done meanwhile.
func wholeChunks(lanes reg.GPPhysical) {
	left, passed := reg.RCX, reg.R13
	turn, loop, last, done := label("turn"), label("whole"), label("lastwhole"), label("wholedone")
	XORQ(at, at)
	activeLanes()
	JZ(LabelRef(done))
	preparePowers()
	Label(turn)
	leastLeft(lanes, left)
	MOVQ(left, passed)
	SHLQ(U8(6), passed)
	loadChunk()
	quads, free := transpose8()
	DECQ(left)
	JZ(LabelRef(last))
	Label(loop)
	chunkEarly(quads, free)
	ADDQ(I8(64), at)
	loadChunk()
	transpose8() // to the same registers
	chunkLate()
	DECQ(left)
	JNZ(LabelRef(loop))
	Label(last)
	chunkEarly(quads, free)
	chunkLate()
	ADDQ(I8(64), at)
	VPBROADCASTQ(passed, tmpA)
	VPSUBQ(tmpA, remZ, remZ)
	activeLanes()
	JNZ(LabelRef(turn))
	Label(done)
}

// activeLanes sets the mask of lanes with a whole chunk left, and the zero flag
// if there are none.
func activeLanes() {
	VPCMPGTQ_BCST(under64, remZ, active)
	KORTESTB(active, active)
}

// leastLeft finds how many whole chunks every active lane has, and sets chunkAt
// for all lanes: those that have none read an active one's.
func leastLeft(lanes, left reg.GPPhysical) {
	n, p, other := reg.RDX, reg.RAX, reg.RDI
	MOVQ(U64(1<<62), left)
	for i := range rows {
		skip := label("inactive")
		MOVQ(Mem{Base: lanes, Disp: i*polySize + polyTextLen}, n)
		SUBQ(at, n)
		SARQ(U8(6), n)
		JLE(LabelRef(skip))
		CMPQ(n, left)
		CMOVQLT(n, left)
		MOVQ(Mem{Base: lanes, Disp: i*polySize + polyText}, other)
		Label(skip)
	}
	for i := range rows {
		MOVQ(Mem{Base: lanes, Disp: i*polySize + polyTextLen}, n)
		MOVQ(Mem{Base: lanes, Disp: i*polySize + polyText}, p)
		SUBQ(at, n)
		CMPQ(n, I8(64))
		CMOVQLT(other, p)
		MOVQ(p, chunkAt(i))
	}
}

func loadChunk() {
	for i, z := range rows {
		MOVQ(chunkAt(i), reg.RDI)
		VMOVDQU64(Mem{Base: reg.RDI, Index: at, Scale: 1}, z)
	}
}

// textEnds absorbs what is left of all lanes behind their whole chunks.
func textEnds(lanes reg.GPPhysical) {
	columns(lanes, highTwo, reg.Z29, remZ)
	VPANDQ_BCST(under64, remZ, remZ)
	maskedChunk(func(i int, p, n reg.GPPhysical) {
		MOVQ(Mem{Base: lanes, Disp: i*polySize + polyTextLen}, n)
		MOVQ(n, p)
		ANDQ(I8(63), n)
		SUBQ(n, p)
		ADDQ(Mem{Base: lanes, Disp: i*polySize + polyText}, p)
		TESTQ(n, n)
		CMOVQEQ(lanes, p) // nothing left: any address that can be read
	})
}

// associatedData absorbs that of all lanes.
func associatedData(lanes reg.GPPhysical) {
	columns(lanes, lowTwo, reg.Z29, remZ)
	maskedChunk(func(i int, p, n reg.GPPhysical) {
		MOVQ(Mem{Base: lanes, Disp: i*polySize + polyAADLen}, n)
		MOVQ(Mem{Base: lanes, Disp: i*polySize + polyAAD}, p)
		TESTQ(n, n)
		CMOVQEQ(lanes, p)
	})
}

// maskedChunk absorbs up to 64 bytes of each lane, padded with zeros to whole
// blocks. remZ holds how many; from sets a pointer to them and their number.
func maskedChunk(from func(lane int, p, n reg.GPPhysical)) {
	n, p, tmp := reg.RDX, reg.RDI, reg.RAX
	done := label("chunkdone")
	VPTESTMQ(remZ, remZ, reg.K2)
	KORTESTB(reg.K2, reg.K2)
	JZ(LabelRef(done))
	for i, z := range rows {
		from(i, p, n)
		tailMask(n, ones, tmp, reg.K1)
		VMOVDQU8_Z(Mem{Base: p}, reg.K1, z)
	}
	quads, _ := transpose8()
	for j := range 4 {
		MOVQ(U32(16*j), tmp)
		VPBROADCASTQ(tmp, tmpA)
		VPCMPGTQ(tmpA, remZ, reg.K2)
		KORTESTB(reg.K2, reg.K2)
		JZ(LabelRef(done))
		polyStep(quads[2*j], quads[2*j+1], reg.K2)
	}
	Label(done)
}

// finish brings the sums below 2^130-5, adds s and stores the tags.
func finish(keys, tags reg.GPPhysical) {
	for range 2 {
		passOn(accum, 1)
		foldTop(accum, nil)
	}
	passOn(accum, 1)
	reduceOnce()
	lo, hi, s0, s1 := reg.Z29, reg.Z30, reg.Z31, spare
	VPSLLQ(U8(44), accum[1], lo)
	VPORQ(accum[0], lo, lo)
	VPSRLQ(U8(20), accum[1], hi)
	VPSLLQ(U8(24), accum[2], tmpA)
	VPORQ(tmpA, hi, hi)

	columns(keys, highTwo, s0, s1)
	VPADDQ(s0, lo, lo)
	VPADDQ(s1, hi, hi)
	VPCMPUQ(U8(1), s0, lo, reg.K1) // the low half wrapped around
	VPTERNLOGQ(U8(0xff), tmpA, tmpA, tmpA)
	VPSUBQ(tmpA, hi, reg.K1, hi)

	VMOVDQA64(lo, s0)
	VMOVDQU64(pairsLo, s1)
	VPERMT2Q(hi, s1, s0)
	VMOVDQU64(s0, Mem{Base: tags})
	VMOVDQU64(pairsHi, s1)
	VPERMT2Q(hi, s1, lo)
	VMOVDQU64(lo, Mem{Base: tags, Disp: 64})
}

// reduceOnce subtracts 2^130-5 where the sum is not below it: where adding five
// reaches 2^130.
func reduceOnce() {
	VPADDQ_BCST(five, accum[0], prod.low[0])
	VMOVDQA64(accum[1], prod.low[1])
	VMOVDQA64(accum[2], prod.low[2])
	passOn(prod.low, 0)
	passOn(prod.low, 1)
	VPCMPGTQ(m42, prod.low[2], reg.K1)
	VPANDQ(m42, prod.low[2], prod.low[2])
	for i := range accum {
		VMOVDQA64(prod.low[i], reg.K1, accum[i])
	}
}
