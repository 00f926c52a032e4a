package main

import (
	"fmt"

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

	// blocks are 16 blocks of ciphertext on their way into GHASH.
	blocks = [4]reg.VecPhysical{reg.Z0, reg.Z1, reg.Z26, reg.Z27}
)

// long works an operation of more than 192 bytes: pieces of 256 bytes, then
// perhaps 128, then the tail.
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
	CMPQ(left, I32(256))
	JCS(LabelRef(g.label("half")))
	if g.open {
		g.openPieces()
	} else {
		g.sealPieces()
	}
	Label(g.label("half"))
	CMPQ(left, I32(128))
	JCS(LabelRef(g.label("tail")))
	v := text[:2]
	g.nextCounters(v)
	g.encrypt(v)
	g.crypt(v, false)
	emit(hash(v, h[2:], halves[2:]))
	advance(128)
	Label(g.label("tail"))
	g.tail()
}

// sealPieces hashes each piece while the next one is encrypted, so that the
// multiplier, which is the scarcer, never waits for the cipher.
func (g burstGen) sealPieces() {
	encrypted := func() {
		for i, x := range text {
			VPXORQ(Mem{Base: src, Disp: 64 * i}, x, x)
			VMOVDQU64(x, Mem{Base: dst, Disp: 64 * i})
			VPSHUFB(swap, x, blocks[i])
		}
		advance(256)
	}
	g.nextCounters(text[:])
	g.encrypt(text[:])
	encrypted()
	CMPQ(left, I32(256))
	JCS(LabelRef(g.label("last")))
	Label(g.label("full"))
	g.nextCounters(text[:])
	g.encryptBeside(hash(blocks[:], h[:], halves[:]))
	encrypted()
	CMPQ(left, I32(256))
	JCC(LabelRef(g.label("full")))
	Label(g.label("last"))
	emit(hash(blocks[:], h[:], halves[:]))
}

// openPieces hashes each piece while it is decrypted.
func (g burstGen) openPieces() {
	Label(g.label("full"))
	for i, x := range blocks {
		VMOVDQU64(Mem{Base: src, Disp: 64 * i}, x)
		VPSHUFB(swap, x, x)
	}
	g.nextCounters(text[:])
	g.encryptBeside(hash(blocks[:], h[:], halves[:]))
	for i, x := range text {
		VPXORQ(Mem{Base: src, Disp: 64 * i}, x, x)
		VMOVDQU64(x, Mem{Base: dst, Disp: 64 * i})
	}
	advance(256)
	CMPQ(left, I32(256))
	JCC(LabelRef(g.label("full")))
}

// encryptBeside is encrypt for text, with the steps spread evenly over the rounds.
func (g burstGen) encryptBeside(steps []func()) {
	k := reg.Z13
	done := 0
	for r := 0; r <= g.rounds; r++ {
		VBROADCASTI32X4(Mem{Base: key, Disp: keyRounds + 16*r}, k)
		for _, x := range text {
			switch r {
			case 0:
				VPXORQ(k, x, x)
			case g.rounds:
				VAESENCLAST(k, x, x)
			default:
				VAESENC(k, x, x)
			}
		}
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

func advance(n int32) {
	ADDQ(I32(n), src)
	ADDQ(I32(n), dst)
	SUBQ(I32(n), left)
}

// hash returns the instructions that take vectors of blocks into state. State and
// all vectors but the last are multiplied by the powers that bring them in line
// with the last, which is added after the reduction. Each product takes three
// multiplications (Karatsuba), as the core starts one only every other cycle;
// state comes last, because each piece waits for the one before it there.
func hash(v []reg.VecPhysical, h, halves []reg.VecPhysical) []func() {
	n := len(v)
	x := append(append([]reg.VecPhysical{}, v[:n-1]...), state)
	ph := append(append([]reg.VecPhysical{}, h[1:n]...), h[0])
	pk := append(append([]reg.VecPhysical{}, halves[1:n]...), halves[0])
	t := temporary
	var steps []func()
	do := func(f func()) { steps = append(steps, f) }
	for i := range x {
		lo, hi, mi := acc.lo, acc.hi, acc.mi
		if i > 0 {
			lo, hi, mi = t[0], t[1], t[2]
		}
		do(func() { VPSHUFD(Imm(0x4e), x[i], t[3]) })
		do(func() { VPCLMULQDQ(Imm(0x00), ph[i], x[i], lo) })
		do(func() { VPXORQ(x[i], t[3], t[3]) })
		do(func() { VPCLMULQDQ(Imm(0x11), ph[i], x[i], hi) })
		do(func() { VPCLMULQDQ(Imm(0x00), pk[i], t[3], mi) })
		if i > 0 {
			do(func() { VPXORQ(lo, acc.lo, acc.lo) })
			do(func() { VPXORQ(hi, acc.hi, acc.hi) })
			do(func() { VPXORQ(mi, acc.mi, acc.mi) })
		}
	}
	do(func() { VPTERNLOGQ(Imm(0x96), acc.lo, acc.hi, acc.mi) })
	do(func() { VPCLMULQDQ(Imm(0x01), acc.lo, poly, t[0]) })
	do(func() { VPSHUFD(Imm(0x4e), acc.lo, acc.lo) })
	do(func() { VPTERNLOGQ(Imm(0x96), t[0], acc.lo, acc.mi) })
	do(func() { VPCLMULQDQ(Imm(0x01), acc.mi, poly, t[0]) })
	do(func() { VPSHUFD(Imm(0x4e), acc.mi, acc.mi) })
	do(func() { VPXORQ(v[n-1], acc.hi, state) })
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
