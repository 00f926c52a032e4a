package flowtable

import "math/bits"

// burst is how many keys LookupBurst has in flight: few enough that what was touched is still in the first-level cache.
const burst = 64

// LookupBurst stores into out[n] the record of keys[n], whose hash is hashes[n], 0 where there is none. The three slices
// have the same length; only the first len(out) keys are looked at. All buckets are touched before the first is searched,
// and all records before the first is compared, so that misses of the cache overlap. Hot says which other
// lines of a record a segment touches.
func (t *Table) LookupBurst(keys []Key, hashes []uint32, out []Index) {
	for len(out) > 0 {
		n := min(len(out), burst)
		for missed := t.findAll(keys, hashes, out[:n]); missed != 0; missed &= missed - 1 {
			i := n - 1 - bits.TrailingZeros64(missed)
			if out[i] == 0 && t.buckets[t.homeOf(hashes[i])].next() == 0 {
				continue
			}
			out[i] = t.Lookup(&keys[i], hashes[i])
		}
		keys, hashes, out = keys[n:], hashes[n:], out[n:]
	}
}

// findAllGo looks for keys, some and burst at most, among the first candidates: records in the bucket of each key's hash whose tag is the
// hash's. It stores those, 0 where a bucket has none, and returns a bit for each key that is not its candidate's, the last key's the lowest
// one. It is the twin of the assembly.
func (t *Table) findAllGo(keys []Key, hashes []uint32, out []Index) (missed uint64) {
	var touched uint64
	for n := range out {
		home := t.homeOf(hashes[n])
		touched += t.buckets[home].lanes[0]
		out[n] = Index(home)
	}
	for n := range out {
		if out[n] = t.buckets[out[n]].candidate(uint16(hashes[n])); t.Record(out[n]) == nil {
			out[n] = 0 // damaged memory
		}
	}
	for n := range out {
		if r := t.Record(out[n]); r != nil {
			touched += uint64(r.Hash)
		}
	}
	for n := range out {
		missed <<= 1
		if r := t.Record(out[n]); r == nil || r.Hash != hashes[n] || !r.Key.Equal(&keys[n]) {
			missed |= 1
		}
	}
	t.sink = touched
	return missed
}
