package flowtable

// Entry is a frame in flight: sealed and not yet acknowledged (egress), or opened and not yet acknowledged by the host
// (ingress). 32 bytes, so that a restarted data plane finds what it needs to go on: a frame that is sealed again leaves
// only if its tag is the one recorded here.
type Entry struct {
	WEnd  uint64   // wire stream position just behind the frame
	Len   uint32   // bytes of the frame in the wire stream
	Flags uint16   // bits EntryXxx
	Over  uint16   // Len minus the plaintext bytes: 20, 22, or all of Len for what carries no plaintext
	Tag   [16]byte // authentication tag; zero for the Init message
}

// Bits of Entry.Flags.
const (
	EntryFIN     = 1 << 0 // carries FINp; the FIN follows it
	EntryRekey   = 1 << 1 // first frame of its key generation
	EntryOwn     = 1 << 2 // made by the gateway itself, which retransmits it
	EntryCustody = 1 << 3 // ingress: acknowledged to the wire by the gateway, which delivers it
	EntryURG     = 1 << 4
)

// ChunkEntries is the number of entries in a chunk: a flow with little in flight holds one chunk or none.
const ChunkEntries = 15

// ChunkIndex names a chunk of one table; 0 means none.
type ChunkIndex uint32

// Chunk is a piece of a ledger, 496 bytes with its links.
type Chunk struct {
	Next    ChunkIndex
	_       [3]uint32
	Entries [ChunkEntries]Entry
}

// Ledger is a queue of entries in a list of chunks. Head and Tail are indices within the first and the last chunk.
type Ledger struct {
	First, Last ChunkIndex
	Head, Tail  uint16 // next entry to read in First, next free entry in Last
	Count       uint32
}
