package flowtable

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// findTwice looks for keys with the assembly and with its twin.
func findTwice(t *testing.T, table *Table, keys []Key, hashes []uint32) {
	t.Helper()
	out, twin := make([]Index, len(keys)), make([]Index, len(keys))
	missed, want := table.findAll(keys, hashes, out), table.findAllGo(keys, hashes, twin)
	if missed != want || !slices.Equal(out, twin) {
		t.Fatalf("%d keys: %d with %#x missed, the twin %d with %#x", len(keys), out, missed, twin, want)
	}
}

func TestAssemblyFindsWhatItsTwinFinds(t *testing.T) {
	table := newTable(t, 300)
	for i := range 300 {
		add(t, table, i)
	}
	rng := rand.New(rand.NewPCG(3, 4))
	for round := range 2000 {
		keys, hashes := make([]Key, 1+rng.IntN(burst)), make([]uint32, burst)
		for i := range keys {
			keys[i] = keyOf(rng.IntN(600))
			hashes[i] = table.Hash(&keys[i])
			switch rng.IntN(8) {
			case 0: // a hash of another key's tag, of another's bucket, of both
				hashes[i] = hashes[rng.IntN(i+1)]
			case 1:
				hashes[i] = rng.Uint32()
			case 2: // a bit of a key that is there
				b := &keys[i].Inside
				if rng.IntN(2) == 0 {
					b = &keys[i].Outside
				}
				b[rng.IntN(16)] ^= 1 << rng.IntN(8)
			case 3:
				keys[i].VLAN ^= uint32(rng.IntN(2)) << rng.IntN(32)
				keys[i].OutsidePort ^= uint16(rng.IntN(2)) << rng.IntN(16)
			case 4: // what an empty slot, and record 0, have
				hashes[i] &^= 0xffff
				keys[i] = Key{}
			}
		}
		findTwice(t, table, keys, hashes[:len(keys)])
		if round%100 == 99 { // memory that somebody has damaged
			b := &table.buckets[rng.IntN(len(table.buckets))]
			b.index[rng.IntN(bucketSlots)] = Index(rng.Uint32())
		}
	}
}

// A key of each record in turn, in a table in which nearly every bucket overflows, so that each slot of a bucket has its turn.
func TestAssemblyFindsEverySlotOfABucket(t *testing.T) {
	table := newTable(t, 5000)
	for i := range 5000 {
		add(t, table, i)
	}
	found := 0
	for i := 0; i < 5000; i += burst {
		keys, hashes := make([]Key, min(burst, 5000-i)), make([]uint32, burst)
		for k := range keys {
			keys[k] = keyOf(i + k)
			hashes[k] = table.Hash(&keys[k])
		}
		findTwice(t, table, keys, hashes[:len(keys)])
		out := make([]Index, len(keys))
		table.LookupBurst(keys, hashes, out)
		for k, n := range out {
			if r := table.Record(n); r != nil && r.Key == keys[k] {
				found++
			}
		}
	}
	if found != 5000 {
		t.Errorf("%d of 5000 were found", found)
	}
}
