package flowtable

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"unsafe"
)

var testSeed = [2]uint64{0x0123456789abcdef, 0xfedcba9876543210}

// memory returns zero bytes for a table that begin on a cache line.
func memory(l Layout) []byte {
	n := Size(l)
	b := make([]byte, n+lineSize)
	skip := -uintptr(unsafe.Pointer(unsafe.SliceData(b))) % lineSize
	return b[skip : int(skip)+n : int(skip)+n]
}

func newTable(t testing.TB, capacity int) *Table {
	t.Helper()
	l := Layout{Capacity: uint32(capacity), Chunks: 3}
	table, err := New(memory(l), l, testSeed, 0)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func keyOf(n int) Key {
	k := Key{Inside: [16]byte{10: 255, 11: 255}, Outside: [16]byte{10: 255, 11: 255}, InsidePort: uint16(n), OutsidePort: 443}
	binary.BigEndian.PutUint32(k.Inside[12:], 0x0a000000+uint32(n>>16))
	binary.BigEndian.PutUint32(k.Outside[12:], 0x0b000001)
	return k
}

func add(t testing.TB, table *Table, n int) Index {
	t.Helper()
	k := keyOf(n)
	i, fresh := table.Insert(&k, table.Hash(&k), int64(n))
	if i == 0 || !fresh {
		t.Fatalf("flow %d: index %d, fresh %v", n, i, fresh)
	}
	return i
}

func find(table *Table, n int) Index {
	k := keyOf(n)
	return table.Lookup(&k, table.Hash(&k))
}

func TestLayoutOfRecordsAndBuckets(t *testing.T) {
	if s := unsafe.Sizeof(bucket{}); s != lineSize {
		t.Errorf("a bucket has %d bytes", s)
	}
	if s := unsafe.Sizeof(Key{}); s != 40 {
		t.Errorf("a key has %d bytes", s)
	}
	var r Record
	for part, at := range map[string][2]uintptr{
		"identity": {unsafe.Sizeof(r.Identity), lineSize},
		"egress":   {unsafe.Offsetof(r.Egress), lineSize},
		"ingress":  {unsafe.Offsetof(r.Ingress), 3 * lineSize},
		"rare":     {unsafe.Offsetof(r.Rare), 5 * lineSize},
		"timers":   {unsafe.Offsetof(r.Rare.Created), lineSize},
		"local":    {unsafe.Offsetof(r.Local) % lineSize, 0},
		"indices":  {unsafe.Offsetof(r.Local.HsBlock), lineSize},
	} {
		if at[0] != at[1] {
			t.Errorf("%s: %d bytes, not %d", part, at[0], at[1])
		}
	}
	// With two expanded keys of 512 bytes and its part of the index, a connection takes less than 2 KiB.
	if RecordSize != 15*lineSize || RecordStride != RecordSize {
		t.Errorf("a record has %d bytes, every %d", RecordSize, RecordStride)
	}
	const flows = 1 << 20
	if per := Size(Layout{Capacity: flows, Chunks: flows}) / flows; per > 2048-512 {
		t.Errorf("%d bytes a flow with a chunk each", per)
	}
}

func TestTableFindsAllFlowsUpToItsCapacity(t *testing.T) {
	const n = 5000
	table := newTable(t, n)
	for i := range n {
		add(t, table, i)
	}
	if table.Len() != n || table.Count(Plain) != n {
		t.Fatalf("%d flows, %d plain", table.Len(), table.Count(Plain))
	}
	for i := range n {
		r := table.Record(find(table, i))
		if r == nil || r.Key != keyOf(i) || r.Rare.Created != int64(i) {
			t.Fatalf("flow %d is not found", i)
		}
	}
	k := keyOf(n)
	if i, fresh := table.Insert(&k, table.Hash(&k), 0); i != 0 || fresh {
		t.Errorf("a full table gave record %d", i)
	}
	k = keyOf(7)
	if i, fresh := table.Insert(&k, table.Hash(&k), 0); i != find(table, 7) || fresh {
		t.Errorf("second insertion of a flow gave %d, fresh %v", i, fresh)
	}
}

func TestAllFlowsInOneBucketAreFoundAndRemoved(t *testing.T) {
	const n = 1000
	table := newTable(t, n)
	rng := rand.New(rand.NewPCG(1, 1))
	live := map[int]Index{}
	for round := range 3 {
		for i := range n {
			k := keyOf(i)
			idx, fresh := table.Insert(&k, 5, 0)
			if idx == 0 || fresh != (live[i] == 0) {
				t.Fatalf("round %d: flow %d: %d, %v", round, i, idx, fresh)
			}
			live[i] = idx
		}
		for _, i := range rng.Perm(n)[:n-round*100] {
			table.Remove(live[i])
			delete(live, i)
			k := keyOf(i)
			if table.Lookup(&k, 5) != 0 {
				t.Fatalf("flow %d is found after its removal", i)
			}
		}
		for i, idx := range live {
			k := keyOf(i)
			if table.Lookup(&k, 5) != idx {
				t.Fatalf("flow %d got lost", i)
			}
		}
	}
}

func TestRandomInsertionsAndRemovalsAgreeWithAMap(t *testing.T) {
	const capacity = 300
	table := newTable(t, capacity)
	rng := rand.New(rand.NewPCG(5, 6))
	model := map[int]Index{}
	for step := range 50000 {
		n := rng.IntN(2 * capacity)
		if idx, ok := model[n]; ok && rng.IntN(2) == 0 {
			table.Remove(idx)
			delete(model, n)
		} else if !ok && len(model) < capacity {
			model[n] = add(t, table, n)
		}
		n = rng.IntN(2 * capacity)
		if got := find(table, n); got != model[n] {
			t.Fatalf("step %d: flow %d at %d instead of %d", step, n, got, model[n])
		}
		if table.Len() != len(model) {
			t.Fatalf("step %d: %d flows instead of %d", step, table.Len(), len(model))
		}
	}
	inUse := len(table.spare)
	for _, idx := range model {
		table.Remove(idx)
	}
	if len(table.spare) != int(table.overflow) {
		t.Errorf("an empty table keeps %d overflow buckets, had %d spare", int(table.overflow)-len(table.spare), inUse)
	}
}

func TestKeyOfMappedAddressesIsTheKeyAndItsHash(t *testing.T) {
	table := newTable(t, 1)
	rng := rand.New(rand.NewPCG(5, 6))
	for range 100 {
		var want, got Key
		for i := range 8 {
			want.Inside[8+i], want.Outside[8+i] = byte(rng.Uint32()), byte(rng.Uint32())
		}
		want.InsidePort, want.OutsidePort = uint16(rng.Uint32()), uint16(rng.Uint32())
		got.Inside[0], got.Outside[0], got.VLAN = 1, 1, 1
		hash := table.SetMapped(&got, binary.LittleEndian.Uint64(want.Inside[8:]), binary.LittleEndian.Uint64(want.Outside[8:]), want.InsidePort, want.OutsidePort)
		if got != want || hash != table.Hash(&want) {
			t.Fatalf("%v with hash %#x, not %v with %#x", got, hash, want, table.Hash(&want))
		}
	}
}

func TestBurstLookupAgreesWithSingleLookups(t *testing.T) {
	table := newTable(t, 2000)
	for i := range 2000 {
		add(t, table, i)
	}
	rng := rand.New(rand.NewPCG(7, 8))
	for _, size := range []int{0, 1, 31, 32, 64, 65, 200} {
		keys, hashes, out := make([]Key, size), make([]uint32, size), make([]Index, size)
		for i := range keys {
			keys[i] = keyOf(rng.IntN(4000))
			hashes[i] = table.Hash(&keys[i])
		}
		table.LookupBurst(keys, hashes, out)
		for i := range keys {
			if want := table.Lookup(&keys[i], hashes[i]); out[i] != want {
				t.Fatalf("burst of %d: key %d at %d instead of %d", size, i, out[i], want)
			}
		}
	}
}

func TestRemovedRecordIsErasedAndItsReferencesAreStale(t *testing.T) {
	table := newTable(t, 1)
	i := add(t, table, 1)
	r := table.Record(i)
	gen := r.Gen
	r.Rare.Seal.Master[0], r.Rare.ToHost[71] = 7, 7
	table.Arm(i, 100)
	if table.Get(i, gen) != r || table.Get(i, gen+1) != nil || table.Get(0, 0) != nil || table.Get(2, 1) != nil {
		t.Fatal("references are wrong")
	}
	table.Remove(i)
	if *r != (Record{Identity: Identity{Gen: gen}}) || table.Get(i, gen) != nil {
		t.Fatal("the record is not erased")
	}
	table.Remove(i)
	table.Remove(0)
	table.Remove(99)
	if table.Len() != 0 || table.hdr.wheel.armed != 0 {
		t.Fatal("removal of nothing changed the table")
	}
	if again := add(t, table, 2); again != i || r.Gen != gen+1 {
		t.Errorf("record %d in generation %d", again, r.Gen)
	}
	r.Gen = ^uint32(0)
	table.Remove(i)
	add(t, table, 3)
	if r.Gen == 0 {
		t.Error("generation 0 was handed out")
	}
}

func TestCountsFollowStates(t *testing.T) {
	table := newTable(t, 10)
	a, b := add(t, table, 1), add(t, table, 2)
	table.SetState(a, Encrypted)
	table.SetState(b, PassiveInit)
	table.SetState(a, NumStates)
	table.SetState(99, Plain)
	if table.Count(Encrypted) != 1 || table.Count(PassiveInit) != 1 || table.Count(Plain) != 0 || table.Count(NumStates) != 0 {
		t.Errorf("counts are %v", table.hdr.counts)
	}
	table.Remove(a)
	if table.Count(Encrypted) != 0 || table.Count(Free) != 0 {
		t.Errorf("counts are %v", table.hdr.counts)
	}
}

func TestVictimIsAPlainFlowThatWasSilent(t *testing.T) {
	const n = 1000
	table := newTable(t, n)
	if table.OldestPlain(nil) != 0 {
		t.Error("victim in an empty table")
	}
	for i := range n {
		idx := add(t, table, i)
		table.Record(idx).LastSeen = int64(1000 + i)
		table.SetState(idx, Encrypted)
	}
	if table.OldestPlain(nil) != 0 {
		t.Error("an encrypted flow is a victim")
	}
	only := find(table, 777)
	table.SetState(only, Plain)
	for range 3 {
		if got := table.OldestPlain(nil); got != only {
			t.Fatalf("victim %d instead of the only plain flow %d", got, only)
		}
	}
	for i := range n {
		table.SetState(find(table, i), Plain)
	}
	for i := range n {
		if table.OldestPlain(nil) == 0 {
			t.Fatal("no victim")
		}
		table.Remove(table.OldestPlain(nil))
		if table.Len() != n-1-i {
			t.Fatalf("%d flows after %d victims", table.Len(), i+1)
		}
	}
}

func TestRangeVisitsEachFlowOnceAndAllowsRemoval(t *testing.T) {
	table := newTable(t, 100)
	for i := range 50 {
		add(t, table, i)
	}
	seen := map[Index]bool{}
	table.Range(func(i Index, r *Record) bool {
		if seen[i] || r != table.Record(i) {
			t.Errorf("record %d", i)
		}
		seen[i] = true
		table.Remove(i)
		return len(seen) < 40
	})
	if len(seen) != 40 || table.Len() != 10 {
		t.Errorf("%d seen, %d left", len(seen), table.Len())
	}
}

func TestAttachedViewReadsWithoutWriting(t *testing.T) {
	l := Layout{Capacity: 50, Chunks: 3}
	mem := memory(l)
	table, err := New(mem, l, testSeed, 0)
	if err != nil {
		t.Fatal(err)
	}
	i := add(t, table, 1)
	before := string(mem)
	view, err := Attach(mem, l)
	if err != nil {
		t.Fatal(err)
	}
	var r Record
	if find(view, 1) != i || !view.Snapshot(i, &r) || r.Key != keyOf(1) || view.Count(Plain) != 1 || view.Next(0) != i || len(view.Chunks()) != 4 {
		t.Error("the view differs from the table")
	}
	if view.Snapshot(i+1, &r) || view.Snapshot(0, &r) || view.Snapshot(51, &r) {
		t.Error("snapshot of a record that is not in use")
	}
	if string(mem) != before {
		t.Error("reading changed the memory")
	}
}

func TestRecoveredTableHasAllFlowsTimersAndCounts(t *testing.T) {
	l := Layout{Capacity: 500, Chunks: 3}
	mem := memory(l)
	table, err := New(mem, l, testSeed, 0)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 400 {
		idx := add(t, table, i)
		table.SetState(idx, State(1+i%int(NumStates-1)))
		if i%2 == 0 {
			table.Arm(idx, int64(i+1)*1e6)
		}
	}
	counts := table.hdr.counts
	half := table.Record(find(table, 7))
	half.Key.InsidePort++ // killed while the record was written
	counts[half.State]--
	clear(table.buckets) // and while the index was changed
	table.hdr.wheel.heads[0][3] = 400
	table.Record(450).State = 200

	next, err := Attach(mem, l)
	if err != nil {
		t.Fatal(err)
	}
	if n := next.Recover(0); n != 399 || next.hdr.counts != counts {
		t.Fatalf("%d flows, counts %v", n, next.hdr.counts)
	}
	for i := range 400 {
		if (find(next, i) == 0) != (i == 7) {
			t.Fatalf("flow %d at %d", i, find(next, i))
		}
	}
	if *half != (Record{Identity: Identity{Gen: half.Gen}}) {
		t.Error("the half-made record is not erased")
	}
	fired := 0
	out := make([]Index, 64)
	for now := int64(0); now < 500e6; now += 1e6 {
		fired += next.Expire(now, out)
	}
	if fired != 200 {
		t.Errorf("%d timers fired", fired)
	}
	for i := 400; i < 501; i++ {
		add(t, next, i)
	}
}

func TestBadMemoryIsRefused(t *testing.T) {
	l := Layout{Capacity: 10, Chunks: 2}
	fresh := func() []byte {
		mem := memory(l)
		if _, err := New(mem, l, testSeed, 0); err != nil {
			t.Fatal(err)
		}
		return mem
	}
	if _, err := Attach(memory(l), l); !errors.Is(err, ErrMemory) {
		t.Errorf("memory without a table: %v", err)
	}
	if _, err := Attach(fresh(), Layout{Capacity: 9, Chunks: 2}); !errors.Is(err, ErrMemory) {
		t.Errorf("other capacity: %v", err)
	}
	if _, err := Attach(fresh()[:100], l); !errors.Is(err, ErrMemory) {
		t.Errorf("too little memory: %v", err)
	}
	if _, err := New(fresh()[8:], Layout{Capacity: 1}, testSeed, 0); !errors.Is(err, ErrMemory) {
		t.Errorf("not aligned: %v", err)
	}
	for _, bad := range []Layout{{}, {Capacity: MaxCapacity + 1}, {Capacity: 1, Chunks: 1 << 29}} {
		if _, err := New(fresh(), bad, testSeed, 0); !errors.Is(err, ErrLayout) || Size(bad) != 0 {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	for offset := range 32 {
		mem := fresh()
		mem[offset]++
		if _, err := Attach(mem, l); !errors.Is(err, ErrMemory) {
			t.Errorf("byte %d changed: %v", offset, err)
		}
	}
}

func TestHashSpreadsNeighbouringFlowsAndDependsOnTheSeed(t *testing.T) {
	a, b := newHasher(testSeed), newHasher([2]uint64{testSeed[0], testSeed[1] + 1})
	const n, bins = 1 << 16, 1 << 10
	var high, low [bins]int
	same := 0
	for i := range n {
		k := keyOf(i)
		h := a.sum(&k)
		high[h>>22]++
		low[h&(bins-1)]++
		if h == b.sum(&k) {
			same++
		}
	}
	for i := range bins {
		if high[i] > 2*n/bins || low[i] > 2*n/bins {
			t.Fatalf("bin %d holds %d and %d of %d", i, high[i], low[i], n)
		}
	}
	if same > 2 {
		t.Errorf("%d hashes are equal under another seed", same)
	}
	k := keyOf(1)
	h := a.sum(&k)
	raw := (*[40]byte)(unsafe.Pointer(&k))
	for bit := range 320 {
		raw[bit/8] ^= 1 << (bit % 8)
		if a.sum(&k) == h {
			t.Errorf("bit %d does not change the hash", bit)
		}
		raw[bit/8] ^= 1 << (bit % 8)
	}
}

func TestPacketPathAllocatesNothing(t *testing.T) {
	table := newTable(t, 100)
	for i := range 64 {
		add(t, table, i)
	}
	keys, hashes, out := make([]Key, 32), make([]uint32, 32), make([]Index, 32)
	now := int64(1)
	if n := testing.AllocsPerRun(100, func() {
		for i := range keys {
			keys[i] = keyOf(i)
			hashes[i] = table.Hash(&keys[i])
		}
		table.LookupBurst(keys, hashes, out)
		for _, i := range out {
			table.Arm(i, now+1e6)
		}
		now += 1e6
		table.Expire(now, out)
		k := keyOf(99)
		i, _ := table.Insert(&k, table.Hash(&k), now)
		table.Remove(i)
	}); n != 0 {
		t.Errorf("%v allocations a burst", n)
	}
}

// FuzzAttach lets a reader loose on memory in which an attacker wrote.
func FuzzAttach(f *testing.F) {
	l := Layout{Capacity: 20, Chunks: 1}
	good := memory(l)
	table, err := New(good, l, testSeed, 0)
	if err != nil {
		f.Fatal(err)
	}
	for i := range 15 {
		table.Arm(add(f, table, i), int64(i+1)*1e9)
	}
	f.Add(uint32(64), []byte{255, 255, 255, 255})
	f.Add(uint32(unsafe.Sizeof(header{})), []byte{0, 0, 0, 0, 1, 1, 1, 1, 255, 255, 255, 255, 255, 255, 255, 255, 1, 0, 0, 0})
	f.Fuzz(func(t *testing.T, at uint32, patch []byte) {
		mem := memory(l)
		copy(mem, good)
		copy(mem[at%uint32(len(mem)):], patch)
		table, err := Attach(mem, l)
		if err != nil {
			return
		}
		for i := range 16 {
			find(table, i)
		}
		var r Record
		table.Range(func(i Index, _ *Record) bool { table.Snapshot(i, &r); return true })
		n := table.Recover(0)
		out := make([]Index, 4)
		for now := int64(0); now < 20e9; now += 1e8 {
			table.Expire(now, out)
		}
		for table.Len() > 0 {
			table.Remove(table.Next(0))
			if n--; n < 0 {
				t.Fatal("removal does not end")
			}
		}
	})
}

func BenchmarkLookupBurst(b *testing.B) {
	for _, flows := range []int{1, 100_000, 1_000_000} {
		b.Run(fmt.Sprint(flows), func(b *testing.B) {
			table := newTable(b, flows)
			for i := range flows {
				add(b, table, i)
			}
			const size, bursts = 32, 1024
			rng := rand.New(rand.NewPCG(1, 2))
			keys, hashes, out := make([]Key, size*bursts), make([]uint32, size), make([]Index, size)
			for i := range keys {
				keys[i] = keyOf(rng.IntN(flows))
			}
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				some := keys[n*size : (n+1)*size]
				for i := range some {
					hashes[i] = table.Hash(&some[i])
				}
				table.LookupBurst(some, hashes, out)
				n = (n + 1) % bursts
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*size), "ns/key")
		})
	}
}

func BenchmarkInsertRemove(b *testing.B) {
	table := newTable(b, 100_000)
	for i := range 90_000 {
		add(b, table, i)
	}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		k := keyOf(1<<24 + n)
		i, _ := table.Insert(&k, table.Hash(&k), 0)
		table.Remove(i)
		n++
	}
}

func TestKeysAreEqualOnlyIfEveryByteIs(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	bytesOf := func(k *Key) []byte { return unsafe.Slice((*byte)(unsafe.Pointer(k)), unsafe.Sizeof(*k)) }
	for range 200 {
		var a Key
		for i := range bytesOf(&a) {
			bytesOf(&a)[i] = byte(rng.Uint32())
		}
		b := a
		if !a.Equal(&b) {
			t.Fatalf("%v is not equal to itself", a)
		}
		for i := range bytesOf(&b) {
			b = a
			bytesOf(&b)[i] ^= 1 << rng.IntN(8)
			if a.Equal(&b) {
				t.Fatalf("a key whose byte %d differs is equal", i)
			}
			// Two differences that may cancel each other out.
			bytesOf(&b)[(i+8)%40] ^= bytesOf(&b)[i] ^ bytesOf(&a)[i]
			if a.Equal(&b) {
				t.Fatalf("a key whose bytes %d and %d differ is equal", i, (i+8)%40)
			}
		}
	}
}
