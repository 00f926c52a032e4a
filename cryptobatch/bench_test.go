package cryptobatch

import (
	"fmt"
	"testing"
)

const benchBurst = 32

var benchSizes = []int{64, 256, 512, 1380, 1460, 4096, 16384}

// benchBatch makes a burst of operations of one size, apart, over the keys. Src
// has extra bytes behind the text.
func benchBatch(keys []Key, size, extra int) []Op {
	ops := make([]Op, benchBurst)
	src := make([]byte, benchBurst*(size+TagLen))
	dst := make([]byte, benchBurst*(size+TagLen))
	aad := []byte{1, 2, 3}
	for i := range ops {
		at := i * (size + TagLen)
		ops[i] = Op{Key: &keys[i%len(keys)], AAD: aad, Src: src[at : at+size+extra], Dst: dst[at : at+size+TagLen]}
		ops[i].Nonce[11] = byte(i)
	}
	return ops
}

func benchKeys(b *testing.B, e Engine, alg Algorithm, n int) []Key {
	b.Helper()
	keys := make([]Key, n)
	raw := make([]byte, alg.KeyLen())
	for i := range keys {
		raw[0], raw[1], raw[2] = byte(i), byte(i>>8), byte(i>>16)
		if err := e.Expand(&keys[i], alg, raw); err != nil {
			b.Fatal(err)
		}
	}
	return keys
}

// eachBench runs a benchmark for every engine, algorithm and size.
func eachBench(b *testing.B, run func(b *testing.B, e Engine, alg Algorithm, size int)) {
	for _, name := range Names() {
		for _, alg := range Algorithms() {
			for _, size := range benchSizes {
				b.Run(fmt.Sprintf("%s/%v/%d", name, alg, size), func(b *testing.B) {
					b.ReportAllocs()
					b.SetBytes(int64(size * benchBurst))
					run(b, mustEngine(b, name), alg, size)
					b.ReportMetric(float64(b.N)*benchBurst/b.Elapsed().Seconds()/1e6, "Mops/s")
				})
			}
		}
	}
}

// BenchmarkSeal's operation is a burst of 32.
func BenchmarkSeal(b *testing.B) {
	eachBench(b, func(b *testing.B, e Engine, alg Algorithm, size int) {
		ops := benchBatch(benchKeys(b, e, alg, 1), size, 0)
		batcher := e.NewBatcher(benchBurst)
		for b.Loop() {
			if batcher.Seal(ops) != 0 {
				b.Fatal("seal failed")
			}
		}
	})
}

// BenchmarkOpen's operation is a burst of 32.
func BenchmarkOpen(b *testing.B) {
	eachBench(b, func(b *testing.B, e Engine, alg Algorithm, size int) {
		keys := benchKeys(b, e, alg, 1)
		batcher := e.NewBatcher(benchBurst)
		seal, open := benchBatch(keys, size, 0), benchBatch(keys, size, TagLen)
		for i := range seal {
			seal[i].Dst = open[i].Src
		}
		batcher.Seal(seal)
		for b.Loop() {
			if batcher.Open(open) != 0 {
				b.Fatal("open failed")
			}
		}
	})
}

// BenchmarkSealKeys shows what keys that are not in the cache cost: bursts of 32
// operations of 64 bytes that walk over many keys.
func BenchmarkSealKeys(b *testing.B) {
	for _, name := range Names() {
		for _, n := range []int{1, 1000, 100000} {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(64 * benchBurst)
				e := mustEngine(b, name)
				keys := benchKeys(b, e, AES128GCM, n)
				ops := benchBatch(keys, 64, 0)
				batcher := e.NewBatcher(benchBurst)
				next := 0
				for b.Loop() {
					for i := range ops {
						// A step that is prime to the number of keys defeats the prefetcher.
						next = (next + 7919) % n
						ops[i].Key = &keys[next]
					}
					if batcher.Seal(ops) != 0 {
						b.Fatal("seal failed")
					}
				}
			})
		}
	}
}
