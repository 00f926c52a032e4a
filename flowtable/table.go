package flowtable

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"sync/atomic"
	"unsafe"
)

// Table is one worker's view of the table in a piece of memory, or another process's view of the same memory. The memory
// belongs to whoever mapped it and must stay mapped while the Table is used. One goroutine writes; it alone may call the
// methods that change the table.
type Table struct {
	mem      []byte
	hdr      *header
	buckets  []bucket
	records  unsafe.Pointer
	chunks   []Chunk
	hasher   hasher
	capacity uint32
	primary  uint32
	overflow uint32

	// Private to the writer, made anew by New and Recover.
	free  []Index  // records not in use, the last one is handed out next
	spare []uint32 // overflow buckets not in use
	plain []uint64 // bit per record: its state is Plain
	hand  uint32   // word of plain where the search for a victim goes on
	lists [numLists]ends
	sink  uint64 // what findAllGo touched, so that the loads stay

	_ [48]byte // to whole cache lines: another worker's Table may follow
}

// New formats mem, clearing it, as an empty table and returns it. Mem must begin on a cache line and hold Size(l) bytes. The
// seed is secret: who knows it can make flows collide. Now is the monotonic clock in ns, at which the timer wheel starts.
// The error wraps ErrLayout or ErrMemory.
func New(mem []byte, l Layout, seed [2]uint64, now int64) (*Table, error) {
	if err := checkMemory(mem, l); err != nil {
		return nil, fmt.Errorf("new flow table: %w", err)
	}
	clear(mem[:Size(l)])
	t := view(mem, l)
	*t.hdr = header{
		version: tableVersion, recordSize: uint32(RecordSize), chunkSize: uint32(unsafe.Sizeof(Chunk{})),
		capacity: l.Capacity, chunks: l.Chunks, states: uint32(NumStates), seed: seed,
	}
	t.hdr.magic = tableMagic
	t.hasher = newHasher(seed)
	t.Recover(now)
	return t, nil
}

// Attach returns a view of a table that New made in mem, with the same layout. It writes nothing, so the memory may be
// mapped read-only; use Recover before the first change. While another process writes the table, what is read may be torn:
// see Snapshot. The error wraps ErrLayout or ErrMemory.
func Attach(mem []byte, l Layout) (*Table, error) {
	if err := checkMemory(mem, l); err != nil {
		return nil, fmt.Errorf("attach to flow table: %w", err)
	}
	t := view(mem, l)
	h := t.hdr
	switch {
	case h.magic != tableMagic:
		return nil, fmt.Errorf("attach to flow table: magic %#x: %w", h.magic, ErrMemory)
	case h.version != tableVersion || h.recordSize != uint32(RecordSize) || h.chunkSize != uint32(unsafe.Sizeof(Chunk{})) || h.states != uint32(NumStates):
		return nil, fmt.Errorf("attach to flow table: made by another version of the program (format %d, records of %d bytes): %w", h.version, h.recordSize, ErrMemory)
	case h.capacity != l.Capacity || h.chunks != l.Chunks:
		return nil, fmt.Errorf("attach to flow table: holds %d flows and %d chunks, not %d and %d: %w", h.capacity, h.chunks, l.Capacity, l.Chunks, ErrMemory)
	}
	t.hasher = newHasher(h.seed)
	return t, nil
}

func view(mem []byte, l Layout) *Table {
	p := placesOf(l)
	base := unsafe.Pointer(unsafe.SliceData(mem))
	return &Table{
		mem:      mem,
		hdr:      (*header)(base),
		buckets:  unsafe.Slice((*bucket)(unsafe.Add(base, p.buckets)), p.primary+p.overflow),
		records:  unsafe.Add(base, p.records),
		chunks:   unsafe.Slice((*Chunk)(unsafe.Add(base, p.chunks)), l.Chunks+1),
		capacity: l.Capacity,
		primary:  p.primary,
		overflow: p.overflow,
	}
}

// Capacity returns the number of flows the table can hold.
func (t *Table) Capacity() int { return int(t.capacity) }

// Len returns the number of records in use.
func (t *Table) Len() int { return int(t.capacity) - len(t.free) }

// Chunks returns the ledger chunks, by ChunkIndex. Element 0 is not used. They belong to the stream translator.
func (t *Table) Chunks() []Chunk { return t.chunks }

// Count returns the number of flows in state s. Another process may call it.
func (t *Table) Count(s State) uint64 {
	if s >= NumStates {
		return 0
	}
	return t.hdr.counts[s]
}

// Hash returns the hash of a key under the table's seed.
func (t *Table) Hash(key *Key) uint32 { return t.hasher.sum(key) }

// SetMapped makes k the key of an untagged connection between IPv4 addresses, and returns its hash. An address is given as the second half
// of its IPv6-mapped form is stored, whose first half is 0.
func (t *Table) SetMapped(k *Key, inside, outside uint64, insidePort, outsidePort uint16) (hash uint32) {
	le := binary.LittleEndian
	le.PutUint64(k.Inside[:8], 0)
	le.PutUint64(k.Inside[8:], inside)
	le.PutUint64(k.Outside[:8], 0)
	le.PutUint64(k.Outside[8:], outside)
	k.InsidePort, k.OutsidePort, k.VLAN = insidePort, outsidePort, 0
	h := &t.hasher
	hi, lo := bits.Mul64(h.k[0], inside+h.k[1]) // as sum does, in one call: the first halves are 0
	hi2, lo2 := bits.Mul64(h.k[2], outside+h.k[3])
	return h.fold(hi, lo, hi2, lo2, uint64(insidePort)|uint64(outsidePort)<<16)
}

// Record returns a record by its index, in use or not, or nil when no record has that index.
func (t *Table) Record(i Index) *Record {
	if uint32(i)-1 >= t.capacity {
		return nil
	}
	return (*Record)(unsafe.Add(t.records, uintptr(i)*uintptr(RecordStride)))
}

// Get returns the record that a reference names, or nil when that record has been removed since.
func (t *Table) Get(i Index, gen uint32) *Record {
	r := t.Record(i)
	if r == nil || r.Gen != gen || r.State == Free {
		return nil
	}
	return r
}

// Lookup returns the record of a key whose hash is given, 0 when there is none.
func (t *Table) Lookup(key *Key, hash uint32) Index {
	b := &t.buckets[t.homeOf(hash)]
	for steps := uint32(0); steps <= t.overflow; steps++ {
		if i := t.findIn(b, key, hash); i != 0 {
			return i
		}
		if b = t.follow(b); b == nil {
			return 0
		}
	}
	return 0
}

// Hot returns where those lines of an encrypted connection's record begin that each segment touches: HotLines in a row, and one more.
func (r *Record) Hot() (row, local unsafe.Pointer) {
	return unsafe.Pointer(r), unsafe.Pointer(&r.Local)
}

// HotLines is the number of cache lines of a record's identity and of both halves of the connection.
const HotLines = 5

// Insert returns the record of a key and whether it is new. A new record is in state Plain, its generation has grown, Key,
// Hash, Created and LastSeen are set and all else is zero. It returns 0 when the table is full: see OldestPlain.
func (t *Table) Insert(key *Key, hash uint32, now int64) (i Index, fresh bool) {
	if i := t.Lookup(key, hash); i != 0 {
		return i, false
	}
	if len(t.free) == 0 {
		return 0, false
	}
	i = t.free[len(t.free)-1]
	t.free = t.free[:len(t.free)-1]
	r := t.Record(i)
	r.erase()
	r.Gen++
	if r.Gen == 0 {
		r.Gen = 1
	}
	r.Key, r.Hash, r.LastSeen, r.Rare.Created = *key, hash, now, now
	t.SetState(i, Plain)
	t.link(i, hash)
	return i, true
}

// Remove stops the record's timer, erases all of the record but its generation, and gives it back. What the record refers
// to elsewhere (chunks, buffers) must have been released before. Indices that name no record in use are ignored.
func (t *Table) Remove(i Index) {
	r := t.Record(i)
	if r == nil || r.State == Free {
		return
	}
	t.Disarm(i)
	t.delist(r)
	hash := r.Hash
	t.SetState(i, Free)
	t.unlink(i, hash)
	r.erase()
	t.free = append(t.free, i)
}

// erase clears all of the record but its generation.
func (r *Record) erase() {
	r.Key, r.Hash = Key{}, 0
	const rest = int(unsafe.Offsetof(r.State))
	clear(unsafe.Slice((*byte)(unsafe.Pointer(r)), RecordSize)[rest:])
}

// SetState moves a flow to state s and keeps the counts by state. It is the only way a state may be changed.
func (t *Table) SetState(i Index, s State) {
	r := t.Record(i)
	if r == nil || s >= NumStates {
		return
	}
	if old := r.State; old != Free && old < NumStates {
		t.hdr.counts[old]--
	}
	r.State = s
	if s != Free {
		t.hdr.counts[s]++
	}
	w, bit := uint32(i)/64, uint64(1)<<(uint32(i)%64)
	if s == Plain {
		t.plain[w] |= bit
	} else {
		t.plain[w] &^= bit
	}
}

// Next returns the record in use that follows i in the order of indices, 0 behind the last one. Start with 0. Another process
// may call it.
func (t *Table) Next(i Index) Index {
	for n := uint64(i) + 1; n <= uint64(t.capacity); n++ {
		if s := t.Record(Index(n)).State; s != Free && s < NumStates {
			return Index(n)
		}
	}
	return 0
}

// Range calls f for each record in use until f returns false. f may remove the record it is called for.
func (t *Table) Range(f func(i Index, r *Record) bool) {
	for i := t.Next(0); i != 0; i = t.Next(i) {
		if !f(i, t.Record(i)) {
			return
		}
	}
}

// Snapshot copies a record into r and reports whether it is in use and was not handed to another flow meanwhile. Single
// fields that the worker was changing may still be torn.
func (t *Table) Snapshot(i Index, r *Record) bool {
	src := t.Record(i)
	if src == nil {
		return false
	}
	gen := atomic.LoadUint32(&src.Gen)
	*r = *src
	return r.State != Free && r.State < NumStates && r.Gen == gen && atomic.LoadUint32(&src.Gen) == gen && src.State != Free
}

// victims is how many plain flows OldestPlain compares.
const victims = 8

// OldestPlain returns a plain flow to be removed when there is no place for another, or 0 when there is none that may be. It is
// approximate: a clock hand goes round, and the one of the greatest weight among the next 8 plain flows is chosen; a weight of 0
// excludes a flow. Nil weighs by silence alone.
func (t *Table) OldestPlain(weight func(r *Record) uint64) Index {
	if t.hdr.counts[Plain] == 0 {
		return 0
	}
	var victim Index
	var most uint64
	found := 0
	for range len(t.plain) + 1 {
		for w := t.plain[t.hand]; w != 0; w &= w - 1 {
			i := Index(t.hand*64 + uint32(bits.TrailingZeros64(w)))
			of := ^uint64(t.Record(i).LastSeen)
			if weight != nil {
				of = weight(t.Record(i))
			}
			if of > most {
				victim, most = i, of
			}
			found++
		}
		t.hand = (t.hand + 1) % uint32(len(t.plain))
		if found >= victims {
			break
		}
	}
	return victim
}
