package cryptobatch

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/klauspost/cpuid/v2"
)

// gcmEngines runs the test on the engines that have AES-GCM in assembly, of those that this CPU can run.
func gcmEngines(t *testing.T, test func(t *testing.T, e Engine)) {
	t.Helper()
	for _, name := range []string{Vaes512Name, Vaes256Name, Avx2Name} {
		if slices.Contains(Names(), name) {
			t.Run(name, func(t *testing.T) { test(t, mustEngine(t, name)) })
		}
	}
}

// gcmBranchLengths are the lengths on both sides of every branch of the AES-GCM
// code: less than a block, whole vectors of either width up to two pieces, and
// some pieces with the shortest and the longest tails.
func gcmBranchLengths() []int {
	var lengths []int
	for n := range 17 {
		lengths = append(lengths, n)
	}
	for n := 32; n <= 576; n += 16 {
		lengths = append(lengths, n-1, n, n+1)
	}
	for _, n := range []int{1024, 1408, 1536, 4096} {
		for _, tail := range []int{-1, 0, 1, 8, 15, 16, 17, 127, 128, 129, 192, 193, 224, 225, 255} {
			lengths = append(lengths, n+tail)
		}
	}
	return lengths
}

// TestGCMBurstWithEveryBranchAndBothKeyLengths shuffles operations of all these lengths
// into bursts in which the key length changes from one to the next.
func TestGCMBurstWithEveryBranchAndBothKeyLengths(t *testing.T) {
	gcmEngines(t, func(t *testing.T, e Engine) {
		rng := newRand(70)
		keys := [2]testKey{
			newTestKey(t, e, AES128GCM, randomBytes(rng, 16)),
			newTestKey(t, e, AES256GCM, randomBytes(rng, 32)),
		}
		lengths := gcmBranchLengths()
		b := e.NewBatcher(len(lengths))
		for round := range 8 {
			rand.New(rng).Shuffle(len(lengths), func(i, j int) { lengths[i], lengths[j] = lengths[j], lengths[i] })
			cases := make([]opCase, len(lengths))
			for i, n := range lengths {
				cases[i] = newOpCase(rng, keys[(i+round)%2], n, int(rng.Uint64()%(MaxAAD+1)), rng.Uint64()%2 == 0)
			}
			sealAndOpen(t, b, cases)
			openSomeForged(t, b, cases)
		}
	})
}

// TestGCMOneForgeryOnEachBranch puts a bad tag on one operation of each length in
// turn, between good ones of other lengths.
func TestGCMOneForgeryOnEachBranch(t *testing.T) {
	gcmEngines(t, func(t *testing.T, e Engine) {
		rng := newRand(71)
		keys := [2]testKey{
			newTestKey(t, e, AES128GCM, randomBytes(rng, 16)),
			newTestKey(t, e, AES256GCM, randomBytes(rng, 32)),
		}
		b := e.NewBatcher(8)
		for i, n := range gcmBranchLengths() {
			cases := make([]opCase, 8)
			for j := range cases {
				cases[j] = newOpCase(rng, keys[(i+j)%2], (n+j*67)%900, j*9, j%2 == 0)
			}
			bad := i % len(cases)
			cases[bad] = newOpCase(rng, keys[i/2%2], n, i%20, i%3 == 0)
			openWithOneBadTag(t, b, cases, bad)
		}
	})
}

// TestGCMCountersCarry works text long enough for counters of two and three bytes.
func TestGCMCountersCarry(t *testing.T) {
	gcmEngines(t, func(t *testing.T, e Engine) {
		rng := newRand(72)
		b := e.NewBatcher(1)
		for _, blocks := range []int{1 << 8, 1 << 16} {
			for _, extra := range []int{-100, 300} {
				k := newTestKey(t, e, AES128GCM, randomBytes(rng, 16))
				sealAndOpen(t, b, []opCase{newOpCase(rng, k, 16*blocks+extra, 13, false)})
			}
		}
	})
}

func TestEnginesNeedEveryFeatureThatTheirAssemblyUses(t *testing.T) {
	avx2 := []cpuid.FeatureID{cpuid.AVX2, cpuid.BMI2, cpuid.AESNI, cpuid.CLMUL}
	vaes := []cpuid.FeatureID{cpuid.VAES, cpuid.VPCLMULQDQ}
	check := func(want []string, features ...cpuid.FeatureID) {
		t.Helper()
		if got := namesFrom(table(), cpuWith(features...)); !slices.Equal(got, want) {
			t.Errorf("with %v: %v, want %v", features, got, want)
		}
	}
	check([]string{Vaes256Name, Avx2Name, GenericName}, slices.Concat(avx2, vaes)...)
	for i := range vaes {
		check([]string{Avx2Name, GenericName}, slices.Concat(avx2, slices.Delete(slices.Clone(vaes), i, i+1))...)
	}
	for i := range avx2 {
		check([]string{GenericName}, slices.Concat(vaes, slices.Delete(slices.Clone(avx2), i, i+1))...)
	}
}
