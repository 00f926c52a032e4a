package cryptobatch

import "errors"

// ErrAlgorithm is wrapped by Expand's error for an algorithm it does not know.
var ErrAlgorithm = errors.New("unknown AEAD algorithm")

// ErrKeyLength is wrapped by Expand's error for a raw key of the wrong length.
var ErrKeyLength = errors.New("wrong AEAD key length")

// KeySize is the size of a Key in bytes: eight cache lines, so that an array
// of keys that starts on a line boundary keeps each key on lines of its own.
const KeySize = 512

// keyBlockLen holds 16 hash-key powers and the 15 round keys of AES-256.
const keyBlockLen = KeySize - 16

// Key is an expanded key. It is opaque, flat and of fixed size: the caller keeps
// keys in an array of its own (a per-core slab indexed by flow). It holds no
// pointer, because two keys for each of a million flows must cost the garbage
// collector nothing and must be allowed to live in locked, mmapped memory; an
// engine that needs Go objects keeps them itself and leaves a number here.
//
// The zero Key is not expanded and every operation under it is refused. A Key
// works only with the engine that expanded it; what another engine left,
// or another process did, is refused likewise. Keys are used in place: a copy is not a
// second key, and dies when the original is wiped. One Key may serve any
// number of batchers at once, but not while it is expanded or wiped.
type Key struct {
	// block is the owning engine's, laid out as it likes. What every operation
	// touches belongs at the end, on the cache line of the fields below (a
	// ChaCha20 key then costs one line).
	block [keyBlockLen]byte
	// owner names the engine instance or layout that filled the key; 0: none.
	owner uint64
	alg   Algorithm
	_     [6]byte
}

// Algorithm returns what the key was expanded for, 0 if it is not expanded.
func (k *Key) Algorithm() Algorithm {
	if k.owner == 0 {
		return 0
	}
	return k.alg
}
