package cryptobatch

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"

	"github.com/klauspost/cpuid/v2"
)

// Avx2Name is the name of the engine for CPUs without AVX-512.
const Avx2Name = "avx2"

// avx2 works ChaCha20-Poly1305 in 256-bit vectors, the operations of a burst side
// by side. AES-GCM is the standard library's, one operation after the other,
// through the generic engine inside, whose keys name it as their owner.
type avx2 struct {
	// owner is drawn at random for each instance, like the generic engine's.
	owner   uint64
	generic *generic
}

func avx2Runs(cpu *cpuid.CPUInfo) bool {
	return cpu.Supports(cpuid.AVX2, cpuid.BMI2)
}

func newAvx2() (Engine, error) {
	g, err := newGeneric()
	if err != nil {
		return nil, err
	}
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		return nil, fmt.Errorf("cryptobatch: engine identity: %w", err)
	}
	return &avx2{owner: binary.LittleEndian.Uint64(b[:]) | 1<<63, generic: g.(*generic)}, nil
}

func (e *avx2) Name() string { return Avx2Name }

func (e *avx2) Expand(k *Key, alg Algorithm, raw []byte) error {
	if alg != ChaCha20Poly1305 {
		return e.expandGCM(k, alg, raw)
	}
	if len(raw) != alg.KeyLen() {
		return fmt.Errorf("cryptobatch: expand %v key: %w: %d bytes, not %d", alg, ErrKeyLength, len(raw), alg.KeyLen())
	}
	e.Wipe(k)
	expandChaChaAVX2(k, e.owner, raw)
	return nil
}

// Wipe gives up what the generic engine holds for the key if it is one of its.
func (e *avx2) Wipe(k *Key) { e.generic.Wipe(k) }

func (e *avx2) NewBatcher(maxOps int) Batcher {
	n := max(maxOps, 8)
	return &avx2Batcher{e: e, gcm: make([]uint32, n), chacha: make([]uint32, n)}
}

// expandGCM makes k an AES-GCM key, or refuses an algorithm that is none.
func (e *avx2) expandGCM(k *Key, alg Algorithm, raw []byte) error {
	return e.generic.Expand(k, alg, raw)
}

// sealGCM seals the AES-GCM operations of the list, which passed all checks.
func (e *avx2) sealGCM(ops []Op, list []uint32) (failed int) {
	g := genericBatcher{e.generic}
	for _, i := range list {
		op := &ops[i]
		if op.Status = g.seal(op); op.Status != StatusOK {
			failed++
		}
	}
	return failed
}

// openGCM opens the AES-GCM operations of the list, which passed all checks.
func (e *avx2) openGCM(ops []Op, list []uint32) (failed int) {
	g := genericBatcher{e.generic}
	for _, i := range list {
		op := &ops[i]
		if op.Status = g.open(op); op.Status != StatusOK {
			failed++
		}
	}
	return failed
}

// avx2Batcher sorts the operations of a piece of a batch by algorithm, into lists
// of indices, and hands each list to its family's code.
type avx2Batcher struct {
	e           *avx2
	gcm, chacha []uint32
	secret      avx2Secrets
}

func (b *avx2Batcher) Seal(ops []Op) (failed int) {
	for len(ops) > 0 {
		piece := ops[:min(len(ops), len(b.gcm))]
		gcm, chacha, refused := b.sort(piece, checkSeal)
		failed += refused + b.e.sealGCM(piece, gcm)
		if len(chacha) > 0 {
			b.secret.seal(piece, chacha)
		}
		ops = ops[len(piece):]
	}
	return failed
}

func (b *avx2Batcher) Open(ops []Op) (failed int) {
	for len(ops) > 0 {
		piece := ops[:min(len(ops), len(b.gcm))]
		gcm, chacha, refused := b.sort(piece, checkOpen)
		failed += refused + b.e.openGCM(piece, gcm)
		if len(chacha) > 0 {
			failed += b.secret.open(piece, chacha)
		}
		ops = ops[len(piece):]
	}
	return failed
}

// sort lists the operations that may be worked and sets the status of the others.
func (b *avx2Batcher) sort(ops []Op, check func(*Op) Status) (gcm, chacha []uint32, refused int) {
	g, c := 0, 0
	for i := range ops {
		op := &ops[i]
		alg := b.e.algorithm(op.Key)
		s := StatusBadKey
		if alg != 0 {
			s = check(op)
		}
		switch {
		case s != StatusOK:
			op.Status = s
			refused++
		case alg == ChaCha20Poly1305:
			b.chacha[c] = uint32(i)
			c++
		default:
			b.gcm[g] = uint32(i)
			g++
		}
	}
	return b.gcm[:g], b.chacha[:c], refused
}

// algorithm returns the algorithm of a key that this engine expanded, 0 for any other.
func (e *avx2) algorithm(k *Key) Algorithm {
	if k == nil || k.owner != e.owner && k.owner != e.generic.owner {
		return 0
	}
	return k.alg
}
