package flowtable

import (
	"errors"
	"math/rand/v2"
	"testing"
)

// seal enters n bytes of plaintext as one frame, up to the given step of the order of stores.
func seal(c Chunks, r *Record, n, steps int) {
	e := &r.Egress
	en, _ := c.Push(&e.Queue)
	if steps < 1 {
		return
	}
	en.WEnd, en.Len, en.Over, en.Flags = e.WNext+uint64(n)+20, uint32(n)+20, 20, EntryPending
	if steps < 2 {
		return
	}
	e.WNext = en.WEnd
	if steps < 3 {
		return
	}
	e.PNext += uint64(n)
	if steps < 4 {
		return
	}
	en.Tag, en.Flags = [16]byte{1}, en.Flags&^EntryPending
}

func TestRepairMendsARecordWhoseWriterWasKilledBetweenTwoStores(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 1))
		c := FormatChunks(make([]Chunk, 20))
		r := &Record{Identity: Identity{State: Encrypted, Role: RoleA, Verdict: Require}}
		r.Local = Local{SealKey: 7, Reassembly: 9, Timer: Timer{Next: 3}}
		whole, wire := uint64(0), uint64(0)
		for range rng.IntN(100) {
			n := 1 + rng.IntN(1400)
			seal(c, r, n, 4)
			whole, wire = whole+uint64(n), wire+uint64(n)+20
			if rng.IntN(3) == 0 {
				en, _ := c.Front(&r.Egress.Queue)
				r.Egress.WUna, r.Egress.WAck = en.WEnd, en.WEnd
				r.Egress.PUna += uint64(en.Plain())
				if rng.IntN(20) == 0 {
					break // killed before the entry went
				}
				c.Pop(&r.Egress.Queue)
			}
		}
		seal(c, r, 100, rng.IntN(4))
		if err := r.Repair(c); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if e := &r.Egress; e.PNext != whole || e.WNext != wire {
			t.Fatalf("seed %d: next %d and %d, not %d and %d", seed, e.PNext, e.WNext, whole, wire)
		}
		if r.Local != (Local{}) {
			t.Fatalf("seed %d: what only the last writer understood is left", seed)
		}
		at := r.Egress.WUna
		it := c.Iter(&r.Egress.Queue)
		for en, _ := it.Next(); en != nil; en, _ = it.Next() {
			if en.WEnd-uint64(en.Len) != at {
				t.Fatalf("seed %d: a hole at %d", seed, at)
			}
			at = en.WEnd
		}
		if at != wire {
			t.Fatalf("seed %d: the ledger ends at %d, not %d", seed, at, wire)
		}
	}
}

func TestRepairRefusesWhatIsNoConnection(t *testing.T) {
	for name, damage := range map[string]func(*Record){
		"free":               func(r *Record) { r.State = Free },
		"no state":           func(r *Record) { r.State = NumStates },
		"no role":            func(r *Record) { r.Role = 9 },
		"no verdict":         func(r *Record) { r.Verdict = NumPolicies },
		"too many entries":   func(r *Record) { r.Egress.Queue.Count = 1 << 30 },
		"head behind chunk":  func(r *Record) { r.Egress.Queue.Head = 999 },
		"acknowledged early": func(r *Record) { r.Egress.WAck = 1 << 40 },
		"host acknowledged":  func(r *Record) { r.Ingress.HostAck = 5 },
	} {
		c := FormatChunks(make([]Chunk, 4))
		r := &Record{Identity: Identity{State: Encrypted, Role: RoleB}}
		seal(c, r, 10, 4)
		damage(r)
		if err := r.Repair(c); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzRepair(f *testing.F) {
	f.Add(uint32(1), uint32(1), uint16(0), uint16(3), uint32(3), uint64(0), uint64(0), []byte{1, 2, 3})
	f.Fuzz(func(t *testing.T, first, last uint32, head, tail uint16, count uint32, una, ack uint64, raw []byte) {
		c := FormatChunks(make([]Chunk, 5))
		for i, b := range raw {
			en := c.At(entryID(ChunkIndex(i/ChunkEntries%5), uint16(i%ChunkEntries)))
			en.WEnd, en.Len, en.Over, en.Flags = en.WEnd+uint64(b), en.Len+uint32(b), uint8(b>>2), uint8(b&7)
		}
		r := &Record{Identity: Identity{State: Encrypted}}
		r.Egress.Queue = Ledger{First: ChunkIndex(first), Last: ChunkIndex(last), Head: head, Tail: tail, Count: count}
		r.Egress.WUna, r.Egress.WAck = una, ack
		if r.Repair(c) != nil {
			return
		}
		n := uint32(0)
		it := c.Iter(&r.Egress.Queue)
		for en, _ := it.Next(); en != nil; en, _ = it.Next() {
			n++
		}
		if n != r.Egress.Queue.Count {
			t.Errorf("%d entries of %d", n, r.Egress.Queue.Count)
		}
	})
}
