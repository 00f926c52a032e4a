package cryptobatch

import (
	"bytes"
	"crypto/cipher"
	"encoding/binary"
	"testing"
)

// fuzzOp is what the fuzzer's bytes say about one operation: eight bytes each.
// The first may have up to 65,535 bytes, the others up to 2,047, for speed.
type fuzzOp struct {
	alg              Algorithm
	key              byte
	textLen, aadLen  int
	inPlace, forge   bool
	misalign, flipAt int
}

const fuzzOpLen = 8

func decodeFuzzOps(data []byte) []fuzzOp {
	var ops []fuzzOp
	for len(data) >= fuzzOpLen && len(ops) < 64 {
		algs := Algorithms()
		textLen := int(binary.LittleEndian.Uint16(data[2:]))
		if len(ops) > 0 {
			textLen %= 2048
		}
		ops = append(ops, fuzzOp{
			alg:      algs[int(data[0])%len(algs)],
			key:      data[1],
			textLen:  textLen,
			aadLen:   int(data[4]) % (MaxAAD + 1),
			inPlace:  data[5]&1 != 0,
			forge:    data[5]&2 != 0,
			misalign: int(data[6]) % 64,
			flipAt:   int(data[7]),
		})
		data = data[fuzzOpLen:]
	}
	return ops
}

// FuzzBatchMatchesTheReference compares each engine that this CPU runs,
// generic among them, with direct calls of the libraries, byte for byte, a
// batch at a time, sealing, opening and opening forgeries.
func FuzzBatchMatchesTheReference(f *testing.F) {
	f.Add([]byte("0123456789abcdef"), []byte{0, 0, 0, 0, 0, 0, 0, 0})
	f.Add([]byte{}, []byte{1, 1, 64, 0, 4, 1, 0, 0, 2, 2, 65, 0, 13, 2, 1, 9, 0, 0, 0xb4, 5, 64, 3, 7, 77})
	f.Add([]byte{0xff}, bytes.Repeat([]byte{2, 3, 0x34, 0x01, 1, 1, 5, 200, 0, 3, 0xff, 0xff, 0, 2, 9, 3}, 8))
	var engines []Engine
	for _, name := range Names() {
		engines = append(engines, mustEngine(f, name))
	}
	f.Fuzz(func(t *testing.T, seed, data []byte) {
		plan := decodeFuzzOps(data)
		for _, e := range engines {
			fuzzEngine(t, e, seed, plan)
		}
	})
}

func fuzzEngine(t *testing.T, e Engine, seed []byte, plan []fuzzOp) {
	var s [32]byte
	copy(s[:], seed)
	rng := newRand(0)
	rng.Seed(s)
	cases := make([]opCase, len(plan))
	for i, p := range plan {
		raw := bytes.Repeat([]byte{p.key}, p.alg.KeyLen())
		k := newTestKey(t, e, p.alg, raw)
		defer e.Wipe(k.key)
		cases[i] = newOpCase(rng, k, p.textLen, p.aadLen, p.inPlace)
		cases[i].misalign = p.misalign
	}
	b := e.NewBatcher(16)
	sealAndOpen(t, b, cases)
	ops := make([]Op, len(plan))
	forged := 0
	for i, p := range plan {
		ops[i], _ = cases[i].place(cases[i].sealed, p.textLen)
		if p.forge {
			ops[i].Src[p.flipAt*257%len(ops[i].Src)] ^= 1 << (p.flipAt % 8)
			forged++
		}
	}
	if failed := b.Open(ops); failed != forged {
		t.Errorf("%s: %d failed, want the %d forged", e.Name(), failed, forged)
	}
	for i, p := range plan {
		checkFuzzed(t, e, &cases[i], &ops[i], p.forge)
	}
}

func checkFuzzed(t *testing.T, e Engine, c *opCase, op *Op, forged bool) {
	t.Helper()
	want, status := c.plain, StatusOK
	if forged {
		want, status = make([]byte, len(c.plain)), StatusAuthFailed
	}
	if op.Status != status || !bytes.Equal(op.Dst, want) {
		t.Errorf("%s: open %v of %d bytes, forged %v: %v, or wrong bytes in Dst", e.Name(), c.k.alg, len(c.plain), forged, op.Status)
	}
}

// FuzzPlacementRule draws Src, Dst and AAD anywhere in one piece of memory.
// What the libraries would panic over must be refused and touch nothing; what
// is worked must equal the reference on copies.
func FuzzPlacementRule(f *testing.F) {
	f.Add(uint8(0), uint8(0), uint8(40), uint8(0), uint8(56), uint8(100), uint8(8))
	f.Add(uint8(1), uint8(10), uint8(40), uint8(11), uint8(80), uint8(10), uint8(8))
	f.Add(uint8(2), uint8(60), uint8(16), uint8(0), uint8(61), uint8(59), uint8(1))
	var engines []Engine
	for _, name := range Names() {
		engines = append(engines, mustEngine(f, name))
	}
	f.Fuzz(func(t *testing.T, alg, src, srcLen, dst, dstLen, aad, aadLen uint8) {
		a := Algorithms()[int(alg)%3]
		raw := make([]byte, a.KeyLen())
		for _, e := range engines {
			k := newTestKey(t, e, a, raw)
			mem := randomBytes(newRand(alg), 512)
			before := bytes.Clone(mem)
			op := []Op{{Key: k.key, Src: part(mem, src, srcLen), Dst: part(mem, dst, dstLen), AAD: part(mem, aad, aadLen)}}
			failed := e.NewBatcher(1).Seal(op)
			want := sealedPlace(k.aead, before, src, srcLen, dst, dstLen, aad, aadLen)
			if (want == nil) != (failed == 1 && op[0].Status.Refused()) {
				t.Errorf("%s: %v, but the rule says refused: %v", e.Name(), op[0].Status, want == nil)
			}
			if want == nil {
				want = before
			}
			if !bytes.Equal(mem, want) {
				t.Errorf("%s: %v: memory is not what it should be", e.Name(), op[0].Status)
			}
			e.Wipe(k.key)
		}
	})
}

func part(mem []byte, from, n uint8) []byte { return mem[from : int(from)+int(n)] }

// sealedPlace returns the memory after the operation by a rule written byte by
// byte, nil if it must be refused.
func sealedPlace(aead cipher.AEAD, mem []byte, src, srcLen, dst, dstLen, aad, aadLen uint8) []byte {
	out := int(srcLen) + TagLen
	if int(dstLen) < out || aadLen > MaxAAD {
		return nil
	}
	for i := int(dst); i < int(dst)+out; i++ {
		inSrc := i >= int(src) && i < int(src)+int(srcLen)
		inAAD := i >= int(aad) && i < int(aad)+int(aadLen)
		if inAAD || inSrc && src != dst {
			return nil
		}
	}
	after := bytes.Clone(mem)
	copy(after[dst:], aead.Seal(nil, make([]byte, NonceLen), part(mem, src, srcLen), part(mem, aad, aadLen)))
	return after
}
