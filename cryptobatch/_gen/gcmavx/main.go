// Command gcmavx writes the AES-GCM assembly of package cryptobatch for CPUs
// without AVX-512: `go generate` in the package's folder. With -lanes 1 it uses
// 128-bit vectors (AES-NI, PCLMULQDQ); with -lanes 2, 256-bit vectors (VAES,
// VPCLMULQDQ). All instructions are in the VEX encoding.
//
// GHASH works in the bit-reflected form: blocks are byte-swapped when loaded,
// and the powers of H in the key are multiplied by x beforehand (H<<1 modulo the
// polynomial), which makes up for the bit by which a carry-less product of
// reflected numbers is short. A sum of products is kept in three parts (low,
// middle, high) and reduced once.
//
// File burst.go holds the loop over a burst and what comes before the text of an
// operation, long.go the loop over the text, tail.go its end and the tag, ghash.go
// the multiplication, expand.go the expansion of keys, constants.go what is in
// read-only data.
package main

import (
	"flag"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Where AES-GCM has things in a Key.
const (
	// Before the round keys, the key's block ends in powers of H, the highest first, so
	// that a vector load gives those that blocks in a row need: up to H^16, or for one
	// lane up to H^10 and, in front of them, the sum of each one's halves.
	keyHalf1  = 88
	keyH1     = 15 * 16
	keyRounds = 256

	// The round keys of AES-128 are fewer: by as much does all of them lie further on, so that what a short
	// operation needs is next to the key's header, and takes a cache line less.
	denser = 64
)

// Registers with one meaning throughout a burst.
var (
	ops, list, count = reg.RDI, reg.RSI, reg.RDX

	op, key, src, dst, left = reg.R8, reg.R9, reg.R10, reg.R11, reg.R12

	lastRound = reg.R14 // the last round key
)

// gen writes the routines for one width of vectors.
type gen struct {
	lanes int // blocks in a vector
	open  bool

	// The sixteen vector registers.
	text     [8]reg.VecPhysical // counter blocks, then key stream, then text
	roundKey reg.VecPhysical
	state    reg.VecPhysical // GHASH's: one sum for each lane, not yet multiplied
	mask     reg.VecPhysical // the tag's, in state's place once that is in acc
	acc      sum
	power    reg.VecPhysical // of H
	block    reg.VecPhysical // on its way into acc
	spare    reg.VecPhysical

	// counter is on the stack: the vector unit takes counters from memory, which, unlike
	// a move from a general register, costs it no work. So is whether the key is one of AES-256.
	counter, aes256 Mem
}

func newGen(lanes int) gen {
	all := []reg.VecPhysical{
		reg.X0, reg.X1, reg.X2, reg.X3, reg.X4, reg.X5, reg.X6, reg.X7,
		reg.X8, reg.X9, reg.X10, reg.X11, reg.X12, reg.X13, reg.X14, reg.X15,
	}
	if lanes == 2 {
		for i, x := range all {
			all[i] = x.AsY().(reg.VecPhysical)
		}
	}
	return gen{
		lanes:    lanes,
		text:     [8]reg.VecPhysical(all[:8]),
		roundKey: all[8],
		state:    all[9],
		mask:     all[9],
		acc:      sum{all[10], all[11], all[12]},
		power:    all[13],
		block:    all[14],
		spare:    all[15],
	}
}

// bytes is the size of a vector.
func (g gen) bytes() int { return 16 * g.lanes }

func main() {
	lanes := flag.Int("lanes", 1, "blocks in a vector, 1 or 2")
	flag.Parse()
	ConstraintExpr("amd64")
	g := newGen(*lanes)
	engine := "Avx2"
	if g.lanes == 2 {
		engine = "Vaes256"
	}
	g.constants(engine)
	g.expand(engine)
	g.burst("sealBurst" + engine)
	g.open = true
	g.burst("openBurst" + engine)
	Generate()
}
