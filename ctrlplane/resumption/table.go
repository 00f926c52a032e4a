package resumption

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"sync/atomic"
	"unsafe"
)

// MaxCapacity is the most secrets that a table holds.
const MaxCapacity = 1<<20 - 1

// ErrTable is wrapped by errors about memory that holds no table of the size that is asked for.
var ErrTable = errors.New("bad resumption table")

const (
	tableMagic = 0x6d75_7365_725f_636c // "lc_resum"
	headerSize = 64
	bucketFull = 16 // entries of a bucket, a cache line
	bucketMean = 4  // entries of a bucket of a full table, on average
)

// header is the first line of a table.
type header struct {
	magic    uint64
	capacity uint64
	seed     [2]uint64
	_        [headerSize - 32]byte
}

// bucket is a cache line of an index: slots by number, 0 for none.
type bucket [bucketFull]atomic.Uint32

func (b *bucket) clear() {
	for i := range b {
		b[i].Store(0)
	}
}

// add reports false where the bucket is full.
func (b *bucket) add(n uint32) bool {
	for i := range b {
		if b[i].Load() == 0 {
			b[i].Store(n)
			return true
		}
	}
	return false
}

func (b *bucket) remove(n uint32) {
	for i := range b {
		if b[i].Load() == n {
			b[i].Store(0)
		}
	}
}

// Table is one process's view of the secrets in shared memory. A nil Table holds none.
type Table struct {
	header *header
	halves []bucket // by the half that the far end sends
	pairs  []bucket
	slots  []slot // slot n at n-1
}

// buckets returns the number of buckets of each index.
func buckets(capacity int) int {
	return 1 << bits.Len(uint(max(capacity-1, 1)/bucketMean))
}

// Size returns the bytes that a table of that many secrets takes, 0 for none. Memory for it is aligned to a cache line.
func Size(capacity int) int {
	if capacity <= 0 {
		return 0
	}
	return headerSize + 2*buckets(capacity)*int(unsafe.Sizeof(bucket{})) + capacity*slotSize
}

// Format makes an empty table in mem. The data plane does so when it makes the segment. A capacity of 0 makes no table.
func Format(mem []byte, capacity int) error {
	if capacity <= 0 {
		return nil
	}
	t, err := view(mem, capacity)
	if err != nil {
		return err
	}
	clear(mem[:Size(capacity)])
	var seed [16]byte
	if _, err := rand.Read(seed[:]); err != nil {
		return fmt.Errorf("seed of the resumption table: %w", err)
	}
	t.header.seed = [2]uint64{binary.LittleEndian.Uint64(seed[:]) | 1, binary.LittleEndian.Uint64(seed[8:]) | 1}
	t.header.capacity, t.header.magic = uint64(capacity), tableMagic
	return nil
}

// Attach returns a view of the table that Format made in mem, nil for a capacity of 0. It writes nothing.
func Attach(mem []byte, capacity int) (*Table, error) {
	if capacity <= 0 {
		return nil, nil
	}
	t, err := view(mem, capacity)
	if err != nil {
		return nil, err
	}
	if t.header.magic != tableMagic || t.header.capacity != uint64(capacity) {
		return nil, fmt.Errorf("magic %#x, %d slots and not %d: %w", t.header.magic, t.header.capacity, capacity, ErrTable)
	}
	return t, nil
}

func view(mem []byte, capacity int) (*Table, error) {
	if capacity > MaxCapacity || len(mem) < Size(capacity) || uintptr(unsafe.Pointer(unsafe.SliceData(mem)))%8 != 0 {
		return nil, fmt.Errorf("%d bytes for %d slots: %w", len(mem), capacity, ErrTable)
	}
	base := unsafe.Pointer(unsafe.SliceData(mem))
	n := buckets(capacity)
	index := n * int(unsafe.Sizeof(bucket{}))
	return &Table{
		header: (*header)(base),
		halves: unsafe.Slice((*bucket)(unsafe.Add(base, headerSize)), n),
		pairs:  unsafe.Slice((*bucket)(unsafe.Add(base, headerSize+index)), n),
		slots:  unsafe.Slice((*slot)(unsafe.Add(base, headerSize+2*index)), capacity),
	}, nil
}

// Capacity returns the number of slots.
func (t *Table) Capacity() int {
	if t == nil {
		return 0
	}
	return len(t.slots)
}

// Erase forgets all secrets, whoever holds them: for the end of a data plane, when no worker claims any more.
func (t *Table) Erase() {
	if t == nil {
		return
	}
	for i := range t.slots {
		s := &t.slots[i]
		state := s.state.Load()
		s.state.Store(filling.in(state))
		s.wipe()
		s.state.Store(free.in(state))
	}
	for i := range t.halves {
		t.halves[i].clear()
		t.pairs[i].clear()
	}
}

// wipe erases all but the state.
func (s *slot) wipe() {
	s.secret.Wipe()
	for i := range s.theirs {
		s.theirs[i].Store(0)
		s.ours[i].Store(0)
		s.owner[i].Store(0)
		s.maker[i].Store(0)
	}
	for i := range s.pair {
		s.pair[i].Store(0)
	}
	s.expires.Store(0)
	s.kind.Store(0)
	s.flags.Store(0)
	s.chain, s.index = 0, 0
}

// at returns the slot of a number, nil for one that does not exist.
func (t *Table) at(n uint32) *slot {
	if n == 0 || uint64(n) > uint64(len(t.slots)) {
		return nil
	}
	return &t.slots[n-1]
}

// mix is a hash under the table's seed: nobody outside can choose what shares a bucket.
func (t *Table) mix(h, w uint64) uint64 {
	hi, lo := bits.Mul64(h^w^t.header.seed[0], t.header.seed[1])
	return hi ^ lo
}

func (t *Table) halfBucket(w [2]uint64) *bucket {
	h := t.mix(t.mix(0, w[0]), w[1])
	return &t.halves[t.mix(h, 0)&uint64(len(t.halves)-1)]
}

func (t *Table) pairBucket(p *pair) *bucket {
	h := uint64(0)
	for _, w := range p {
		h = t.mix(h, w)
	}
	return &t.pairs[t.mix(h, 0)&uint64(len(t.pairs)-1)]
}
