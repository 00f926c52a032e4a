package flowtable

import "math/bits"

const (
	bucketSlots    = 10
	flowsPerBucket = 6 // mean at capacity: a load of 0.6, at which one flow in a hundred lies in an overflow bucket

	laneOnes  = 0x0001_0001_0001_0001
	laneHighs = 0x8000_8000_8000_8000
)

// bucket is one cache line of the index: ten 16-bit tags, the number of the overflow bucket that goes on (0 none), and ten
// record indices (0 empty). Tags are the low bits of the hash, the bucket is chosen by the high ones.
//
// A bucket that is full goes on in overflow buckets, which come from a pool. Chaining rather than cuckoo displacement:
// an insertion never moves another flow, never fails and never loops, and a lookup of a flow that is not there reads one
// line unless the bucket overflowed. A chain is kept dense (removal moves its last entry into the hole), so a chain of k
// flows needs fewer than k/10 overflow buckets, and a pool of capacity/10+1 cannot run dry.
type bucket struct {
	lanes [3]uint64 // tags in lanes 0 to 9, next in the upper half of the last word
	index [bucketSlots]Index
}

func (b *bucket) next() uint32 { return uint32(b.lanes[2] >> 32) }

func (b *bucket) setNext(n uint32) { b.lanes[2] = b.lanes[2]&0xffff_ffff | uint64(n)<<32 }

func (b *bucket) set(slot int, tag uint16, i Index) {
	shift := uint(slot&3) * 16
	w := &b.lanes[slot>>2]
	*w = *w&^(0xffff<<shift) | uint64(tag)<<shift
	b.index[slot] = i
}

func (b *bucket) tag(slot int) uint16 { return uint16(b.lanes[slot>>2] >> (uint(slot&3) * 16)) }

// used returns the number of filled slots: they are the first ones.
func (b *bucket) used() int {
	n := 0
	for n < bucketSlots && b.index[n] != 0 {
		n++
	}
	return n
}

// matches returns a bit in the top of each 16-bit lane of word w that may equal tag. The lowest bit set is a true match,
// higher ones may be false.
func (b *bucket) matches(w int, tag uint16) uint64 {
	x := b.lanes[w] ^ uint64(tag)*laneOnes
	m := (x - laneOnes) &^ x & laneHighs
	if w == 2 {
		m &= 0xffff_ffff
	}
	return m
}

// candidate returns the record of the first slot whose tag matches, 0 when none does.
func (b *bucket) candidate(tag uint16) Index {
	for w := range b.lanes {
		if m := b.matches(w, tag); m != 0 {
			return b.index[w*4+bits.TrailingZeros64(m)>>4]
		}
	}
	return 0
}

// homeOf returns the number of the primary bucket of a hash.
func (t *Table) homeOf(hash uint32) uint32 { return uint32(uint64(hash) * uint64(t.primary) >> 32) }

// follow returns the overflow bucket behind b, nil at the end of the chain or when the memory is damaged.
func (t *Table) follow(b *bucket) *bucket {
	n := b.next()
	if n == 0 || n > t.overflow {
		return nil
	}
	return &t.buckets[t.primary+n-1]
}

// findIn returns the record of key among the slots of b, 0 when it is not there.
func (t *Table) findIn(b *bucket, key *Key, hash uint32) Index {
	for w := range b.lanes {
		for m := b.matches(w, uint16(hash)); m != 0; m &= m - 1 {
			i := b.index[w*4+bits.TrailingZeros64(m)>>4]
			if r := t.Record(i); r != nil && r.Hash == hash && r.Key == *key {
				return i
			}
		}
	}
	return 0
}

// link enters a record at the end of its chain. The record must not be in it.
func (t *Table) link(i Index, hash uint32) {
	b := &t.buckets[t.homeOf(hash)]
	for steps := uint32(0); steps < t.overflow; steps++ {
		next := t.follow(b)
		if next == nil {
			break
		}
		b = next
	}
	slot := b.used()
	if slot == bucketSlots {
		n := t.spare[len(t.spare)-1]
		t.spare = t.spare[:len(t.spare)-1]
		b.setNext(n)
		b, slot = &t.buckets[t.primary+n-1], 0
	}
	b.set(slot, uint16(hash), i)
}

// unlink takes a record out of its chain and fills the hole with the chain's last entry.
func (t *Table) unlink(i Index, hash uint32) {
	var hole, before *bucket
	slot := 0
	b := &t.buckets[t.homeOf(hash)]
	for steps := uint32(0); steps <= t.overflow; steps++ {
		for s := 0; hole == nil && s < bucketSlots; s++ {
			if b.index[s] == i {
				hole, slot = b, s
			}
		}
		next := t.follow(b)
		if next == nil {
			break
		}
		before, b = b, next
	}
	last := b.used() - 1
	if hole == nil || last < 0 {
		return
	}
	hole.set(slot, b.tag(last), b.index[last])
	b.set(last, 0, 0)
	if last == 0 && before != nil {
		t.spare = append(t.spare, before.next())
		before.setNext(0)
	}
}
