package main

import (
	"fmt"

	"linecrypt/cryptobatch/_gen/ahead"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Registers with one meaning throughout a long operation.
var (
	state   = reg.Z15 // GHASH's state: four lanes, each a sum over every fourth block
	counter = reg.Z20 // the next four counters, byte-swapped

	// h holds H^16, H^12, H^8 and H^4, each in all lanes; halves the sum of each
	// one's halves.
	h      = [4]reg.VecPhysical{reg.Z16, reg.Z17, reg.Z18, reg.Z19}
	halves = [4]reg.VecPhysical{reg.Z21, reg.Z22, reg.Z23, reg.Z2}

	// wide holds what text does, for eight vectors.
	wide = [8]reg.VecPhysical{reg.Z3, reg.Z4, reg.Z5, reg.Z6, reg.Z0, reg.Z1, reg.Z26, reg.Z27}

	block = reg.Z28 // four blocks of ciphertext on their way from memory into GHASH
)

// long works an operation of more than 192 bytes: pieces of 512 bytes, then
// perhaps 256, perhaps 128, and the tail.
func (g burstGen) long() {
	VPXORQ(state, state, state)
	VINSERTI32X4(Imm(3), aadBlock.AsX(), state, state)
	for i, x := range h {
		VBROADCASTI32X4(Mem{Base: key, Disp: keyPowers + 64*i}, x)
		VPSHUFD(Imm(0x4e), x, halves[i])
		VPXORQ(x, halves[i], halves[i])
	}
	VPADDD(consts.firstFour, base, counter)
	VPADDD(consts.one, base, j0)
	VPSHUFB(swap, j0, j0)
	CMPQ(left, I32(512))
	JCS(LabelRef(g.label("rest")))
	if g.open {
		g.openPieces()
	} else {
		g.sealPieces()
	}
	Label(g.label("rest"))
	for _, n := range []int{4, 2} {
		skip := g.label(fmt.Sprintf("less%d_", n))
		CMPQ(left, I32(int32(64*n)))
		JCS(LabelRef(skip))
		v := text[:n]
		g.nextCounters(v)
		g.encrypt(v)
		g.crypt(v, false)
		emit(hash(v, nil))
		advance(64 * n)
		Label(skip)
	}
	g.tail()
}

// sealPieces hashes each piece while the next one is encrypted, so that the
// multiplier, which is the scarcer, never waits for the cipher.
func (g burstGen) sealPieces() {
	g.nextCounters(wide[:])
	g.encrypt(wide[:])
	cryptPiece()
	CMPQ(left, I32(512))
	JCS(LabelRef(g.label("last")))
	Label(g.label("full"))
	g.nextCounters(wide[:])
	g.encryptBeside(wide[:], hashPiece(dst, -512))
	cryptPiece()
	CMPQ(left, I32(512))
	JCC(LabelRef(g.label("full")))
	// What the last piece leaves to do goes beside the first 256 bytes of the rest.
	Label(g.label("last"))
	CMPQ(left, I32(256))
	JCS(LabelRef(g.label("alone")))
	v := text[:]
	g.nextCounters(v)
	g.encryptBeside(v, hashPiece(dst, -512))
	g.crypt(v, false)
	emit(hash(v, nil))
	advance(256)
	JMP(LabelRef(g.label("less4_")))
	Label(g.label("alone"))
	emit(hashPiece(dst, -512))
}

// openPieces hashes each piece while it is decrypted.
func (g burstGen) openPieces() {
	Label(g.label("full"))
	g.nextCounters(wide[:])
	g.encryptBeside(wide[:], hashPiece(src, 0))
	cryptPiece()
	CMPQ(left, I32(512))
	JCC(LabelRef(g.label("full")))
}

// cryptPiece applies the key stream in wide.
func cryptPiece() {
	for i, x := range wide {
		VPXORQ(Mem{Base: src, Disp: 64 * i}, x, x)
		VMOVDQU64(x, Mem{Base: dst, Disp: 64 * i})
	}
	advance(512)
}

// encryptBeside is encrypt, with the steps spread evenly over the rounds.
func (g burstGen) encryptBeside(v []reg.VecPhysical, steps []func()) {
	done := 0
	for r := 0; r <= g.rounds; r++ {
		g.round(r, v)
		upTo := (r + 1) * len(steps) / (g.rounds + 1)
		emit(steps[done:upTo])
		done = upTo
	}
}

func emit(steps []func()) {
	for _, step := range steps {
		step()
	}
}

// advance goes on behind n bytes that were worked.
func advance(n int) {
	ahead.Beside(src, apart, n)
	ADDQ(I32(int32(n)), src)
	ADDQ(I32(int32(n)), dst)
	SUBQ(I32(int32(n)), left)
}

// hashPiece returns the instructions that hash 512 bytes at a pointer.
func hashPiece(base reg.GPPhysical, disp int) []func() {
	var steps []func()
	for _, d := range []int{disp, disp + 256} {
		at := Mem{Base: base, Disp: d}
		steps = append(steps, hash(make([]reg.VecPhysical, 4), &at)...)
	}
	return steps
}

// hash returns the instructions that take vectors of blocks into state: those in
// v, or as many from memory. State and all vectors but the last are multiplied by
// the powers that bring them in line with the last, which is added after the
// reduction. Each product takes three
// multiplications (Karatsuba), as the core starts one only every other cycle;
// state comes last, because each piece waits for the one before it there.
func hash(v []reg.VecPhysical, from *Mem) []func() {
	n := len(v)
	t := temporary
	var steps []func()
	do := func(f func()) { steps = append(steps, f) }
	take := func(i int) reg.VecPhysical {
		if from == nil {
			return v[i]
		}
		do(func() { VMOVDQU64(from.Offset(64*i), block) })
		do(func() { VPSHUFB(swap, block, block) })
		return block
	}
	for i := range n {
		x, ph, pk := state, h[4-n], halves[4-n]
		if i < n-1 {
			x, ph, pk = take(i), h[5-n+i], halves[5-n+i]
		}
		lo, hi, mi := acc.lo, acc.hi, acc.mi
		if i > 0 {
			lo, hi, mi = t[0], t[1], t[2]
		}
		do(func() { VPSHUFD(Imm(0x4e), x, t[3]) })
		do(func() { VPCLMULQDQ(Imm(0x00), ph, x, lo) })
		do(func() { VPXORQ(x, t[3], t[3]) })
		do(func() { VPCLMULQDQ(Imm(0x11), ph, x, hi) })
		do(func() { VPCLMULQDQ(Imm(0x00), pk, t[3], mi) })
		if i > 0 {
			do(func() { VPXORQ(lo, acc.lo, acc.lo) })
			do(func() { VPXORQ(hi, acc.hi, acc.hi) })
			do(func() { VPXORQ(mi, acc.mi, acc.mi) })
		}
	}
	last := take(n - 1)
	do(func() { VPTERNLOGQ(Imm(0x96), acc.lo, acc.hi, acc.mi) })
	do(func() { VPCLMULQDQ(Imm(0x01), acc.lo, poly, t[0]) })
	do(func() { VPSHUFD(Imm(0x4e), acc.lo, acc.lo) })
	do(func() { VPTERNLOGQ(Imm(0x96), t[0], acc.lo, acc.mi) })
	do(func() { VPCLMULQDQ(Imm(0x01), acc.mi, poly, t[0]) })
	do(func() { VPSHUFD(Imm(0x4e), acc.mi, acc.mi) })
	do(func() { VPXORQ(last, acc.hi, state) })
	do(func() { VPTERNLOGQ(Imm(0x96), t[0], acc.mi, state) })
	return steps
}

// nextCounters sets v to the counter blocks from counter on, and counter to what follows.
func (g burstGen) nextCounters(v []reg.VecPhysical) {
	for _, x := range v {
		VPSHUFB(swap, counter, x)
		VPADDD(four, counter, counter)
	}
}

// tail works the last 0 to 127 bytes and the tag. GHASH's input is the four
// lanes of state, the text and lengths.
func (g burstGen) tail() {
	at := reg.RAX
	LEAQ(Mem{Base: left, Disp: 15}, reg.RBX)
	ANDQ(I8(-16), reg.RBX)
	MOVQ(key, at)
	SUBQ(reg.RBX, at)
	VMOVDQU64(Mem{Base: at, Disp: keyH1 - 64}, reg.Z16)
	VMOVDQU(Mem{Base: key, Disp: keyH1}, reg.X2)
	TESTQ(left, left)
	JEQ(LabelRef(g.label("tail0_")))
	CMPQ(left, Imm(64))
	JLS(LabelRef(g.label("tail1_")))
	for _, n := range []int{2, 1, 0} {
		if n < 2 {
			Label(g.label(fmt.Sprintf("tail%d_", n)))
		}
		v := text[:n]
		if n > 0 {
			maskLast(n - 1)
		}
		g.nextCounters(v)
		g.encrypt(append([]reg.VecPhysical{j0}, v...))
		g.crypt(v, true)
		terms := []term{{state, reg.Z16}, {lengths, reg.Z2}}
		for i, x := range v {
			h := []reg.VecPhysical{reg.Z17, reg.Z18}[i]
			VMOVDQU64(Mem{Base: at, Disp: keyH1 + 64*i}, h)
			terms = append(terms, term{x, h})
		}
		g.finish(terms)
	}
}
