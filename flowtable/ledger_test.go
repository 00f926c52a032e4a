package flowtable

import (
	"math/rand/v2"
	"testing"
	"unsafe"
)

func TestLedgerIsAQueue(t *testing.T) {
	c := FormatChunks(make([]Chunk, 20))
	rng := rand.New(rand.NewPCG(1, 2))
	var l Ledger
	next, oldest := uint64(1), uint64(1)
	for range 5000 {
		switch n := rng.IntN(20); rng.IntN(4) {
		case 0:
			places, id := c.Behind(&l), c.NextID(&l)
			if (len(places) > 0) != l.HasRoom() {
				t.Fatalf("%d places", len(places))
			}
			for i := range places[:min(n, len(places))] {
				if c.At(id+EntryID(i)) != &places[i] {
					t.Fatal("a new entry of a run is not the one that its ID names")
				}
				places[i] = Entry{WEnd: next}
				next++
				l.Append(1)
			}
		case 1:
			run, id := c.FrontRun(&l)
			if n = min(n, len(run)); n > 0 {
				if run[n-1].WEnd != oldest+uint64(n)-1 || c.At(id) != &run[0] {
					t.Fatalf("the run's entry %d is %d, the oldest of all is %d", n-1, run[n-1].WEnd, oldest)
				}
				c.PopRun(&l, n)
				oldest += uint64(n)
			} else if len(run) == 0 && l.Count != 0 {
				t.Fatal("nothing is in front of a ledger with entries")
			}
		case 2:
			if e, id := c.Push(&l); e != nil {
				if e.WEnd != 0 || c.At(id) != e {
					t.Fatal("the new entry is not empty, or not the one that its ID names")
				}
				e.WEnd = next
				next++
			} else if c.Free() != 0 {
				t.Fatal("refused with chunks free")
			}
		case 3:
			if l.Count > 0 {
				c.Pop(&l)
				oldest++
			}
		}
		at := oldest
		it := c.Iter(&l)
		for e, _ := it.Next(); e != nil; e, _ = it.Next() {
			if e.WEnd != at {
				t.Fatalf("entry %d, want %d", e.WEnd, at)
			}
			at++
		}
		if at != next || int(l.Count) != int(next-oldest) {
			t.Fatalf("%d entries seen, %d counted, want %d", at-oldest, l.Count, next-oldest)
		}
		front, _ := c.Front(&l)
		back, _ := c.Back(&l)
		if l.Count == 0 && (front != nil || back != nil) || l.Count > 0 && (front.WEnd != oldest || back.WEnd != next-1) {
			t.Fatal("front or back is not the oldest or newest entry")
		}
	}
	for l.Count > 0 {
		c.Pop(&l)
	}
	if c.Free() != 19 || l != (Ledger{}) {
		t.Errorf("%d chunks free after all, want 19; ledger %+v", c.Free(), l)
	}
}

func TestLedgersShareChunksUntilNoneIsFree(t *testing.T) {
	c := FormatChunks(make([]Chunk, 4))
	var a, b Ledger
	for range ChunkEntries + 1 {
		c.Push(&a)
	}
	c.Push(&b)
	if e, _ := c.Push(&a); e == nil || c.Free() != 0 {
		t.Fatal("a chunk that is not full refused an entry")
	}
	var other Ledger
	if e, _ := c.Push(&other); e != nil || other != (Ledger{}) {
		t.Error("an entry without a chunk")
	}
}

func TestFreeChunksSurviveARestart(t *testing.T) {
	mem := make([]Chunk, 5)
	c := FormatChunks(mem)
	var l Ledger
	c.Push(&l)
	if again := OpenChunks(mem); again.Free() != 3 {
		t.Errorf("%d chunks free, want 3", again.Free())
	}
}

func TestNoEntryLiesOnTwoLines(t *testing.T) {
	if n := unsafe.Sizeof(Chunk{}); n != 8*lineSize || unsafe.Offsetof(Chunk{}.Entries)%unsafe.Sizeof(Entry{}) != 0 {
		t.Errorf("a chunk takes %d bytes, %d before its entries", n, unsafe.Offsetof(Chunk{}.Entries))
	}
	if n := unsafe.Sizeof(Entry{}); n != 32 {
		t.Errorf("an entry takes %d bytes", n)
	}
}

func TestIteratorPassesOverWholeChunks(t *testing.T) {
	c := FormatChunks(make([]Chunk, 50))
	rng := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		var l Ledger
		w, p := uint64(100), uint64(7)
		for range rng.IntN(200) {
			e, id := c.Push(&l)
			c.Mark(id, p)
			e.Len, e.Over = uint32(21+rng.IntN(1400)), 20
			w += uint64(e.Len)
			p += uint64(e.Plain())
			e.WEnd = w
		}
		for range rng.IntN(int(l.Count) + 1) {
			c.Pop(&l)
		}
		var at, plain uint64
		if en, _ := c.Front(&l); en != nil {
			at = en.WEnd - uint64(en.Len)
			full := c.Iter(&l)
			sum := uint64(0)
			for e, _ := full.Next(); e != nil; e, _ = full.Next() {
				sum += uint64(e.Plain())
			}
			plain = p - sum
		}
		it := c.Iter(&l)
		seen := 0
		for {
			if from, to, pEnd, ok := it.Chunk(); ok && rng.IntN(2) == 0 {
				if from != at {
					t.Fatalf("a chunk begins at %d, want %d", from, at)
				}
				one := it
				for range ChunkEntries {
					e, _ := one.Next()
					plain += uint64(e.Plain())
				}
				if plain != pEnd {
					t.Fatalf("plaintext behind the chunk is %d, want %d", pEnd, plain)
				}
				at = to
				seen += ChunkEntries
				it.SkipChunk()
				continue
			}
			e, _ := it.Next()
			if e == nil {
				break
			}
			if e.WEnd-uint64(e.Len) != at {
				t.Fatalf("an entry begins at %d, want %d", e.WEnd-uint64(e.Len), at)
			}
			at, plain = e.WEnd, plain+uint64(e.Plain())
			seen++
		}
		if seen != int(l.Count) || l.Count > 0 && at != w {
			t.Fatalf("%d of %d entries seen", seen, l.Count)
		}
		for l.Count > 0 {
			c.Pop(&l)
		}
	}
}

func TestNextAndFrontAreNamedBeforeTheyCome(t *testing.T) {
	c := FormatChunks(make([]Chunk, 3))
	var l Ledger
	for i := range 2 * ChunkEntries {
		next := c.NextID(&l)
		if _, id := c.Push(&l); next != id {
			t.Fatalf("entry %d: %d was said to be next, it is %d", i, next, id)
		}
		if _, front := c.Front(&l); c.FrontID(&l) != front {
			t.Fatalf("entry %d: %d is said to be the oldest, it is %d", i, c.FrontID(&l), front)
		}
	}
	if id := c.NextID(new(Ledger)); id/EntryStride != 0 {
		t.Errorf("without a free chunk, entry %d is next", id)
	}
}
