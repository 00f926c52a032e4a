package cryptobatch

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"

	"github.com/klauspost/cpuid/v2"
	"golang.org/x/crypto/chacha20"
)

func needAvx2(t *testing.T) {
	t.Helper()
	if !avx2Runs(&cpuid.CPU) {
		t.Skip("this CPU has no AVX2 with BMI2")
	}
}

// avx2LaneCase makes a lane with key, nonce and counter of its own, and the
// whole of what must be in the memory at its dst.
func avx2LaneCase(t *testing.T, rng *rand.Rand, size, n int) (lane avx2Lane, got, want []byte) {
	t.Helper()
	random := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		return b
	}
	key, src, nonce := random(32), random(size), [12]byte(random(12))
	got = random(size)
	// A counter may be anything but the last ones: the library does not wrap.
	counter := rng.Uint32() % (1<<32 - 1024)
	lane = avx2Lane{unsafe.Pointer(&key[0]), unsafe.Pointer(&src[0]), unsafe.Pointer(&got[0]), n, counter, nonce}
	c, err := chacha20.NewUnauthenticatedCipher(key, nonce[:])
	if err != nil {
		t.Fatal(err)
	}
	c.SetCounter(counter)
	want = slices.Clone(got)
	c.XORKeyStream(want[:n], src[:n])
	return lane, got, want
}

func TestAvx2ChaChaLanesEqualTheLibrary(t *testing.T) {
	needAvx2(t)
	rng := rand.New(rand.NewPCG(1, 7))
	var s avx2Secrets
	for n := range 65 {
		var lanes [8]avx2Lane
		var got, want [8][]byte
		for i := range lanes {
			lanes[i], got[i], want[i] = avx2LaneCase(t, rng, 64, (n+i*i)%65)
		}
		chachaLanes8AVX2((*byte)(unsafe.Pointer(&lanes)), nil, &s.states[0])
		for i := range lanes {
			if !bytes.Equal(got[i], want[i]) {
				t.Errorf("lane %d of %d bytes, counter %d: %x, want %x", i, lanes[i].n, lanes[i].counter, got[i], want[i])
			}
		}
	}
}

// TestAvx2MessagesInPartsEqualTheModel absorbs some of each message beside runs and
// lanes of ChaCha20, which must come out right too, and the rest in pairs.
func TestAvx2MessagesInPartsEqualTheModel(t *testing.T) {
	needAvx2(t)
	rng := rand.New(rand.NewPCG(2, 8439))
	for round := range 400 {
		var poly [2]avx2Poly
		var keys [2][32]byte
		var tags [2][TagLen]byte
		var want [2][]byte
		var s avx2Secrets
		for i := range poly {
			key, aad, text := polyCase(rng, []int{0, 63, 200, 700, 3000}[rng.IntN(5)])
			keys[i], want[i] = key, modelTag(key, aad, text)
			poly[i].set(aad, text)
			runs := rng.IntN(len(text)/avx2Run + 1)
			if rng.IntN(2) == 0 {
				poly[i].begin(&keys[i])
			} else {
				runs = 0
			}
			if runs > 0 {
				feedAvx2Run(t, rng, &poly[i], &s, runs)
			}
			if poly[i].begun && poly[i].textLeft >= 48 && rng.IntN(2) == 0 {
				feedAvx2Lanes(t, rng, &poly[i], &s)
			}
		}
		polyPairAVX2((*byte)(unsafe.Pointer(&poly)), &keys[0][0], &tags[0][0])
		for i, w := range want {
			if !bytes.Equal(tags[i][:], w) {
				t.Fatalf("round %d, message of %d bytes, %d left: %x, want %x", round, poly[i].textLen, poly[i].textLeft, tags[i], w)
			}
		}
	}
}

func feedAvx2Run(t *testing.T, rng *rand.Rand, p *avx2Poly, s *avx2Secrets, runs int) {
	t.Helper()
	lane, got, want := avx2LaneCase(t, rng, runs*avx2Run+1, runs*avx2Run)
	left := p.textLeft - runs*avx2Run
	chachaRun8AVX2((*byte)(unsafe.Pointer(&lane)), (*byte)(unsafe.Pointer(p)), &s.states[0])
	if !bytes.Equal(got, want) {
		t.Errorf("run of %d bytes from counter %d differs from the library", runs*avx2Run, lane.counter)
	}
	if p.textLeft != left || lane.n != 0 {
		t.Errorf("after a run of %d bytes %d of the message and %d of the run are left, want %d and 0", runs*avx2Run, p.textLeft, lane.n, left)
	}
}

func feedAvx2Lanes(t *testing.T, rng *rand.Rand, p *avx2Poly, s *avx2Secrets) {
	t.Helper()
	var lanes [8]avx2Lane
	var got, want [8][]byte
	for i := range lanes {
		lanes[i], got[i], want[i] = avx2LaneCase(t, rng, 64, rng.IntN(65))
	}
	left := p.textLeft - min(10, p.textLeft/48)*48
	chachaLanes8AVX2((*byte)(unsafe.Pointer(&lanes)), (*byte)(unsafe.Pointer(p)), &s.states[0])
	for i := range lanes {
		if !bytes.Equal(got[i], want[i]) {
			t.Errorf("lane %d of %d bytes differs from the library", i, lanes[i].n)
		}
	}
	if p.textLeft != left {
		t.Errorf("after eight lanes %d bytes of the message are left, want %d", p.textLeft, left)
	}
}

func TestAvx2RunAloneEqualsTheLibrary(t *testing.T) {
	needAvx2(t)
	rng := rand.New(rand.NewPCG(3, 7))
	var s avx2Secrets
	for runs := 1; runs <= 5; runs++ {
		lane, got, want := avx2LaneCase(t, rng, runs*avx2Run+1, runs*avx2Run)
		chachaRun8AVX2((*byte)(unsafe.Pointer(&lane)), nil, &s.states[0])
		if !bytes.Equal(got, want) {
			t.Errorf("run of %d bytes from counter %d differs from the library", runs*avx2Run, lane.counter)
		}
	}
}

// TestAvx2BurstsOfLongAndShortOperations mixes runs, single blocks and messages
// absorbed beside others, in one burst that takes several pieces.
func TestAvx2BurstsOfLongAndShortOperations(t *testing.T) {
	needAvx2(t)
	e := mustEngine(t, Avx2Name)
	rng := newRand(45)
	lengths := []int{0, 1, 63, 64, 65, 255, 511, 512, 513, 1023, 1024, 1460, 2047, 4096, 9000, 16384, 20001}
	var keys [3]testKey
	for i := range keys {
		keys[i] = newTestKey(t, e, ChaCha20Poly1305, randomBytes(rng, 32))
	}
	for _, size := range []int{1, 2, 3, 7, 8, 9, 31, 32, 33, 70} {
		b := e.NewBatcher(size)
		for range 4 {
			cases := make([]opCase, size)
			for i := range cases {
				r := rng.Uint64()
				cases[i] = newOpCase(rng, keys[i%3], lengths[r%uint64(len(lengths))], int(r>>40%(MaxAAD+1)), r>>60&1 == 0)
			}
			sealAndOpen(t, b, cases)
			openSomeForged(t, b, cases)
		}
		if *b.(*vectorBatcher).family.(*avx2Secrets) != (avx2Secrets{}) {
			t.Errorf("burst of %d: the batcher still holds secrets", size)
		}
	}
}
