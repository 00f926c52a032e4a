package cryptobatch

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"unsafe"
)

// avx is the engines for CPUs without AVX-512. They work ChaCha20-Poly1305 in
// 256-bit vectors, the operations of a burst side by side, and AES-GCM in vectors of
// the engine's width, the operations of a burst one behind the other in one assembly
// call, so that they overlap within the core.
//
// All it keeps of a key is in the Key itself.
type avx struct {
	name string
	// owner is drawn at random for each instance, like the generic engine's.
	owner uint64
	gcm   gcmRoutines
}

// gcmRoutines is the assembly for AES-GCM in vectors of one width.
type gcmRoutines struct {
	expandAES128, expandAES256 func(raw *byte, block *byte)
	seal                       func(ops *byte, list *uint32, count int)
	open                       func(ops *byte, list *uint32, count int) (failed int)
}

func newAvx(name string, gcm gcmRoutines) (Engine, error) {
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		return nil, fmt.Errorf("cryptobatch: engine identity: %w", err)
	}
	return &avx{name: name, owner: binary.LittleEndian.Uint64(b[:]) | 1<<63, gcm: gcm}, nil
}

func (e *avx) Name() string { return e.name }

func (e *avx) Expand(k *Key, alg Algorithm, raw []byte) error {
	want := alg.KeyLen()
	if want == 0 {
		return fmt.Errorf("cryptobatch: expand %v key: %w", alg, ErrAlgorithm)
	}
	if len(raw) != want {
		return fmt.Errorf("cryptobatch: expand %v key: %w: %d bytes, not %d", alg, ErrKeyLength, len(raw), want)
	}
	e.Wipe(k)
	switch alg {
	case ChaCha20Poly1305:
		expandChaChaAVX2(k, e.owner, raw)
		return nil
	case AES128GCM:
		e.gcm.expandAES128(unsafe.SliceData(raw), &k.block[0])
	default:
		e.gcm.expandAES256(unsafe.SliceData(raw), &k.block[0])
	}
	k.alg, k.owner = alg, e.owner
	return nil
}

func (e *avx) Wipe(k *Key) {
	if k != nil {
		*k = Key{}
	}
}

func (e *avx) NewBatcher(maxOps int) Batcher {
	n := max(maxOps, 8)
	return &avxBatcher{e: e, gcm: make([]uint32, n), chacha: make([]uint32, n)}
}

// algorithm returns the algorithm of a key that this engine expanded, 0 for any other.
func (e *avx) algorithm(k *Key) Algorithm {
	if k == nil || k.owner != e.owner {
		return 0
	}
	return k.alg
}

// avxBatcher sorts the operations of a piece of a batch by algorithm, into lists of
// indices, and hands each list to its family's code.
type avxBatcher struct {
	e           *avx
	gcm, chacha []uint32
	secret      avx2Secrets
}

func (b *avxBatcher) Seal(ops []Op) (failed int) {
	for len(ops) > 0 {
		piece := ops[:min(len(ops), len(b.gcm))]
		gcm, chacha, refused := b.sort(piece, checkSeal)
		failed += refused
		if len(gcm) > 0 {
			b.e.gcm.seal((*byte)(unsafe.Pointer(&piece[0])), &gcm[0], len(gcm))
		}
		if len(chacha) > 0 {
			b.secret.seal(piece, chacha)
		}
		ops = ops[len(piece):]
	}
	return failed
}

func (b *avxBatcher) Open(ops []Op) (failed int) {
	for len(ops) > 0 {
		piece := ops[:min(len(ops), len(b.gcm))]
		gcm, chacha, refused := b.sort(piece, checkOpen)
		failed += refused
		if len(gcm) > 0 {
			forged := b.e.gcm.open((*byte)(unsafe.Pointer(&piece[0])), &gcm[0], len(gcm))
			if forged != 0 {
				eraseFailed(piece, gcm)
			}
			failed += forged
		}
		if len(chacha) > 0 {
			failed += b.secret.open(piece, chacha)
		}
		ops = ops[len(piece):]
	}
	return failed
}

// sort lists the operations that may be worked and sets the status of the others.
func (b *avxBatcher) sort(ops []Op, check func(*Op) Status) (gcm, chacha []uint32, refused int) {
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
