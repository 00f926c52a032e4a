package cryptobatch

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"

	"github.com/klauspost/cpuid/v2"
	"golang.org/x/crypto/chacha20"
)

func needVaes512(t *testing.T) {
	t.Helper()
	if !vaes512Runs(&cpuid.CPU) {
		t.Skip("this CPU has no AVX-512 with IFMA")
	}
}

// modelTag is RFC 8439, sections 2.5 and 2.8, in numbers of any size.
func modelTag(key [32]byte, aad, text []byte) []byte {
	number := func(b []byte) *big.Int {
		b = slices.Clone(b)
		slices.Reverse(b)
		return new(big.Int).SetBytes(b)
	}
	clamp := key
	for _, i := range []int{3, 7, 11, 15} {
		clamp[i] &= 15
	}
	for _, i := range []int{4, 8, 12} {
		clamp[i] &= 252
	}
	r, p := number(clamp[:16]), new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 130), big.NewInt(5))
	message := slices.Concat(aad, make([]byte, -len(aad)&15), text, make([]byte, -len(text)&15))
	message = binary.LittleEndian.AppendUint64(message, uint64(len(aad)))
	message = binary.LittleEndian.AppendUint64(message, uint64(len(text)))
	sum := new(big.Int)
	for block := range slices.Chunk(message, 16) {
		sum.Add(sum, number(append(slices.Clone(block), 1)))
		sum.Mod(sum.Mul(sum, r), p)
	}
	sum.Add(sum, number(key[16:]))
	tag := make([]byte, 48)
	sum.FillBytes(tag)
	slices.Reverse(tag)
	return tag[:16]
}

// polyCase draws a message. Bytes of one kind, all ones above all, make sums that
// are near to 2^130 and carries that run through all limbs.
func polyCase(rng *rand.Rand, most int) (key [32]byte, aad, text []byte) {
	fill := func(b []byte) []byte {
		switch rng.IntN(4) {
		case 0:
			for i := range b {
				b[i] = 0xff
			}
		case 1: // zeros
		default:
			for i := range b {
				b[i] = byte(rng.Uint32())
			}
		}
		return b
	}
	fill(key[:16])
	fill(key[16:])
	return key, fill(make([]byte, rng.IntN(MaxAAD+1))), fill(make([]byte, rng.IntN(most+1)))
}

func TestTagsOfAnyLengthsEqualTheModel(t *testing.T) {
	needVaes512(t)
	rng := rand.New(rand.NewPCG(4, 8439))
	for round := range 400 {
		var ops [8]Op
		var keys [8][32]byte
		var s chachaSecrets
		n, list := 1+round%8, []uint32{3, 0, 7, 1, 6, 2, 5, 4}
		want := make([][]byte, n)
		for i := range n {
			key, aad, text := polyCase(rng, []int{0, 63, 64, 200, 700}[rng.IntN(5)])
			keys[i], want[i] = key, modelTag(key, aad, text)
			ops[list[i]] = Op{AAD: aad, Src: make([]byte, len(text)), Dst: append(text, make([]byte, TagLen)...)}
		}
		p := (*byte)(unsafe.Pointer(&ops))
		chachaSealTags(p, &list[0], n, &keys[0][0], &s.states[0])
		for i, w := range want {
			op := &ops[list[i]]
			if tag := op.Dst[len(op.Src):]; !bytes.Equal(tag, w) || op.Status != StatusOK {
				t.Fatalf("round %d, lane %d of %d bytes: %x, want %x (%v)", round, i, len(op.Src), tag, w, op.Status)
			}
			op.Src, op.Dst = op.Dst, nil
		}
		forged := rng.IntN(n)
		ops[list[forged]].Src[len(ops[list[forged]].Src)-1-rng.IntN(TagLen)] ^= 1 << rng.IntN(8)
		if failed := chachaOpenTags(p, &list[0], n, &keys[0][0], &s.states[0]); failed != 1 {
			t.Fatalf("round %d: %d of %d tags failed, want 1", round, failed, n)
		}
		for i := range want {
			if got := ops[list[i]].Status; (got == StatusAuthFailed) != (i == forged) || i != forged && got != StatusOK {
				t.Fatalf("round %d, lane %d, forged is %d: %v", round, i, forged, got)
			}
		}
	}
}

func TestChaChaLanesEqualTheLibrary(t *testing.T) {
	needVaes512(t)
	for _, k := range []struct {
		name        string
		lanes, most int
		run         func(lanes, scratch *byte)
	}{
		{"chachaLanes16", 16, 64, chachaLanes16},
		{"chachaLanes32", 32, 64, chachaLanes32},
	} {
		for seed := range 40 {
			t.Run(fmt.Sprintf("%s/%d", k.name, seed), func(t *testing.T) {
				testChaChaLanes(t, rand.New(rand.NewPCG(uint64(seed), 7)), k.lanes, k.most, k.run)
			})
		}
	}
}

// testChaChaLanes gives every lane a key, a nonce, a counter and a length of its
// own, the lengths 0 and most among them.
func testChaChaLanes(t *testing.T, rng *rand.Rand, n, most int, run func(lanes, scratch *byte)) {
	random := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		return b
	}
	var s chachaSecrets
	lanes := make([]chachaLane, n)
	got, want := make([][]byte, n), make([][]byte, n)
	for i := range lanes {
		key, src, length := random(32), random(most), max(0, min(most, rng.IntN(most*3/2)-most/4))
		got[i], want[i] = random(most), nil
		// A counter may be anything but the last ones: the library does not wrap.
		lanes[i] = chachaLane{key: unsafe.Pointer(&key[0]), src: unsafe.Pointer(&src[0]), dst: unsafe.Pointer(&got[i][0]), n: length, counter: rng.Uint32() % (1<<32 - 8), nonce: [12]byte(random(12))}
		c, err := chacha20.NewUnauthenticatedCipher(key, lanes[i].nonce[:])
		if err != nil {
			t.Fatal(err)
		}
		c.SetCounter(lanes[i].counter)
		want[i] = slices.Clone(got[i])
		c.XORKeyStream(want[i][:length], src[:length])
	}
	run((*byte)(unsafe.Pointer(&lanes[0])), &s.states[0])
	for i := range lanes {
		if !bytes.Equal(got[i], want[i]) {
			t.Errorf("lane %d of %d bytes, counter %d: %x, want %x", i, lanes[i].n, lanes[i].counter, got[i], want[i])
		}
	}
}

// TestChaChaBurstsOfLongAndShortOperations mixes what goes through single blocks,
// fours of blocks, pieces of 1 KiB and lanes that end early, in one burst that takes
// several rounds of the engine.
func TestChaChaBurstsOfLongAndShortOperations(t *testing.T) {
	lengths := []int{0, 1, 64, 65, 128, 129, 192, 256, 257, 384, 385, 1023, 1024, 1025, 1460, 2047, 2048, 3072, 4096, 9000, 16384, 20001}
	testChaChaBursts(t, func(r uint64) int { return lengths[r%uint64(len(lengths))] })
}

// TestChaChaBurstsWithRoomForKeys has in every operation's last four blocks room for the
// block that its one-time key comes from.
func TestChaChaBurstsWithRoomForKeys(t *testing.T) {
	testChaChaBursts(t, func(r uint64) int {
		n := int(r%9)<<8 | 65 + int(r>>8%128)
		return max(n, 129)
	})
}

func testChaChaBursts(t *testing.T, length func(random uint64) int) {
	t.Helper()
	needVaes512(t)
	e := mustEngine(t, Vaes512Name)
	rng := newRand(44)
	var keys [3]testKey
	for i := range keys {
		keys[i] = newTestKey(t, e, ChaCha20Poly1305, randomBytes(rng, 32))
	}
	for _, size := range []int{1, 2, 7, 8, 9, 16, 17, 31, 32, 33, 70} {
		b := e.NewBatcher(size)
		for range 3 {
			cases := make([]opCase, size)
			for i := range cases {
				r := rng.Uint64()
				cases[i] = newOpCase(rng, keys[i%3], length(r), int(r>>40%(MaxAAD+1)), r>>60&1 == 0)
			}
			sealAndOpen(t, b, cases)
			openSomeForged(t, b, cases)
		}
		if *b.(*vectorBatcher).family.(*chachaSecrets) != (chachaSecrets{}) {
			t.Errorf("burst of %d: the batcher still holds secrets", size)
		}
	}
}

// openSomeForged opens the cases with one bit of every third one changed.
func openSomeForged(t *testing.T, b Batcher, cases []opCase) {
	t.Helper()
	ops := make([]Op, len(cases))
	for i := range cases {
		ops[i], _ = cases[i].place(cases[i].sealed, len(cases[i].plain))
		if i%3 == 0 {
			ops[i].Src[i*131%len(ops[i].Src)] ^= 1 << (i % 8)
		}
	}
	if failed, want := b.Open(ops), (len(ops)+2)/3; failed != want {
		t.Errorf("burst of %d: %d failed, want %d", len(ops), failed, want)
	}
	for i, c := range cases {
		want, status := c.plain, StatusOK
		if i%3 == 0 {
			want, status = make([]byte, len(c.plain)), StatusAuthFailed
		}
		if ops[i].Status != status || !bytes.Equal(ops[i].Dst, want) {
			t.Errorf("burst of %d: operation %d of %d bytes: %v, or wrong bytes in Dst", len(ops), i, len(c.plain), ops[i].Status)
		}
	}
}
