package main

import (
	"fmt"

	. "linecrypt/cryptobatch/_gen/layout"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Registers of the tags' routines. Numbers modulo 2^130-5 are held in limbs of 44, 44 and
// 42 bits, eight numbers side by side; VPMADD52 multiplies 52 by 52 bits, so
// limbs may be a few bits longer between two multiplications.
var (
	accum  = number{reg.Z0, reg.Z1, reg.Z2}
	factor = power{number{reg.Z3, reg.Z4, reg.Z5}, [2]reg.VecPhysical{reg.Z6, reg.Z7}}
	m44    = reg.Z8
	m42    = reg.Z9
	tmpA   = reg.Z10
	// A sum is a chain of multiplications of four cycles each, so there are two.
	even = product{number{reg.Z11, reg.Z12, reg.Z13}, number{reg.Z14, reg.Z15, reg.Z16}}
	odd  = product{number{reg.Z17, reg.Z18, reg.Z19}, number{reg.Z20, reg.Z21, reg.Z22}}
	// rows are for text as it is in memory, then for blocks of it.
	rows  = [8]reg.VecPhysical{reg.Z23, reg.Z24, reg.Z25, reg.Z26, reg.Z27, reg.Z28, reg.Z29, reg.Z30}
	spare = reg.Z31
)

// number is eight numbers by limbs.
type number [3]reg.VecPhysical

// power is a power of r and 20 times its upper two limbs: what a multiplication takes.
type power struct {
	r number
	s [2]reg.VecPhysical // of limbs 1 and 2
}

// product is a sum of products before carries, low + 2^52*high limb by limb.
type product struct{ low, high number }

// Places in the scratch memory: the powers r to r^5, what the bits above four
// whole blocks add to a chunk's sum, and where a lane's next whole chunk is read from,
// less at; then what the lanes are, one behind the other.
func powerAt(n, i int) Mem       { return Mem{Base: powers, Disp: ((n-1)*5 + i) * 64} }
func topBits(half, limb int) Mem { return Mem{Base: powers, Disp: (25 + 3*half + limb) * 64} }
func chunkAt(lane int) Mem       { return Mem{Base: powers, Disp: 31*64 + 8*lane} }
func textAt(lane int) Mem        { return Mem{Base: powers, Disp: 32*64 + 8*lane} }
func textLen(lane int) Mem       { return Mem{Base: powers, Disp: 33*64 + 8*lane} }
func aadAt(lane int) Mem         { return Mem{Base: powers, Disp: 34*64 + 8*lane} }
func aadLen(lane int) Mem        { return Mem{Base: powers, Disp: 35*64 + 8*lane} }
func laneOp(lane int) Mem        { return Mem{Base: powers, Disp: 36*64 + 8*lane} }

const polyScratch = 37*64 + 64

// tags writes Poly1305 for up to eight messages of the AEAD construction, each under
// its own one-time key.
func tags(name string, open bool) {
	result := ""
	doc := []string{
		name + " computes the tags (RFC 8439, sections 2.5 and 2.8) of the count operations, 1 to 8, of the array ops",
		"that list names from the ciphertext in their dst, stores them behind it and writes their statuses.",
	}
	if open {
		result = " (failed int)"
		doc = []string{
			name + " verifies the tags (RFC 8439, sections 2.5 and 2.8) of the count operations, 1 to 8, of the array ops",
			"that list names, writes their statuses and returns how many are not authentic.",
		}
	}
	TEXT(name, NOSPLIT, "func(ops *byte, list *uint32, count int, keys, scratch *byte)"+result)
	Doc(append(doc, "keys are their one-time keys of 32 bytes. Messages of one length cost least; the time does not depend on",
		fmt.Sprintf("what is in them. scratch is %d bytes; it is left with powers of the keys.", polyScratch))...)
	Pragma("noescape")
	keys := reg.R9
	Load(Param("scratch"), powers)
	alignUp(powers)
	loadLanes(open)
	Load(Param("keys"), keys)
	VPBROADCASTQ(mask44, m44)
	VPBROADCASTQ(mask42, m42)
	MOVQ(I32(-1), ones)

	loadR(keys)
	for _, z := range accum {
		VPXORQ(z, z, z)
	}
	associatedData()
	preparePowers()
	wholeChunks()
	textEnds()
	first, second := polyFinish(keys)
	Load(Param("count"), count)
	if open {
		verifyTags(first, second)
	} else {
		storeTags(first, second)
	}
	VZEROUPPER()
	RET()
}

// loadLanes looks up what the operations are. Lanes without one have no text and no
// associated data. The lengths are put together in registers: to load what was just
// stored in pieces is slow.
func loadLanes(open bool) {
	ops, list, op, tmp := reg.R8, reg.R9, reg.R13, reg.RDX
	text, behind := OpDst, 0
	if open {
		text, behind = OpSrc, 16
	}
	Load(Param("ops"), ops)
	Load(Param("list"), list)
	Load(Param("count"), count)
	texts, aads := rows[0], rows[1]
	for i := range rows {
		none, loaded := label("nolane"), label("lane")
		n, m := reg.RAX, reg.RCX
		CMPQ(count, I8(i))
		JLE(LabelRef(none))
		opAt(Mem{Base: list, Disp: 4 * i}, ops, op)
		MOVQ(op, laneOp(i))
		MOVQ(Mem{Base: op, Disp: text}, tmp)
		MOVQ(tmp, textAt(i))
		MOVQ(Mem{Base: op, Disp: OpAAD}, tmp)
		MOVQ(tmp, aadAt(i))
		MOVQ(Mem{Base: op, Disp: OpSrcLen}, n)
		SUBQ(I8(behind), n)
		MOVQ(Mem{Base: op, Disp: OpAADLen}, m)
		JMP(LabelRef(loaded))
		Label(none)
		XORQ(n, n)
		XORQ(m, m)
		MOVQ(n, textAt(i))
		Label(loaded)
		MOVQ(n, textLen(i))
		MOVQ(m, aadLen(i))
		pair := [2]reg.VecPhysical{rows[2], rows[3]}
		for j, r := range []reg.GPPhysical{n, m} {
			if i%2 == 0 {
				VMOVQ(r, pair[j].AsX())
			} else {
				VPINSRQ(U8(1), r, pair[j].AsX(), pair[j].AsX())
			}
		}
		if i%2 == 1 {
			for j, z := range []reg.VecPhysical{texts, aads} {
				if i == 1 {
					VMOVDQA64(pair[j], z)
				} else {
					VINSERTI64X2(U8(i/2), pair[j].AsX(), z, z)
				}
			}
		}
	}
	VMOVDQU64(texts, textLen(0))
	VMOVDQU64(aads, aadLen(0))
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
	lo, mid, hi := factor.r[0], factor.r[1], factor.r[2]
	columns(keys, lowTwo, lo, hi)
	VPANDQ_BCST(clampLo, lo, lo)
	VPANDQ_BCST(clampHi, hi, hi)
	limbs(lo, hi, mid)
	for i, s := range factor.s {
		times20(factor.r[i+1], s)
	}
}

func times20(z, to reg.VecPhysical) {
	VPSLLQ(U8(2), z, to)
	VPADDQ(z, to, to)
	VPSLLQ(U8(2), to, to)
}

// limbs splits 128-bit numbers in place, with one register more. It shifts by
// instructions that other units do than those that multiply.
func limbs(lo, hi, mid reg.VecPhysical) number {
	VPSRLQ(U8(44), lo, mid)
	VPSLLQ(U8(20), hi, tmpA)
	VPANDQ(m44, lo, lo)
	VPSRLQ(U8(24), hi, hi)
	VPTERNLOGQ(U8(0xa8), m44, tmpA, mid) // (mid | tmpA) & m44
	return number{lo, mid, hi}
}

// clear starts a sum of products.
func (t product) clear() {
	for i := range t.low {
		VPXORQ(t.low[i], t.low[i], t.low[i])
		VPXORQ(t.high[i], t.high[i], t.high[i])
	}
}

// add adds the product of in and factor.
func (t product) add(in number) {
	r, s := factor.r, factor.s
	for j, f := range []number{{r[0], r[1], r[2]}, {s[1], r[0], r[1]}, {s[0], s[1], r[0]}} {
		for i := range f {
			VPMADD52LUQ(f[i], in[j], t.low[i])
			VPMADD52HUQ(f[i], in[j], t.high[i])
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

// preparePowers computes r^2 to r^5 of each lane, and the top bits of chunks, into
// the scratch memory.
func preparePowers() {
	sums := number{rows[6], rows[7], spare} // of what the limb of top bits is multiplied by
	save := func(n int, z number) {
		for i := range z {
			VMOVDQU64(z[i], powerAt(n, i))
		}
		s := factor.s
		if n > 1 {
			s = [2]reg.VecPhysical{tmpA, tmpA}
		}
		for i := range s {
			if n > 1 {
				times20(z[i+1], s[i])
			}
			VMOVDQU64(s[i], powerAt(n, 3+i))
			addTo(sums[i], s[i], n)
		}
		addTo(sums[2], z[0], n)
	}
	save(1, factor.r)

	square, cube := number{rows[0], rows[1], rows[2]}, number{rows[3], rows[4], rows[5]}
	even.clear()
	even.add(factor.r)
	even.carry(square)
	save(2, square)
	even.clear()
	even.add(square)
	loadPower(2)
	odd.clear()
	odd.add(square)
	even.carry(cube)
	save(3, cube)
	odd.carry(odd.low)
	save(4, odd.low)
	even.clear()
	even.add(cube)
	even.carry(even.low)
	save(5, even.low)

	VPBROADCASTQ(hiBit, tmpA)
	even.clear()
	for i, z := range sums {
		VPMADD52LUQ(tmpA, z, even.low[i])
		VPMADD52HUQ(tmpA, z, even.high[i])
		VMOVDQU64(even.low[i], topBits(0, i))
		VMOVDQU64(even.high[i], topBits(1, i))
	}
}

// addTo adds a term of the sum over r to r^4.
func addTo(sum, z reg.VecPhysical, n int) {
	switch {
	case n == 1:
		VMOVDQA64(z, sum)
	case n <= 4:
		VPADDQ(z, sum, sum)
	}
}

// loadPower sets factor to r^n.
func loadPower(n int) {
	for i, z := range []reg.VecPhysical{factor.r[0], factor.r[1], factor.r[2], factor.s[0], factor.s[1]} {
		VMOVDQU64(powerAt(n, i), z)
	}
}

// chunk absorbs four blocks with one carry:
// accum = (accum + b0)*r^4 + b1*r^3 + b2*r^2 + b3*r.
func chunk(quads [8]reg.VecPhysical, free reg.VecPhysical) {
	for i := range even.low {
		VMOVDQU64(topBits(0, i), even.low[i])
		VMOVDQU64(topBits(1, i), even.high[i])
	}
	odd.clear()
	for j := 3; j >= 0; j-- {
		b := limbs(quads[2*j], quads[2*j+1], free)
		free = quads[2*j]
		loadPower(4 - j)
		switch j {
		case 3, 1:
			even.add(b)
		case 2:
			odd.add(b)
		case 0:
			even.merge(odd)
			for i, z := range b {
				VPADDQ(accum[i], z, z)
			}
			even.add(b)
		}
	}
	even.carryLanes(accum, active)
}

// carry leaves the sum t in z, in limbs a little longer than 44, 44 and 42 bits. A high
// half counts 2^52, eight bits above the next limb; that of the last one 2^140, ten
// bits above 2^130, which returns as five. Then all limbs are shortened at once.
// The registers of t are lost; those of z may be t.low's.
func (t product) carry(z number) { t.carryLanes(z, nil) }

// carryLanes is carry for the lanes of k; the others of z keep what they have.
func (t product) carryLanes(z number, k Op) {
	l, h := t.low, t.high
	VPSLLQ(U8(10), h[2], tmpA)
	VPSLLQ(U8(12), h[2], h[2])
	VPADDQ(tmpA, l[0], l[0])
	VPSLLQ(U8(8), h[1], h[1])
	VPSLLQ(U8(8), h[0], h[0])
	VPADDQ(h[1], l[2], l[2])
	VPADDQ(h[2], l[0], l[0])
	VPADDQ(h[0], l[1], l[1])

	VPSRLQ(U8(42), l[2], h[2])
	VPSRLQ(U8(44), l[0], h[0])
	VPSRLQ(U8(44), l[1], h[1])
	VPSLLQ(U8(2), h[2], tmpA)
	VPANDQ(m44, l[0], l[0])
	VPADDQ(h[2], l[0], l[0])
	VPANDQ(m44, l[1], l[1])
	VPANDQ(m42, l[2], l[2])
	for i, more := range []reg.VecPhysical{tmpA, h[0], h[1]} {
		if k == nil {
			VPADDQ(more, l[i], z[i])
		} else {
			VPADDQ(more, l[i], k, z[i])
		}
	}
}

// foldTop returns what is above 2^130 in h to the lowest limb, as five, and passes on
// what that limb then has too much.
func foldTop(h number) {
	VPSRLQ(U8(42), h[2], tmpA)
	VPANDQ(m42, h[2], h[2])
	VPADDQ(tmpA, h[0], h[0])
	VPSLLQ(U8(2), tmpA, tmpA)
	VPADDQ(tmpA, h[0], h[0])
	passOn(h, 0)
}

// passOn carries from limb i to the next.
func passOn(h number, i int) {
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
	count  = reg.R12
	active = reg.K3
)

// wholeChunks absorbs whole 64 bytes of the lanes but for the last 1 to 64 of each: as
// many as all lanes have that have any, then once more without those that are done,
// until none has. What those absorb is another's text, and not kept.
func wholeChunks() {
	left := reg.RCX
	turn, loop, done := label("turn"), label("whole"), label("wholedone")
	XORQ(at, at)
	Label(turn)
	activeLanes()
	JZ(LabelRef(done))
	leastLeft(left)
	Label(loop)
	loadChunk()
	chunk(transpose8())
	ADDQ(I8(64), at)
	DECQ(left)
	JNZ(LabelRef(loop))
	JMP(LabelRef(turn))
	Label(done)
}

// activeLanes sets the mask of lanes with more than a chunk left, and the zero flag
// if there are none.
func activeLanes() {
	VMOVDQU64(textLen(0), rows[4])
	VPBROADCASTQ(at, rows[1])
	VPSUBQ(rows[1], rows[4], rows[4])
	VPCMPGTQ_BCST(chunk64, rows[4], active)
	KORTESTB(active, active)
}

// leastLeft finds how many whole chunks every active lane has, and sets chunkAt
// for all lanes: those that have none read an active one's.
func leastLeft(left reg.GPPhysical) {
	n, p, other := reg.RDX, reg.RAX, reg.RDI
	MOVQ(U64(1<<62), left)
	for i := range rows {
		skip := label("inactive")
		MOVQ(textLen(i), n)
		SUBQ(at, n)
		DECQ(n)
		SARQ(U8(6), n)
		JLE(LabelRef(skip))
		CMPQ(n, left)
		CMOVQLT(n, left)
		MOVQ(textAt(i), other)
		Label(skip)
	}
	for i := range rows {
		MOVQ(textLen(i), n)
		MOVQ(textAt(i), p)
		SUBQ(at, n)
		CMPQ(n, I8(64))
		CMOVQLE(other, p)
		MOVQ(p, chunkAt(i))
	}
}

func loadChunk() {
	for i, z := range rows {
		MOVQ(chunkAt(i), reg.RDI)
		VMOVDQU64(Mem{Base: reg.RDI, Index: at, Scale: 1}, z)
	}
}

// textEnds absorbs the last 1 to 64 bytes of all lanes and the block of lengths with
// one carry. Lanes are brought in line at their ends: of the five blocks of each the
// first ones may be missing, and the first that is there takes the sum so far.
func textEnds() {
	present := [4]reg.OpmaskPhysical{reg.K2, reg.K3, reg.K4, reg.K5}
	text, aad := rows[4], rows[5]
	VMOVDQU64(textLen(0), text)
	VPTESTMQ(text, text, reg.K1)
	VPSUBQ_BCST(one, text, tmpA)
	VPANDQ_BCST(under64, tmpA, tmpA)
	VPADDQ_BCST_Z(one, tmpA, reg.K1, tmpA)
	for j, k := range present {
		VPCMPGTQ_BCST(blockEnd[j], tmpA, k)
	}
	VMOVDQU64(aadLen(0), aad)
	b := limbs(aad, text, spare)
	VPORQ_BCST(hiBit, b[2], b[2])
	KNOTB(present[3], reg.K6)
	b.addSum(reg.K6)
	loadPower(1)
	even.clear()
	even.add(b)
	odd.clear()

	for i, z := range rows {
		loadEnd(i, z)
	}
	quads, free := transpose8()
	for j := 3; j >= 0; j-- {
		b := limbs(quads[2*j], quads[2*j+1], free)
		free = quads[2*j]
		VPORQ_BCST(hiBit, b[2], present[j], b[2])
		if j > 0 {
			KANDNB(present[j], present[j-1], reg.K6)
			b.addSum(reg.K6)
		} else {
			b.addSum(present[0])
		}
		loadPower(5 - j)
		[]product{even, odd}[j%2].add(b)
	}
	even.merge(odd)
	even.carry(accum)
}

// addSum adds the sum so far to a block, in the lanes of k.
func (n number) addSum(k reg.OpmaskPhysical) {
	for i, z := range n {
		VPADDQ(accum[i], z, k, z)
	}
}

// loadEnd loads the last 1 to 64 bytes of a lane's text, padded with zeros to whole
// blocks, to the end of z. What is before it in z is zero and not read.
func loadEnd(lane int, z reg.VecPhysical) {
	n, p, mask, left, room := reg.RDX, reg.RDI, reg.RAX, reg.R13, reg.RCX
	MOVQ(textLen(lane), n)
	LEAQ(Mem{Base: n, Disp: -1}, left)
	ANDQ(I8(63), left)
	INCQ(left)
	TESTQ(n, n)
	CMOVQEQ(n, left)
	LEAQ(Mem{Base: left, Disp: 15}, room)
	ANDQ(I8(-16), room)
	NEGQ(room)
	ADDQ(I8(64), room)
	BZHIQ(left, ones, mask)
	SHLXQ(room, mask, mask)
	KMOVQ(mask, reg.K1)
	MOVQ(textAt(lane), p)
	ADDQ(n, p)
	SUBQ(left, p)
	SUBQ(room, p)
	TESTQ(left, left)
	CMOVQEQ(powers, p) // nothing left: any address that can be read
	VMOVDQU8_Z(Mem{Base: p}, reg.K1, z)
}

// associatedData absorbs that of all lanes, up to 64 bytes padded with zeros to whole
// blocks, block by block: mostly there is one.
func associatedData() {
	n, p, tmp := reg.RDX, reg.RDI, reg.RAX
	left, done := odd.low[0], label("aaddone")
	VMOVDQU64(aadLen(0), left)
	VPTESTMQ(left, left, reg.K2)
	KORTESTB(reg.K2, reg.K2)
	JZ(LabelRef(done))
	for i, z := range rows {
		MOVQ(aadLen(i), n)
		MOVQ(aadAt(i), p)
		TESTQ(n, n)
		CMOVQEQ(powers, p) // any address that can be read
		tailMask(n, ones, tmp, reg.K1)
		VMOVDQU8_Z(Mem{Base: p}, reg.K1, z)
	}
	quads, free := transpose8()
	for j := range 4 {
		MOVQ(U32(16*j), tmp)
		VPBROADCASTQ(tmp, tmpA)
		VPCMPGTQ(tmpA, left, reg.K2)
		KORTESTB(reg.K2, reg.K2)
		JZ(LabelRef(done))
		polyStep(limbs(quads[2*j], quads[2*j+1], free), reg.K2)
	}
	Label(done)
}

// polyStep absorbs a block into each lane: accum = (accum + block) * r. Lanes
// that are not in the mask k keep what they have.
func polyStep(b number, k reg.OpmaskPhysical) {
	VPORQ_BCST(hiBit, b[2], b[2])
	for i, z := range b {
		VPADDQ(accum[i], z, z)
	}
	even.clear()
	even.add(b)
	even.carryLanes(accum, k)
}

// polyFinish brings the sums below 2^130-5, adds s and returns the tags of lanes 0 to
// 3 and 4 to 7.
func polyFinish(keys reg.GPPhysical) (first, second reg.VecPhysical) {
	for range 2 {
		passOn(accum, 1)
		foldTop(accum)
	}
	passOn(accum, 1)
	reduceOnce()
	lo, hi, s0, s1 := odd.low[0], odd.low[1], odd.low[2], odd.high[0]
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
	VMOVDQU64(pairsHi, s1)
	VPERMT2Q(hi, s1, lo)
	return s0, lo
}

// eachTag passes on the tag of each operation, in the lowest lane of a register, and
// where its place is; op is the operation.
func eachTag(first, second reg.VecPhysical, work func(tag reg.VecPhysical, place Mem, op reg.GPPhysical)) {
	op, p, done := reg.R13, reg.RDI, label("tagsdone")
	for i := range rows {
		CMPQ(count, I8(i))
		JLE(LabelRef(done))
		tag := []reg.VecPhysical{first, second}[i/4]
		if i%4 > 0 {
			VEXTRACTI32X4(U8(i%4), tag, tmpA.AsX())
			tag = tmpA
		}
		MOVQ(laneOp(i), op)
		MOVQ(textAt(i), p)
		ADDQ(textLen(i), p)
		work(tag, Mem{Base: p}, op)
	}
	Label(done)
}

func storeTags(first, second reg.VecPhysical) {
	eachTag(first, second, func(tag reg.VecPhysical, place Mem, op reg.GPPhysical) {
		VMOVDQU32(tag.AsX(), place)
		MOVB(U8(StatusOK), Mem{Base: op, Disp: OpStatus})
	})
}

// verifyTags compares tags without a branch.
func verifyTags(first, second reg.VecPhysical) {
	failed, wrong := reg.RCX, reg.RAX
	XORQ(failed, failed)
	eachTag(first, second, func(tag reg.VecPhysical, place Mem, op reg.GPPhysical) {
		VPXORD(place, tag.AsX(), tmpA.AsX())
		XORL(wrong.As32(), wrong.As32())
		VPTEST(tmpA.AsX(), tmpA.AsX())
		SETNE(wrong.As8L())
		ADDQ(wrong, failed)
		ADDL(U8(StatusOK), wrong.As32())
		MOVB(wrong.As8L(), Mem{Base: op, Disp: OpStatus})
	})
	Store(failed, ReturnIndex(0))
}

// reduceOnce subtracts 2^130-5 where the sum is not below it: where adding five
// reaches 2^130.
func reduceOnce() {
	less := even.low
	VPADDQ_BCST(five, accum[0], less[0])
	VMOVDQA64(accum[1], less[1])
	VMOVDQA64(accum[2], less[2])
	passOn(less, 0)
	passOn(less, 1)
	VPCMPGTQ(m42, less[2], reg.K1)
	VPANDQ(m42, less[2], less[2])
	for i := range accum {
		VMOVDQA64(less[i], reg.K1, accum[i])
	}
}
