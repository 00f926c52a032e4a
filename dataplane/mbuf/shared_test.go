package mbuf

import (
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"unsafe"
)

func shared(t *testing.T, n int) *Shared {
	t.Helper()
	a, err := NewArena(n, 64)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	return NewShared(a)
}

// all takes every buffer of a pool, none of which may come twice.
func all(t *testing.T, p Pool) {
	t.Helper()
	ms := make([]*Mbuf, p.Size())
	if p.Avail() != p.Size() || !p.AllocBulk(ms) {
		t.Fatalf("%d of %d buffers are free", p.Avail(), p.Size())
	}
	at := make([]uintptr, len(ms))
	for i, m := range ms {
		at[i] = uintptr(unsafe.Pointer(m))
	}
	slices.Sort(at)
	if len(slices.Compact(at)) != p.Size() {
		t.Fatal("a buffer is there twice")
	}
	if p.AllocBulk(ms[:1]) {
		t.Fatal("a buffer too many")
	}
	p.FreeBulk(ms)
}

func TestSharedPoolGivesEveryBufferOnce(t *testing.T) {
	for _, n := range []int{1, 255, 256, 257, 5000} {
		p := shared(t, n)
		all(t, p)
		all(t, p)
	}
}

func TestSharedPoolGivesAllOrNothing(t *testing.T) {
	p := shared(t, 300)
	ms := make([]*Mbuf, 301)
	if p.AllocBulk(ms) {
		t.Error("more buffers than there are")
	}
	if !p.AllocBulk(ms[:299]) || p.AllocBulk(ms[299:301]) || p.Avail() != 1 {
		t.Errorf("%d are free", p.Avail())
	}
	p.FreeBulk(ms[:299])
	all(t, p)
}

func TestBuffersThatAnotherCoreFreesGoHome(t *testing.T) {
	const threads, rounds = 4, 20_000
	p := shared(t, 4*threads*CacheChunk)
	pipes := make([]chan *Mbuf, threads)
	for i := range pipes {
		pipes[i] = make(chan *Mbuf, 64)
	}
	var running sync.WaitGroup
	for i := range threads {
		running.Go(func() {
			take, give, rng := NewShare(p, threads), pipes[(i+1)%threads], rand.New(rand.NewPCG(1, uint64(i)))
			for sent, got := 0, 0; sent < rounds || got < rounds; {
				if m := (*Mbuf)(nil); sent < rounds && rng.IntN(2) == 0 {
					if m = take.Alloc(); m != nil {
						m.HashLo = uint32(i)
						select {
						case give <- m:
							sent++
						default:
							take.Free(m)
						}
					}
				}
				select {
				case m := <-pipes[i]:
					if m.HashLo != uint32((i+threads-1)%threads) {
						t.Error("a buffer was in two hands")
					}
					got++
					take.Free(m)
				default:
				}
			}
			take.Flush()
		})
	}
	running.Wait()
	all(t, p)
}

func TestThreadsOfASharedPoolWriteLinesFarApart(t *testing.T) {
	var s Shared
	at := []uintptr{unsafe.Offsetof(s.chunks) + unsafe.Sizeof(s.chunks) - 1, unsafe.Offsetof(s.whole), unsafe.Offsetof(s.part), unsafe.Offsetof(s.empty),
		unsafe.Offsetof(s.avail), unsafe.Sizeof(s)}
	for i := 1; i < len(at); i++ {
		if at[i]-at[i-1] < 128 {
			t.Errorf("offsets %d and %d", at[i-1], at[i])
		}
	}
}

// What one core allocates and another frees, for a pool of one thread and for one that they share.
func BenchmarkBufferGoesHome(b *testing.B) {
	for _, kind := range []struct {
		name string
		pool func(a *Arena) Pool
	}{{"arena", func(a *Arena) Pool { return a }}, {"shared", func(a *Arena) Pool { return NewShared(a) }}} {
		b.Run(kind.name, func(b *testing.B) {
			a, err := NewArena(1<<14, DefaultDataRoom)
			if err != nil {
				b.Fatal(err)
			}
			defer a.Close()
			pool := kind.pool(a)
			from, to := NewShare(pool, 2), NewShare(pool, 2)
			for b.Loop() {
				to.Free(from.Alloc())
			}
		})
	}
}
