package cryptobatch

import (
	"bytes"
	"fmt"
	"os"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// guarded is memory outside of the Go heap with an inaccessible page on either
// side: a read or a write of one byte too many ends the test process.
type guarded struct{ mem []byte }

func newGuarded(tb testing.TB, size int) guarded {
	tb.Helper()
	page := os.Getpagesize()
	size = (size + page - 1) / page * page
	all, err := unix.Mmap(-1, 0, size+2*page, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := unix.Munmap(all); err != nil {
			tb.Error(err)
		}
	})
	mem := all[page : page+size]
	if err := unix.Mprotect(mem, unix.PROT_READ|unix.PROT_WRITE); err != nil {
		tb.Fatal(err)
	}
	return guarded{mem}
}

// first and last return n bytes that touch the inaccessible page before or
// behind the memory.
func (g guarded) first(n int) []byte { return g.mem[:n:n] }
func (g guarded) last(n int) []byte  { return g.mem[len(g.mem)-n:] }

// edge picks first or last.
func (g guarded) edge(high bool, n int) []byte {
	if high {
		return g.last(n)
	}
	return g.first(n)
}

// guardedOp has Src, Dst and AAD against guard pages of their own.
type guardedOp struct{ src, dst, aad guarded }

func newGuardedOp(tb testing.TB, size int) guardedOp {
	return guardedOp{newGuarded(tb, size), newGuarded(tb, size), newGuarded(tb, MaxAAD)}
}

// lay makes the operation of a case with every buffer against the guard page
// behind (high) or before it.
func (g guardedOp) lay(c *opCase, in []byte, outLen int, high bool) Op {
	op := Op{Key: c.k.key, Nonce: c.nonce, AAD: g.aad.edge(high, len(c.aad))}
	if c.inPlace {
		both := g.dst.edge(high, max(len(in), outLen))
		op.Src, op.Dst = both[:len(in)], both[:outLen]
	} else {
		op.Src, op.Dst = g.src.edge(high, len(in)), g.dst.edge(high, outLen)
	}
	copy(op.Src, in)
	copy(op.AAD, c.aad)
	return op
}

// checkGuarded works the cases as one batch, each against its guard pages.
func checkGuarded(t *testing.T, b Batcher, mem []guardedOp, cases []opCase, high bool) {
	t.Helper()
	ops := make([]Op, len(cases))
	for i := range cases {
		ops[i] = mem[i].lay(&cases[i], cases[i].plain, len(cases[i].sealed), high)
	}
	b.Seal(ops)
	for i, c := range cases {
		if !bytes.Equal(ops[i].Dst, c.sealed) {
			t.Errorf("seal %v of %d bytes, edge high %v: %v, or differs from the reference", c.k.alg, len(c.plain), high, ops[i].Status)
		}
		ops[i] = mem[i].lay(&cases[i], c.sealed, len(c.plain), high)
	}
	b.Open(ops)
	for i, c := range cases {
		if !bytes.Equal(ops[i].Dst, c.plain) {
			t.Errorf("open %v of %d bytes, edge high %v: %v, or differs from the reference", c.k.alg, len(c.plain), high, ops[i].Status)
		}
		ops[i] = mem[i].lay(&cases[i], c.sealed, len(c.plain), high)
		ops[i].Src[len(c.plain)] ^= 1
	}
	if failed := b.Open(ops); failed != len(ops) {
		t.Errorf("%d of %d forgeries failed", failed, len(ops))
	}
}

func TestNothingOutsideTheBuffersIsTouchedBesideGuardPages(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		rng := newRand(60)
		keys := testKeys(t, e, rng, 1)
		b := e.NewBatcher(6)
		mem := make([]guardedOp, 6)
		for i := range mem {
			mem[i] = newGuardedOp(t, 65536+65+TagLen)
		}
		for i, n := range textLengths() {
			cases := make([]opCase, len(mem))
			for j := range cases {
				cases[j] = newOpCase(rng, keys[j%3], n, (i+j)%(MaxAAD+1), j >= 3)
			}
			checkGuarded(t, b, mem, cases, true)
			checkGuarded(t, b, mem, cases, false)
		}
	})
}

func TestKeysMayLiveInMappedMemoryBetweenGuardPages(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		rng, b := newRand(61), e.NewBatcher(1)
		mem := newGuarded(t, 16*KeySize)
		slab := unsafe.Slice((*Key)(unsafe.Pointer(unsafe.SliceData(mem.mem))), len(mem.mem)/KeySize)
		for i := range slab {
			alg := Algorithms()[i%3]
			raw := randomBytes(rng, alg.KeyLen())
			if err := e.Expand(&slab[i], alg, raw); err != nil {
				t.Fatal(err)
			}
			if !(testKey{alg, raw, &slab[i], reference(t, alg, raw)}).works(b) {
				t.Errorf("%v key %d in mapped memory is wrong", alg, i)
			}
		}
		for i := range slab {
			e.Wipe(&slab[i])
		}
		if !bytes.Equal(mem.mem, make([]byte, len(mem.mem))) {
			t.Error("wiping every key left bytes behind")
		}
	})
}

func TestTextBeyondMaxTextIsRefusedWithoutBeingRead(t *testing.T) {
	mem, err := unix.Mmap(-1, 0, MaxText+1<<12, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Munmap(mem); err != nil {
			t.Error(err)
		}
	}()
	eachEngine(t, func(t *testing.T, e Engine) {
		b := e.NewBatcher(1)
		for _, k := range testKeys(t, e, newRand(62), 1) {
			op := []Op{{Key: k.key, Src: mem[:MaxText+1], Dst: mem}}
			if b.Seal(op) != 1 || op[0].Status != StatusBadLength {
				t.Error(sealedTooMuch(k, op[0]))
			}
			op[0].Src = mem[:MaxText+TagLen+1]
			if b.Open(op) != 1 || op[0].Status != StatusBadLength {
				t.Error(sealedTooMuch(k, op[0]))
			}
		}
	})
}

func sealedTooMuch(k testKey, op Op) string {
	return fmt.Sprintf("%v of %d bytes: %v, want %v", k.alg, len(op.Src), op.Status, StatusBadLength)
}
