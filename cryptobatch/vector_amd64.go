package cryptobatch

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"unsafe"
)

//go:generate sh -c "cd _gen && go run ./prefetch -out ../prefetch_amd64.s -stubs ../prefetch_stubs_amd64.go -pkg cryptobatch"

// vectorEngine is every engine in assembly. They work AES-GCM in vectors of their width,
// the operations of a burst one behind the other in one assembly call, so that they
// overlap within the core, and ChaCha20-Poly1305 in lanes, the operations of a burst
// side by side.
//
// All it keeps of a key is in the Key itself.
type vectorEngine struct {
	name string
	// owner is drawn at random for each instance, like the generic engine's.
	owner  uint64
	gcm    gcmRoutines
	chacha func() chachaFamily
}

// gcmRoutines is the assembly for AES-GCM in vectors of one width. A key's block holds
// powers of the hash key and then the round keys: what a short operation needs is in
// one piece, up to the header, and an operation of 64 bytes reads six of the Key's
// eight cache lines, or five under AES-128, whose round keys are fewer; with 512 bits
// their place is that of AES-256's, and it is six.
type gcmRoutines struct {
	expandAES128, expandAES256 func(raw *byte, block *byte)
	seal                       func(ops *byte, list *uint32, count int)
	open                       func(ops *byte, list *uint32, count int) (failed int)
}

// chachaFamily is ChaCha20-Poly1305 in vectors of one width, with the scratch memory
// for it. Both methods work the operations of the list, which passed all checks, and
// write their statuses.
type chachaFamily interface {
	seal(ops []Op, list []uint32)
	open(ops []Op, list []uint32) (failed int)
}

// chachaKeyAt is where a Key's block holds the 32 bytes of a ChaCha20-Poly1305 key:
// on the line of its header.
const chachaKeyAt = keyBlockLen - 32

func newVector(name string, gcm gcmRoutines, chacha func() chachaFamily) (Engine, error) {
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		return nil, fmt.Errorf("cryptobatch: engine identity: %w", err)
	}
	return &vectorEngine{name: name, owner: binary.LittleEndian.Uint64(b[:]) | 1<<63, gcm: gcm, chacha: chacha}, nil
}

func (e *vectorEngine) Name() string { return e.name }

func (e *vectorEngine) Expand(k *Key, alg Algorithm, raw []byte) error {
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
		copy(k.block[chachaKeyAt:], raw)
	case AES128GCM:
		e.gcm.expandAES128(unsafe.SliceData(raw), &k.block[0])
	default:
		e.gcm.expandAES256(unsafe.SliceData(raw), &k.block[0])
	}
	k.alg, k.owner = alg, e.owner
	return nil
}

func (e *vectorEngine) Wipe(k *Key) {
	if k != nil {
		*k = Key{}
	}
}

func (e *vectorEngine) NewBatcher(maxOps int) Batcher {
	n := max(maxOps, 8)
	return &vectorBatcher{e: e, gcm: make([]uint32, n), chacha: make([]uint32, n), family: e.chacha()}
}

// algorithm returns the algorithm of a key that this engine expanded, 0 for any other.
func (e *vectorEngine) algorithm(k *Key) Algorithm {
	if k == nil || k.owner != e.owner {
		return 0
	}
	return k.alg
}

// vectorBatcher sorts the operations of a piece of a batch by algorithm, into lists of
// indices, and hands each list to its family's code.
type vectorBatcher struct {
	e           *vectorEngine
	gcm, chacha []uint32
	family      chachaFamily

	_ [56]byte // to whole cache lines: another core's may follow
}

func (b *vectorBatcher) Seal(ops []Op) (failed int) {
	for len(ops) > 0 {
		piece := ops[:min(len(ops), len(b.gcm))]
		gcm, chacha, refused := b.sort(piece, false)
		failed += refused
		if len(gcm) > 0 {
			b.e.gcm.seal((*byte)(unsafe.Pointer(&piece[0])), &gcm[0], len(gcm))
		}
		if len(chacha) > 0 {
			b.family.seal(piece, chacha)
		}
		ops = ops[len(piece):]
	}
	return failed
}

func (b *vectorBatcher) Open(ops []Op) (failed int) {
	for len(ops) > 0 {
		piece := ops[:min(len(ops), len(b.gcm))]
		gcm, chacha, refused := b.sort(piece, true)
		failed += refused
		if len(gcm) > 0 {
			forged := b.e.gcm.open((*byte)(unsafe.Pointer(&piece[0])), &gcm[0], len(gcm))
			if forged != 0 {
				eraseFailed(piece, gcm)
			}
			failed += forged
		}
		if len(chacha) > 0 {
			failed += b.family.open(piece, chacha)
		}
		ops = ops[len(piece):]
	}
	return failed
}

// sort lists the operations, of which there are some, that may be worked, and sets the
// status of the others.
func (b *vectorBatcher) sort(ops []Op, open bool) (gcm, chacha []uint32, refused int) {
	prefetchKeys((*byte)(unsafe.Pointer(&ops[0])), len(ops))
	g, c := 0, 0
	list, owner, in, out := b.gcm[:len(ops)], b.e.owner, 0, TagLen // bytes of Src and Dst beside the text
	if open {
		in, out = TagLen, 0
	}
	for i := range ops {
		op := &ops[i]
		n := len(op.Src) - in
		if k := op.Key; k != nil && k.owner == owner && k.alg != ChaCha20Poly1305 && uint(n) <= MaxText && len(op.Dst) >= n+out && inPlace(op) {
			list[g] = uint32(i) // as nearly every one
			g++
			continue
		}
		alg, s := b.e.algorithm(op.Key), StatusBadKey
		switch {
		case alg == 0:
		case open:
			s = checkOpen(op)
		default:
			s = checkSeal(op)
		}
		switch {
		case s != StatusOK:
			op.Status = s
			refused++
		case alg == ChaCha20Poly1305:
			b.chacha[c] = uint32(i)
			c++
		default:
			list[g] = uint32(i)
			g++
		}
	}
	return b.gcm[:g], b.chacha[:c], refused
}

// eraseFailed zeroes the plaintext of the operations that are not authentic.
func eraseFailed(ops []Op, list []uint32) {
	for _, i := range list {
		if op := &ops[i]; op.Status == StatusAuthFailed {
			clear(op.Dst[:len(op.Src)-TagLen])
		}
	}
}
