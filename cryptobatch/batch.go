package cryptobatch

import "unsafe"

// Status is the result of one operation.
type Status uint8

// The results of an operation. Those from StatusBadKey on are the caller's
// mistakes: the operation was refused before anything was read or written.
const (
	// StatusNone is the zero value: no batcher has worked the operation. It is
	// not StatusOK, so that an operation that was left out does not pass for an
	// authenticated one.
	StatusNone Status = iota
	// StatusOK: Dst holds the result.
	StatusOK
	// StatusAuthFailed: the tag is wrong (Open only). The plaintext's place in
	// Dst is zeroed; if it is in place, the ciphertext is therefore gone too.
	StatusAuthFailed
	// StatusBadKey: Key is nil, not expanded, or another engine's.
	StatusBadKey
	// StatusBadLength: Src is shorter than a tag (Open), longer than MaxText
	// allows, or its result does not fit in Dst.
	StatusBadLength
	// StatusBadAAD: AAD is longer than MaxAAD.
	StatusBadAAD
	// StatusBadOverlap: Dst shares memory with Src without starting where Src
	// does, or shares memory with AAD.
	StatusBadOverlap
)

var statusNames = [...]string{"none", "ok", "auth-failed", "bad-key", "bad-length", "bad-aad", "bad-overlap"}

// String returns a short name, used for counters and test output.
func (s Status) String() string {
	if int(s) < len(statusNames) {
		return statusNames[s]
	}
	return "unknown"
}

// Refused reports whether the operation was refused, untouched, for what the
// caller asked, and not for what came over the wire.
func (s Status) Refused() bool { return s >= StatusBadKey }

// Op is one operation of a batch. The caller owns it and all it refers to. The
// operations of one batch are worked in no particular order and several at
// once, so memory that one of them writes must not be another's Src, AAD or Dst.
type Op struct {
	// Key is an expanded key of the batcher's engine.
	Key *Key
	// Src is the plaintext when sealing, the ciphertext with its tag behind it
	// when opening. At most MaxText bytes of text; may be empty (sealing) or a
	// tag alone (opening).
	Src []byte
	// Dst takes len(Src)+TagLen bytes when sealing, len(Src)-TagLen when
	// opening. It may be longer; what is beyond stays as it is. It may start
	// where Src starts (in place); any other overlap is refused.
	Dst []byte
	// AAD is the associated data, at most MaxAAD bytes. It may share memory with
	// Src, but not with what is written of Dst.
	AAD []byte
	// User is the caller's, neither read nor written here.
	User uint64
	// Nonce is the nonce, used as it is.
	Nonce [NonceLen]byte
	// Status is the result, written for every operation of a batch.
	Status Status
}

// opSlices is an Op as its slices lie in memory.
type opSlices struct {
	key           *Key
	src, dst, aad struct {
		data     unsafe.Pointer
		len, cap int
	}
}

// InPlace makes an operation under a key on text at one place, src bytes before and
// dst bytes behind it, with aadLen bytes of associated data at another. It does what
// three slices would, without the checks that each costs where it is made: the caller
// vouches for memory and lengths.
func (op *Op) InPlace(key *Key, text unsafe.Pointer, src, dst int, aad unsafe.Pointer, aadLen int) {
	o := (*opSlices)(unsafe.Pointer(op))
	o.key = key
	o.src.data, o.src.len, o.src.cap = text, src, src
	o.dst.data, o.dst.len, o.dst.cap = text, dst, dst
	o.aad.data, o.aad.len, o.aad.cap = aad, aadLen, aadLen
}

// Batcher works batches on one core. It holds scratch memory and is not safe
// for concurrent use. It neither allocates nor locks.
type Batcher interface {
	// Seal encrypts and authenticates each operation and sets its Status. It
	// returns how many have a status other than StatusOK; an operation that
	// fails does not touch the others.
	Seal(ops []Op) (failed int)
	// Open verifies, in constant time, and decrypts each operation and sets its
	// Status. It returns how many have a status other than StatusOK. Where the
	// tag is wrong, no unauthenticated plaintext is left behind.
	Open(ops []Op) (failed int)
}

// Engine is one implementation of all algorithms. Its methods are safe for
// concurrent use.
type Engine interface {
	// Name is the name by which New finds the engine.
	Name() string
	// Expand makes k a key for alg from raw, which stays the caller's and is not
	// referred to afterwards. What k was before is wiped. The error wraps
	// ErrAlgorithm or ErrKeyLength, and k is then as it was. It is for the set-up
	// path of a connection: the generic engine allocates.
	Expand(k *Key, alg Algorithm, raw []byte) error
	// Wipe erases k, and what the engine keeps for it, and leaves the zero Key.
	// Every expanded key must be wiped before its memory is given up: the generic
	// engine holds memory for it until then.
	Wipe(k *Key)
	// NewBatcher makes a batcher with scratch for maxOps operations at a time.
	// Longer batches are worked too, in several pieces.
	NewBatcher(maxOps int) Batcher
}
