package flowtable

import (
	"math/bits"
	"math/rand/v2"
)

// FoldKey is the secret under which hosts, peers and endpoints are folded to a few bits, so that nobody outside knows who falls together with
// whom. The zero value serves where nobody needs to be kept out.
type FoldKey [2]uint64

// NewFoldKey returns a random key.
func NewFoldKey() FoldKey { return FoldKey{rand.Uint64(), rand.Uint64()} }

// Fold is a hash of two words, of which the highest bits count.
func (k *FoldKey) Fold(a, b uint64) uint64 {
	const odd = 0x9e3779b97f4a7c15
	hi, lo := bits.Mul64(a^k[0], b^k[1]^odd)
	hi, lo = bits.Mul64(hi^lo^k[1], k[0]|1)
	return (hi ^ lo) * odd
}
