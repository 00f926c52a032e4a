package cryptobatch

import (
	"bytes"
	"reflect"
	"testing"
	"unsafe"
)

// textLengths are all lengths up to that of a frame and those around sizes of
// buffers.
func textLengths() []int {
	var lengths []int
	for n := 0; n <= 2100; n++ {
		lengths = append(lengths, n)
	}
	for _, n := range []int{4096, 8192, 16384, 65536} {
		lengths = append(lengths, n-65, n-64, n-63, n-17, n-16, n-15, n-1, n, n+1, n+15, n+16, n+17, n+63, n+64, n+65)
	}
	return lengths
}

func TestEveryLengthMatchesTheReference(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		rng := newRand(1)
		keys := testKeys(t, e, rng, 1)
		b := e.NewBatcher(6)
		for i, n := range textLengths() {
			var cases []opCase
			for _, k := range keys {
				for _, inPlace := range []bool{false, true} {
					cases = append(cases, newOpCase(rng, k, n, i%(MaxAAD+1), inPlace))
				}
			}
			sealAndOpen(t, b, cases)
		}
	})
}

func TestEveryAADLengthMatchesTheReference(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		rng := newRand(2)
		keys := testKeys(t, e, rng, 1)
		b := e.NewBatcher(8)
		for aadLen := 0; aadLen <= MaxAAD; aadLen++ {
			for _, k := range keys {
				var cases []opCase
				for i, n := range []int{0, 1, 15, 16, 17, 64, 129, 300} {
					cases = append(cases, newOpCase(rng, k, n, aadLen, i%2 == 0))
				}
				sealAndOpen(t, b, cases)
			}
		}
	})
}

func TestBatchesOf1To64WithMixedAlgorithmsKeysAndLengths(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		rng := newRand(3)
		keys := testKeys(t, e, rng, 5)
		b := e.NewBatcher(64)
		for size := 1; size <= 64; size++ {
			for range 3 {
				cases := make([]opCase, size)
				for i := range cases {
					r := rng.Uint64()
					k := keys[r%uint64(len(keys))]
					n := int(r >> 16 % 1600)
					cases[i] = newOpCase(rng, k, n, int(r>>40%(MaxAAD+1)), r>>60&1 == 0)
				}
				sealAndOpen(t, b, cases)
			}
		}
	})
}

func TestBatchLongerThanScratchIsWorkedWhole(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		rng := newRand(4)
		keys := testKeys(t, e, rng, 1)
		for _, maxOps := range []int{0, 1, 7} {
			var cases []opCase
			for i := range 50 {
				cases = append(cases, newOpCase(rng, keys[i%len(keys)], i*3, 4, i%2 == 0))
			}
			sealAndOpen(t, e.NewBatcher(maxOps), cases)
		}
	})
}

func TestEmptyBatchIsNoFailure(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		b := e.NewBatcher(4)
		if n := b.Seal(nil); n != 0 {
			t.Errorf("Seal(nil) = %d", n)
		}
		if n := b.Open([]Op{}); n != 0 {
			t.Errorf("Open of no operation = %d", n)
		}
	})
}

func TestDstMayBeLongerThanTheResultAndTheRestStays(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		rng := newRand(5)
		b := e.NewBatcher(1)
		for _, k := range testKeys(t, e, rng, 1) {
			c := newOpCase(rng, k, 100, 5, false)
			check := func(what string, work func([]Op) int, in, want []byte) {
				f := newField(len(want)+40, 3)
				op := []Op{{Key: k.key, Nonce: c.nonce, AAD: c.aad, Src: in, Dst: f.bytes()}}
				if work(op) != 0 || !bytes.Equal(f.bytes()[:len(want)], want) || !f.marginsIntact(len(want)) {
					t.Errorf("%s %v: %v, or bytes beyond the result changed", what, k.alg, op[0].Status)
				}
			}
			check("seal", b.Seal, c.plain, c.sealed)
			check("open", b.Open, c.sealed, c.plain)
			if inPlace := bytes.Clone(c.sealed); b.Open([]Op{{Key: k.key, Nonce: c.nonce, AAD: c.aad, Src: inPlace, Dst: inPlace}}) != 0 ||
				!bytes.Equal(inPlace[:100], c.plain) || !bytes.Equal(inPlace[100:], c.sealed[100:]) {
				t.Errorf("open %v with Dst and Src one slice: wrong result, or the tag's bytes changed", k.alg)
			}
		}
	})
}

func TestAADMayShareMemoryWithSrc(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		rng := newRand(6)
		b := e.NewBatcher(1)
		for _, k := range testKeys(t, e, rng, 1) {
			src := randomBytes(rng, 80)
			want := k.aead.Seal(nil, make([]byte, NonceLen), src, src[5:25])
			op := []Op{{Key: k.key, AAD: src[5:25], Src: src, Dst: make([]byte, 96)}}
			if b.Seal(op) != 0 || !bytes.Equal(op[0].Dst, want) {
				t.Errorf("seal %v: %v or wrong result", k.alg, op[0].Status)
			}
		}
	})
}

func TestOnlyWhatIsWrittenOfDstCountsAsOverlap(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		rng := newRand(9)
		b := e.NewBatcher(1)
		for _, k := range testKeys(t, e, rng, 1) {
			c := newOpCase(rng, k, 64, 9, false)
			mem := make([]byte, 200)
			op := []Op{{Key: k.key, Nonce: c.nonce, Dst: mem, Src: mem[80:144], AAD: mem[144:153]}}
			copy(op[0].Src, c.plain)
			copy(op[0].AAD, c.aad)
			if b.Seal(op) != 0 || !bytes.Equal(mem[:80], c.sealed) {
				t.Errorf("seal %v with Src right behind the result: %v or wrong result", k.alg, op[0].Status)
			}
			op[0].Src, op[0].AAD = mem[64:144], mem[144:153]
			copy(op[0].Src, c.sealed)
			if b.Open(op) != 0 || !bytes.Equal(mem[:64], c.plain) {
				t.Errorf("open %v with Src right behind the result: %v or wrong result", k.alg, op[0].Status)
			}
		}
	})
}

func TestUserAndInputsOfAnOperationStayTheCallers(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		rng := newRand(7)
		k := testKeys(t, e, rng, 1)[0]
		c := newOpCase(rng, k, 200, 20, false)
		op, _ := c.place(c.plain, len(c.sealed))
		op.User = 0xfeed
		ops := []Op{op}
		e.NewBatcher(1).Seal(ops)
		if ops[0].User != 0xfeed || ops[0].Nonce != c.nonce || !bytes.Equal(op.Src, c.plain) || ops[0].Key != k.key {
			t.Error("an input of the operation changed")
		}
	})
}

func TestSteadyStateAllocatesNothing(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		rng := newRand(8)
		keys := testKeys(t, e, rng, 2)
		b := e.NewBatcher(32)
		seal, open := make([]Op, 32), make([]Op, 32)
		for i := range seal {
			c := newOpCase(rng, keys[i%len(keys)], i*50, 4, false)
			seal[i], _ = c.place(c.plain, len(c.sealed))
			open[i], _ = c.place(c.sealed, len(c.plain))
		}
		open[3].Src[0] ^= 1
		open[4].Key, seal[4].Key = nil, nil
		open[5].Dst, seal[5].Dst = nil, nil
		if n := testing.AllocsPerRun(50, func() { b.Seal(seal); b.Open(open) }); n != 0 {
			t.Errorf("%v allocations for a burst each way, want 0", n)
		}
	})
}

func TestOperationInPlaceIsThatOfItsSlices(t *testing.T) {
	frame, key := make([]byte, 100), new(Key)
	got, want := Op{User: 5}, Op{User: 5, Key: key, Src: frame[3:60:60], Dst: frame[3:76:76], AAD: frame[:3:3]}
	got.InPlace(key, unsafe.Pointer(&frame[3]), 57, 73, unsafe.Pointer(&frame[0]), 3)
	if !reflect.DeepEqual(got, want) || &got.Src[0] != &frame[3] || &got.Dst[0] != &frame[3] || &got.AAD[0] != &frame[0] ||
		cap(got.Src) != 57 || cap(got.Dst) != 73 || cap(got.AAD) != 3 {
		t.Errorf("%+v, want %+v", got, want)
	}
}
