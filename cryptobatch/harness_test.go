package cryptobatch

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"math/rand/v2"
	"testing"

	"golang.org/x/crypto/chacha20poly1305"
)

// eachEngine runs the test on every engine of the table that this CPU can run.
func eachEngine(t *testing.T, test func(t *testing.T, e Engine)) {
	t.Helper()
	for _, name := range Names() {
		t.Run(name, func(t *testing.T) { test(t, mustEngine(t, name)) })
	}
}

func mustEngine(tb testing.TB, name string) Engine {
	tb.Helper()
	e, err := New(name)
	if err != nil {
		tb.Fatal(err)
	}
	return e
}

// reference makes the library's AEAD by direct calls, past this package.
func reference(tb testing.TB, alg Algorithm, raw []byte) cipher.AEAD {
	tb.Helper()
	if alg == ChaCha20Poly1305 {
		aead, err := chacha20poly1305.New(raw)
		if err != nil {
			tb.Fatal(err)
		}
		return aead
	}
	block, err := aes.NewCipher(raw)
	if err != nil {
		tb.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		tb.Fatal(err)
	}
	return aead
}

// testKey is a raw key with its expansion and its reference.
type testKey struct {
	alg  Algorithm
	raw  []byte
	key  *Key
	aead cipher.AEAD
}

func newTestKey(tb testing.TB, e Engine, alg Algorithm, raw []byte) testKey {
	tb.Helper()
	k := testKey{alg: alg, raw: raw, key: new(Key), aead: reference(tb, alg, raw)}
	if err := e.Expand(k.key, alg, raw); err != nil {
		tb.Fatal(err)
	}
	return k
}

// testKeys makes perAlg different keys for each algorithm, mixed.
func testKeys(tb testing.TB, e Engine, rng *rand.ChaCha8, perAlg int) []testKey {
	tb.Helper()
	var keys []testKey
	for range perAlg {
		for _, alg := range Algorithms() {
			keys = append(keys, newTestKey(tb, e, alg, randomBytes(rng, alg.KeyLen())))
		}
	}
	return keys
}

func newRand(seed byte) *rand.ChaCha8 { return rand.NewChaCha8([32]byte{seed}) }

func randomBytes(rng *rand.ChaCha8, n int) []byte {
	b := make([]byte, n)
	rng.Read(b)
	return b
}

// margin is how many bytes around a field's place must stay as they are.
const margin = 64

// field is a place for n bytes within memory filled with a pattern.
type field struct {
	all  []byte
	from int
	n    int
}

const canary = 0xa5

func newField(n, misalign int) field {
	all := bytes.Repeat([]byte{canary}, margin+misalign+n+margin)
	return field{all, margin + misalign, n}
}

func (f field) bytes() []byte { return f.all[f.from : f.from+f.n] }

// marginsIntact reports whether nothing but the first used bytes of the place
// was written.
func (f field) marginsIntact(used int) bool {
	around := len(f.all) - used
	return bytes.Count(f.all[:f.from], []byte{canary})+bytes.Count(f.all[f.from+used:], []byte{canary}) == around
}

// opCase is one operation with what must come out of it.
type opCase struct {
	k          testKey
	nonce      [NonceLen]byte
	aad, plain []byte
	sealed     []byte
	inPlace    bool
	misalign   int
}

func newOpCase(rng *rand.ChaCha8, k testKey, textLen, aadLen int, inPlace bool) opCase {
	c := opCase{k: k, aad: randomBytes(rng, aadLen), plain: randomBytes(rng, textLen), inPlace: inPlace}
	rng.Read(c.nonce[:])
	c.misalign = int(rng.Uint64() % 64)
	c.sealed = k.aead.Seal(nil, c.nonce[:], c.plain, c.aad)
	return c
}

// place lays in out in fresh memory and returns the operation and the field
// that Dst is in. In place, that field is Src's too.
func (c *opCase) place(in []byte, outLen int) (Op, field) {
	op := Op{Key: c.k.key, Nonce: c.nonce, AAD: bytes.Clone(c.aad)}
	if c.inPlace {
		dst := newField(max(len(in), outLen), c.misalign)
		op.Src = dst.bytes()[:len(in)]
		op.Dst = dst.bytes()[:outLen]
		copy(op.Src, in)
		return op, dst
	}
	dst := newField(outLen, c.misalign)
	src := newField(len(in), c.misalign/2)
	op.Src, op.Dst = src.bytes(), dst.bytes()
	copy(op.Src, in)
	return op, dst
}

// sealAndOpen works the cases as one batch both ways and compares every byte
// with the reference.
func sealAndOpen(t *testing.T, b Batcher, cases []opCase) {
	t.Helper()
	check := func(what string, work func([]Op) int, in, want func(*opCase) []byte) {
		ops := make([]Op, len(cases))
		fields := make([]field, len(cases))
		for i := range cases {
			ops[i], fields[i] = cases[i].place(in(&cases[i]), len(want(&cases[i])))
		}
		if failed := work(ops); failed != 0 {
			t.Errorf("%s: %d of %d failed", what, failed, len(ops))
		}
		for i := range cases {
			checkOp(t, what, &cases[i], &ops[i], fields[i], want(&cases[i]), len(in(&cases[i])))
		}
	}
	plain := func(c *opCase) []byte { return c.plain }
	sealed := func(c *opCase) []byte { return c.sealed }
	check("seal", b.Seal, plain, sealed)
	check("open", b.Open, sealed, plain)
}

func checkOp(t *testing.T, what string, c *opCase, op *Op, f field, want []byte, inLen int) {
	t.Helper()
	used := len(want)
	if c.inPlace {
		used = max(used, inLen)
	}
	switch {
	case op.Status != StatusOK:
		t.Errorf("%s %v of %d+%d bytes: %v", what, c.k.alg, len(c.plain), len(c.aad), op.Status)
	case !bytes.Equal(op.Dst, want):
		t.Errorf("%s %v of %d+%d bytes, in place %v: differs from the reference", what, c.k.alg, len(c.plain), len(c.aad), c.inPlace)
	case !f.marginsIntact(used):
		t.Errorf("%s %v of %d+%d bytes: wrote outside of Dst", what, c.k.alg, len(c.plain), len(c.aad))
	case !bytes.Equal(op.AAD, c.aad):
		t.Errorf("%s %v of %d+%d bytes: changed the AAD", what, c.k.alg, len(c.plain), len(c.aad))
	}
}
