package flowtable

import "unsafe"

// Entry is a frame in flight: sealed and not yet acknowledged (egress), or opened and not yet acknowledged by the host
// (ingress). 32 bytes, so that a restarted data plane finds what it needs to go on: a frame that is sealed again leaves
// only if its tag is the one recorded here.
type Entry struct {
	WEnd  uint64   // wire stream position just behind the frame
	Len   uint32   // bytes of the frame in the wire stream
	Flags uint8    // bits EntryXxx
	Over  uint8    // Len minus the plaintext bytes, but for what the gateway made itself: it carries no plaintext
	Urg   uint16   // egress: the urgent field, if EntryURG
	Tag   [16]byte // authentication tag; zero for the Init message
}

// Plain returns the plaintext bytes that the frame carries.
func (e *Entry) Plain() uint32 {
	if e.Flags&EntryOwn != 0 {
		return 0
	}
	return e.Len - uint32(e.Over)
}

// Bits of Entry.Flags.
const (
	EntryFIN      = 1 << 0 // carries FINp; the FIN follows it
	EntryRekey    = 1 << 1 // first frame of its key generation
	EntryOwn      = 1 << 2 // made by the gateway itself, which retransmits it
	EntryDelivery = 1 << 3 // ingress: acknowledged to the wire by the gateway, which delivers it
	EntryURG      = 1 << 4
	EntryPending  = 1 << 5 // egress: still plaintext, until the burst's operations have been worked
)

// ChunkEntries is the number of entries in a chunk: a flow with little in flight holds one chunk or none.
const ChunkEntries = 15

// ChunkIndex names a chunk of one table; 0 means none.
type ChunkIndex uint32

// Chunk is a piece of a ledger, 512 bytes with its links: two entries lie on each of its cache lines.
type Chunk struct {
	Next    ChunkIndex
	free    uint32 // of chunk 0: number of free chunks
	Start   uint64 // plaintext position at which the first entry begins, in the ledgers for which Mark tells it
	_       [16]byte
	Entries [ChunkEntries]Entry
}

// Ledger is a queue of entries in a list of chunks. Head and Tail are indices within the first and the last chunk.
type Ledger struct {
	First, Last ChunkIndex
	Head, Tail  uint16 // next entry to read in First, next free entry in Last
	Count       uint32
}

// Chunks is the stock of ledger chunks of one table, over memory that the caller gives. Chunk 0 is never handed out: its
// link is the head of the list of free ones, so that the list survives a restart of the process.
type Chunks struct{ mem []Chunk }

// FormatChunks makes every chunk of mem but the first free. mem is at least one chunk.
func FormatChunks(mem []Chunk) Chunks {
	clear(mem[:1])
	for i := len(mem) - 1; i > 0; i-- {
		mem[i].Next = mem[0].Next
		mem[0].Next = ChunkIndex(i)
	}
	mem[0].free = uint32(len(mem) - 1)
	return Chunks{mem}
}

// OpenChunks takes over chunks that FormatChunks made.
func OpenChunks(mem []Chunk) Chunks { return Chunks{mem} }

// Len is the number of chunks, the reserved first one included.
func (c Chunks) Len() int { return len(c.mem) }

// Free is the number of chunks that can still be taken.
func (c Chunks) Free() int {
	if len(c.mem) == 0 {
		return 0
	}
	return int(c.mem[0].free)
}

func (c Chunks) alloc() ChunkIndex {
	i := c.mem[0].Next
	if i == 0 || int(i) >= len(c.mem) {
		return 0
	}
	c.mem[0].Next = c.mem[i].Next
	c.mem[0].free--
	c.mem[i].Next = 0
	return i
}

func (c Chunks) release(i ChunkIndex) {
	c.mem[i].Next = c.mem[0].Next
	c.mem[0].Next = i
	c.mem[0].free++
}

// FrontID returns the ID of what Front returns; the ledger is not empty.
func (c Chunks) FrontID(l *Ledger) EntryID { return entryID(l.First, l.Head) }

// NextID returns the ID of the entry that the next Push appends: a hint for the cache. It is in no chunk that is in use where none is free.
func (c Chunks) NextID(l *Ledger) EntryID {
	if l.HasRoom() {
		return entryID(l.Last, l.Tail)
	}
	i := c.mem[0].Next
	if int(i) >= len(c.mem) {
		i = 0
	}
	return entryID(i, 0)
}

// EntryID names an entry for as long as it is queued: it indexes arrays that run parallel to the chunks. Entries of one chunk have IDs in
// a row, from a multiple of EntryStride on; the last one of these is nobody's.
type EntryID uint32

// EntryStride is how many IDs a chunk has.
const EntryStride = ChunkEntries + 1

func entryID(i ChunkIndex, at uint16) EntryID { return EntryID(i)*EntryStride + EntryID(at) }

// Place returns which entry of its chunk an ID names: ChunkEntries behind the last one.
func (id EntryID) Place() uint32 { return uint32(id % EntryStride) }

// MaxEntryID returns an upper bound, exclusive, of the IDs the chunks can have.
func (c Chunks) MaxEntryID() int { return len(c.mem) * EntryStride }

// At returns the entry. Entries lie in a row as their IDs do, because a chunk's links take as much as an entry.
func (c Chunks) At(id EntryID) *Entry {
	_ = c.mem[id/EntryStride]
	return (*Entry)(unsafe.Add(unsafe.Pointer(unsafe.SliceData(c.mem)), (uintptr(id)+1)*unsafe.Sizeof(Entry{})))
}

// An entry is as large as a chunk's links, and a chunk as so many entries.
var (
	_ [unsafe.Sizeof(Entry{})]struct{}               = [unsafe.Offsetof(Chunk{}.Entries)]struct{}{}
	_ [EntryStride * unsafe.Sizeof(Entry{})]struct{} = [unsafe.Sizeof(Chunk{})]struct{}{}
)

// HasRoom reports whether the ledger's last chunk has room for an entry.
func (l *Ledger) HasRoom() bool { return l.Last != 0 && l.Tail < ChunkEntries }

// PushBehind is Push for a ledger that HasRoom.
func (c Chunks) PushBehind(l *Ledger) (*Entry, EntryID) {
	id := entryID(l.Last, l.Tail)
	e := &c.mem[l.Last].Entries[l.Tail]
	*e = Entry{} // before it counts: what was there may look like a frame of the flow's
	l.Append(1)
	return e, id
}

// Push appends an empty entry to the ledger and returns it, or nil when no chunk is free.
func (c Chunks) Push(l *Ledger) (*Entry, EntryID) {
	if !l.HasRoom() {
		i := c.alloc()
		if i == 0 {
			return nil, 0
		}
		if l.Last == 0 {
			l.First, l.Head = i, 0
		} else {
			c.mem[l.Last].Next = i
		}
		l.Last, l.Tail = i, 0
	}
	return c.PushBehind(l)
}

// Behind returns the places of the entries that will follow the newest one in its chunk, none where that is full, or the ledger has none. They
// hold what was there before. The caller fills some, from the first on, and then counts them with Append.
func (c Chunks) Behind(l *Ledger) []Entry {
	if l.Last == 0 {
		return nil
	}
	return c.mem[l.Last].Entries[l.Tail:]
}

// Append makes n entries of the ledger that were filled in the places that Behind returned. Who is killed before leaves it as it was.
func (l *Ledger) Append(n int) {
	l.Tail += uint16(n)
	l.Count += uint32(n)
}

// Front returns the oldest entry, or nil.
func (c Chunks) Front(l *Ledger) (*Entry, EntryID) {
	if l.Count == 0 {
		return nil, 0
	}
	id := c.FrontID(l)
	return c.At(id), id
}

// Back returns the newest entry, or nil.
func (c Chunks) Back(l *Ledger) (*Entry, EntryID) {
	if l.Count == 0 {
		return nil, 0
	}
	id := entryID(l.Last, l.Tail) - 1
	return c.At(id), id
}

// Pop removes the oldest entry; the ledger must not be empty.
func (c Chunks) Pop(l *Ledger) { c.PopRun(l, 1) }

// FrontRun returns the oldest entries, as many as lie in one chunk, and the ID of the first of them, which the others' follow; none of an
// empty ledger.
func (c Chunks) FrontRun(l *Ledger) ([]Entry, EntryID) {
	to := min(uint32(l.Head)+l.Count, ChunkEntries)
	return c.mem[l.First].Entries[l.Head:to], entryID(l.First, l.Head)
}

// PopRun removes the n oldest entries, n of those that FrontRun returns.
func (c Chunks) PopRun(l *Ledger, n int) {
	l.Head += uint16(n)
	l.Count -= uint32(n)
	switch {
	case l.Count == 0:
		c.release(l.First)
		*l = Ledger{}
	case l.Head == ChunkEntries:
		next := c.mem[l.First].Next
		c.release(l.First)
		l.First, l.Head = next, 0
	}
}

// Mark notes at which plaintext position an entry begins that was pushed just now. If that is done for all entries of a ledger,
// iterators can pass over whole chunks of it.
func (c Chunks) Mark(id EntryID, p uint64) {
	if id.Place() == 0 {
		c.mem[id/EntryStride].Start = p
	}
}

// Iter walks a ledger from its oldest entry on. The ledger must not change meanwhile.
type Iter struct {
	chunks Chunks
	chunk  ChunkIndex
	at     uint16
	left   uint32
}

// Iter returns an iterator before the oldest entry.
func (c Chunks) Iter(l *Ledger) Iter {
	return Iter{chunks: c, chunk: l.First, at: l.Head, left: l.Count}
}

// Next returns the next entry, or nil at the end.
func (i *Iter) Next() (*Entry, EntryID) {
	if i.left == 0 {
		return nil, 0
	}
	if i.at == ChunkEntries {
		i.chunk, i.at = i.chunks.mem[i.chunk].Next, 0
	}
	id := entryID(i.chunk, i.at)
	i.at++
	i.left--
	return i.chunks.At(id), id
}

// Chunk reports the wire positions [w, wEnd) of the entries of the chunk that the iterator is about to enter, and the plaintext position
// pEnd behind them; ok is false where it is within a chunk, or about to enter the last one.
func (i *Iter) Chunk() (w, wEnd, pEnd uint64, ok bool) {
	if i.left <= ChunkEntries || i.at != 0 && i.at != ChunkEntries {
		return 0, 0, 0, false
	}
	chunk := i.chunk
	if i.at == ChunkEntries {
		chunk = i.chunks.mem[chunk].Next
	}
	c := &i.chunks.mem[chunk]
	next := &i.chunks.mem[c.Next]
	first, after := &c.Entries[0], &next.Entries[0]
	return first.WEnd - uint64(first.Len), after.WEnd - uint64(after.Len), next.Start, true
}

// SkipChunk passes over the chunk that Chunk reported.
func (i *Iter) SkipChunk() {
	if i.at == ChunkEntries {
		i.chunk = i.chunks.mem[i.chunk].Next
	}
	i.chunk, i.at = i.chunks.mem[i.chunk].Next, 0
	i.left -= ChunkEntries
}
