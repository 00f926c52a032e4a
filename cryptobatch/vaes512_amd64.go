package cryptobatch

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"

	"github.com/klauspost/cpuid/v2"
)

// Vaes512Name is the name of the engine for AVX-512 with vector AES.
const Vaes512Name = "vaes512"

// vaes512 works bursts with 512-bit vectors: several AES blocks, or ChaCha20
// lanes, in each instruction, and the operations of a burst one behind the other
// in few assembly calls, so that they overlap within the core.
//
// All it keeps of a key is in the Key itself.
type vaes512 struct {
	// owner is drawn at random for each instance, like the generic engine's.
	owner uint64
}

// vaes512Runs asks for all that the assembly of both families uses. The cpuid
// package reports AVX-512 only where the operating system saves its registers.
func vaes512Runs(cpu *cpuid.CPUInfo) bool {
	return cpu.Supports(cpuid.AVX512F, cpuid.AVX512BW, cpuid.AVX512DQ, cpuid.AVX512VL, cpuid.AVX512IFMA, cpuid.AVX512VBMI, cpuid.AVX512VBMI2,
		cpuid.VAES, cpuid.VPCLMULQDQ, cpuid.AESNI, cpuid.CLMUL, cpuid.BMI1, cpuid.BMI2, cpuid.AVX2)
}

func newVaes512() (Engine, error) {
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		return nil, fmt.Errorf("cryptobatch: engine identity: %w", err)
	}
	return &vaes512{owner: binary.LittleEndian.Uint64(b[:]) | 1<<63}, nil
}

func (v *vaes512) Name() string { return Vaes512Name }

func (v *vaes512) Expand(k *Key, alg Algorithm, raw []byte) error {
	want := alg.KeyLen()
	if want == 0 {
		return fmt.Errorf("cryptobatch: expand %v key: %w", alg, ErrAlgorithm)
	}
	if len(raw) != want {
		return fmt.Errorf("cryptobatch: expand %v key: %w: %d bytes, not %d", alg, ErrKeyLength, len(raw), want)
	}
	v.Wipe(k)
	if alg == ChaCha20Poly1305 {
		return v.expandChaCha(k, raw)
	}
	v.expandGCM(k, alg, raw)
	return nil
}

func (v *vaes512) Wipe(k *Key) {
	if k != nil {
		*k = Key{}
	}
}

func (v *vaes512) NewBatcher(maxOps int) Batcher {
	n := max(maxOps, 8)
	return &vaes512Batcher{v: v, gcm: make([]uint32, n), chacha: make([]uint32, n)}
}

// vaes512Batcher sorts the operations of a piece of a batch by algorithm, into
// lists of indices, and hands each list to its family's code.
type vaes512Batcher struct {
	v           *vaes512
	gcm, chacha []uint32
	secret      chachaSecrets
}

func (b *vaes512Batcher) Seal(ops []Op) (failed int) {
	for len(ops) > len(b.gcm) {
		failed += b.sealPiece(ops[:len(b.gcm)])
		ops = ops[len(b.gcm):]
	}
	return failed + b.sealPiece(ops)
}

func (b *vaes512Batcher) sealPiece(ops []Op) (failed int) {
	g, c := 0, 0
	for i := range ops {
		op := &ops[i]
		alg := b.v.algorithm(op.Key)
		if alg == 0 {
			op.Status = StatusBadKey
			failed++
			continue
		}
		if s := checkSeal(op); s != StatusOK {
			op.Status = s
			failed++
			continue
		}
		if alg == ChaCha20Poly1305 {
			b.chacha[c] = uint32(i)
			c++
			continue
		}
		b.gcm[g] = uint32(i)
		g++
	}
	if g > 0 {
		b.v.sealGCM(ops, b.gcm[:g])
	}
	if c > 0 {
		failed += b.sealChaCha(ops, b.chacha[:c])
	}
	return failed
}

func (b *vaes512Batcher) Open(ops []Op) (failed int) {
	for len(ops) > len(b.gcm) {
		failed += b.openPiece(ops[:len(b.gcm)])
		ops = ops[len(b.gcm):]
	}
	return failed + b.openPiece(ops)
}

func (b *vaes512Batcher) openPiece(ops []Op) (failed int) {
	g, c := 0, 0
	for i := range ops {
		op := &ops[i]
		alg := b.v.algorithm(op.Key)
		if alg == 0 {
			op.Status = StatusBadKey
			failed++
			continue
		}
		if s := checkOpen(op); s != StatusOK {
			op.Status = s
			failed++
			continue
		}
		if alg == ChaCha20Poly1305 {
			b.chacha[c] = uint32(i)
			c++
			continue
		}
		b.gcm[g] = uint32(i)
		g++
	}
	if g > 0 {
		failed += b.v.openGCM(ops, b.gcm[:g])
	}
	if c > 0 {
		failed += b.openChaCha(ops, b.chacha[:c])
	}
	return failed
}

// algorithm returns the algorithm of a key that this engine expanded, 0 for any other.
func (v *vaes512) algorithm(k *Key) Algorithm {
	if k == nil || k.owner != v.owner {
		return 0
	}
	return k.alg
}
