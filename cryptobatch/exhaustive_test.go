package cryptobatch

import (
	"bytes"
	"testing"
)

// TestEveryAlignmentMatchesTheReference places Src, Dst and associated data at
// every offset within 64 bytes, with Dst and Src at different ones when apart.
func TestEveryAlignmentMatchesTheReference(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		rng := newRand(10)
		keys := testKeys(t, e, rng, 1)
		b := e.NewBatcher(64)
		for _, n := range []int{0, 1, 15, 16, 17, 31, 63, 64, 65, 127, 255, 256, 257, 511, 577, 1024, 1460} {
			for _, k := range keys {
				for _, inPlace := range []bool{false, true} {
					cases := make([]opCase, 64)
					for i := range cases {
						cases[i] = newOpCase(rng, k, n, i%(MaxAAD+1), inPlace)
						cases[i].misalign = i
					}
					sealAndOpen(t, b, cases)
				}
			}
		}
	})
}

// TestOneForgeryAmongGoodOperationsFailsAloneWhereverItStands walks a bad tag
// through batches of every size, of one length and of mixed ones.
func TestOneForgeryAmongGoodOperationsFailsAloneWhereverItStands(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		rng := newRand(11)
		keys := testKeys(t, e, rng, 2)
		b := e.NewBatcher(64)
		for size := 1; size <= 64; size++ {
			cases := make([]opCase, size)
			for i := range cases {
				n := 64
				if size%2 == 0 {
					n = int(rng.Uint64() % 700)
				}
				cases[i] = newOpCase(rng, keys[i%len(keys)], n, i%20, i%3 == 0)
			}
			for bad := range cases {
				openWithOneBadTag(t, b, cases, bad)
			}
		}
	})
}

func openWithOneBadTag(t *testing.T, b Batcher, cases []opCase, bad int) {
	t.Helper()
	ops, fields := make([]Op, len(cases)), make([]field, len(cases))
	for i := range cases {
		ops[i], fields[i] = cases[i].place(cases[i].sealed, len(cases[i].plain))
	}
	ops[bad].Src[len(ops[bad].Src)-1-bad%TagLen] ^= 1 << (bad % 8)
	if failed := b.Open(ops); failed != 1 || ops[bad].Status != StatusAuthFailed {
		t.Errorf("bad tag at %d of %d: %d failed, it with %v", bad, len(ops), failed, ops[bad].Status)
	}
	if n := len(cases[bad].plain); !bytes.Equal(ops[bad].Dst[:n], make([]byte, n)) {
		t.Errorf("bad tag at %d of %d: plaintext is left", bad, len(ops))
	}
	for i := range cases {
		if i != bad {
			checkOp(t, "open beside a bad tag", &cases[i], &ops[i], fields[i], cases[i].plain, len(cases[i].sealed))
		}
	}
}
