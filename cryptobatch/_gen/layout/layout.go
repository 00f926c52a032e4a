// Package layout says where things are in an Op and in a Key, for all generators.
// Package cryptobatch asserts it at compile time, in layout_amd64.go.
package layout

// Offsets in an Op, and values in it.
const (
	OpKey    = 0
	OpSrc    = 8
	OpSrcLen = 16
	OpDst    = 32
	OpAAD    = 56
	OpAADLen = 64
	OpRow    = 84 // the nonce, and four bytes before it where a block of ChaCha20 has its counter
	OpNonce  = 88
	OpStatus = 100
	OpSize   = 104

	StatusOK = 1
)

// Offsets in a Key, and values in it. How AES-GCM uses the block before them is each
// generator's.
const (
	KeyRaw = 464 // the 32 bytes of a ChaCha20-Poly1305 key
	KeyAlg = 504

	AlgAES256 = 2
)
