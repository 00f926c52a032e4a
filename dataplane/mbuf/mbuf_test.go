package mbuf

import (
	"sync"
	"sync/atomic"
	"testing"
	"unsafe"
)

func newCache(t testing.TB, n int) *Cache {
	t.Helper()
	a, err := NewArena(n, DefaultDataRoom)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	return NewCache(a)
}

func TestEveryBufferIsHandedOutOnceAndComesBack(t *testing.T) {
	for _, n := range []int{1, 3, CacheChunk, 3*CacheChunk + 7} {
		c := newCache(t, n)
		ms := make([]*Mbuf, n+1)
		for round := range 3 {
			if got := c.AllocBurst(ms); got != n {
				t.Fatalf("%d buffers, round %d: got %d", n, round, got)
			}
			seen := map[*Mbuf]bool{}
			for _, m := range ms[:n] {
				if seen[m] {
					t.Fatal("a buffer was handed out twice")
				}
				seen[m] = true
			}
			if c.Avail() != 0 {
				t.Errorf("%d buffers left", c.Avail())
			}
			c.FreeBurst(ms[:n])
		}
		if c.Flush(); c.Avail() != n || c.Pool().Avail() != n {
			t.Errorf("%d of %d buffers came back", c.Pool().Avail(), n)
		}
	}
}

func TestBuffersDoNotOverlap(t *testing.T) {
	c := newCache(t, 8)
	var ms [8]*Mbuf
	c.AllocBurst(ms[:])
	for i, m := range ms {
		buf := m.Buf()
		for j := range buf {
			buf[j] = byte(i)
		}
	}
	for i, m := range ms {
		if m.BufLen != Headroom+DefaultDataRoom || m.DataOff() != Headroom || m.RefCnt() != 1 {
			t.Errorf("buffer %d: header overwritten: %+v", i, m)
		}
		for j, b := range m.Buf() {
			if b != byte(i) {
				t.Fatalf("buffer %d: byte %d is %d", i, j, b)
			}
		}
	}
}

func TestRetainedBufferIsFreedByItsLastHolder(t *testing.T) {
	c := newCache(t, 1)
	m := c.Alloc()
	m.Retain()
	c.Free(m)
	if c.Avail() != 0 || m.RefCnt() != 1 {
		t.Fatalf("freed under its second holder: %d references", m.RefCnt())
	}
	c.Free(m)
	if c.Avail() != 1 {
		t.Error("not freed by the last holder")
	}
	if m = c.Alloc(); m == nil || m.RefCnt() != 1 {
		t.Error("a reused buffer has not one reference")
	}
}

func TestReferencesAreCountedByManyThreadsThatEachHoldOne(t *testing.T) {
	c := newCache(t, 1)
	m := c.Alloc()
	const threads = 4
	var last atomic.Int32
	var wg sync.WaitGroup
	for range threads - 1 {
		m.Retain()
	}
	for range threads {
		wg.Go(func() {
			for range 1000 {
				m.Retain()
				if m.release() {
					t.Error("released under its holder")
				}
			}
			if m.release() {
				last.Add(1)
			}
		})
	}
	wg.Wait()
	if last.Load() != 1 || m.RefCnt() != 1 || m.DataOff() != Headroom {
		t.Errorf("%d threads were the last, %d references, data at %d", last.Load(), m.RefCnt(), m.DataOff())
	}
}

func TestFreeTakesAWholeChain(t *testing.T) {
	c := newCache(t, 3)
	a, b := c.Alloc(), c.Alloc()
	a.Next, a.NbSegs = unsafe.Pointer(b), 2
	c.Free(a)
	if c.Avail() != 3 {
		t.Errorf("%d of 3 buffers free", c.Avail())
	}
}

func TestAppendStopsAtTheBufferEnd(t *testing.T) {
	m := newCache(t, 1).Alloc()
	if !m.Append(make([]byte, DefaultDataRoom-1)) || m.Append([]byte("no")) || !m.Append([]byte("y")) {
		t.Error("wrong bounds")
	}
	if m.TailroomLen() != 0 || len(m.Data()) != DefaultDataRoom || m.PktLen != DefaultDataRoom {
		t.Errorf("%d bytes, %d behind", len(m.Data()), m.TailroomLen())
	}
	m.SetBounds(Headroom-20, 40)
	if m.HeadroomLen() != Headroom-20 || len(m.Data()) != 40 || m.RefCnt() != 1 {
		t.Errorf("after SetBounds: offset %d, %d bytes, %d references", m.DataOff(), len(m.Data()), m.RefCnt())
	}
}

func TestArenaRefusesSizesOutOfRange(t *testing.T) {
	for _, c := range [][2]int{{0, 1}, {-1, 2048}, {1, 0}, {1, -5}, {1, 65535}} {
		if _, err := NewArena(c[0], c[1]); err == nil {
			t.Errorf("%v: accepted", c)
		}
	}
}

func TestAllocAndFreeAllocateNothing(t *testing.T) {
	c := newCache(t, 1024)
	var ms [600]*Mbuf
	if n := testing.AllocsPerRun(100, func() {
		c.AllocBurst(ms[:])
		c.FreeBurst(ms[:])
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkAllocFree(b *testing.B) {
	c := newCache(b, 1024)
	var ms [32]*Mbuf
	b.ReportAllocs()
	for b.Loop() {
		c.AllocBurst(ms[:])
		c.FreeBurst(ms[:])
	}
}

func TestCoresThatShareAPoolHaveEachTheirPart(t *testing.T) {
	a, err := NewArena(3000, 256)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	one, other, alone := NewShare(a, 3), NewShare(a, 3), NewCache(a)
	if one.Share() != 1000 || one.Avail() != 1000 || alone.Share() != 3000 || alone.Avail() != 3000 {
		t.Errorf("shares %d and %d, of which %d and %d are free", one.Share(), alone.Share(), one.Avail(), alone.Avail())
	}
	ms := make([]*Mbuf, 600)
	if n := one.AllocBurst(ms); n != len(ms) {
		t.Fatalf("%d buffers", n)
	}
	if mine, others := one.Avail(), other.Avail(); mine < others || others > 800 || others < 700 {
		t.Errorf("%d buffers are this core's, %d the other's", mine, others)
	}
	one.FreeBurst(ms)
}

func TestFreeLeavesTheSecondLineOfABufferInOnePieceAlone(t *testing.T) {
	c := newCache(t, 2)
	a, b := c.Alloc(), c.Alloc()
	a.Next = unsafe.Pointer(b) // it says to be in one piece: nobody reads this
	c.Free(a)
	if c.Avail() != 1 {
		t.Errorf("%d buffers free", c.Avail())
	}
	if a = c.Alloc(); a == nil || a.Next != nil {
		t.Error("the buffer is not empty when it is used again")
	}
}

func TestPrefetchChangesNothingAndReachesAnywhere(t *testing.T) {
	c := newCache(t, 3)
	ms := make([]*Mbuf, 3)
	c.AllocBurst(ms)
	ms[1].SetBounds(0, Headroom+DefaultDataRoom)
	ms[2].SetBounds(Headroom+DefaultDataRoom, 0)
	before := [3]Mbuf{*ms[0], *ms[1], *ms[2]}
	PrefetchStructs(nil)
	PrefetchStructs(ms)
	PrefetchMemory(ms[0].BufAddr, 1000)
	for _, m := range ms {
		PrefetchPacket(m, nil, unsafe.Pointer(m))
	}
	PrefetchRow(ms[0].BufAddr, nil)
	PrefetchFour(nil, ms[0].BufAddr, nil, unsafe.Pointer(ms[1]))
	if after := [3]Mbuf{*ms[0], *ms[1], *ms[2]}; after != before {
		t.Error("a buffer has changed")
	}
}

func TestLinesOfBuffersDoNotShareSetsOfACache(t *testing.T) {
	for _, room := range []int{1, 64, DefaultDataRoom, 9216} {
		if n := BufferSize(room); n < StructSize+Headroom+room || n%lineSize != 0 || n/lineSize%2 == 0 {
			t.Errorf("%d bytes for %d behind the headroom", n, room)
		}
	}
}
