package flowtable

import (
	"errors"
	"fmt"
	"unsafe"
)

const (
	lineSize = 64

	// RecordStride is the distance between records in bytes: a record begins on a cache line, and its first line holds
	// all that a lookup and a stale reference need. The number of lines is odd, so that the same line of different records
	// uses all sets of a cache.
	RecordStride = (RecordSize+lineSize-1)&^(lineSize-1) | lineSize

	// MaxCapacity is the largest number of flows of one table.
	MaxCapacity = 1 << 26

	tableMagic   = 0x6c62_7477_6f6c_666c
	tableVersion = 1
)

// Errors about the memory of a table.
var (
	ErrLayout = errors.New("bad flow table layout")
	ErrMemory = errors.New("bad flow table memory")
)

// Layout says how large a table is. All sizes in memory follow from it.
type Layout struct {
	Capacity uint32 // flows, 1 to MaxCapacity
	Chunks   uint32 // ledger chunks of ChunkEntries frames each, beside chunk 0 which means none
}

// Check returns an error that wraps ErrLayout when no table can have this layout.
func (l Layout) Check() error {
	if l.Capacity == 0 || l.Capacity > MaxCapacity {
		return fmt.Errorf("capacity of %d flows, not 1 to %d: %w", l.Capacity, MaxCapacity, ErrLayout)
	}
	if l.Chunks > 1<<28 {
		return fmt.Errorf("%d ledger chunks, more than %d: %w", l.Chunks, 1<<28, ErrLayout)
	}
	return nil
}

// header is the first part of a table's memory.
type header struct {
	magic      uint64
	version    uint32
	recordSize uint32
	chunkSize  uint32
	capacity   uint32
	chunks     uint32
	states     uint32
	seed       [2]uint64
	_          [8]byte
	_          [8]byte
	counts     [NumStates]uint64
	wheel      wheel
}

// places are the offsets of a table's parts in bytes.
type places struct {
	buckets  int // primary buckets, then overflow buckets
	records  int // record 0 is there and never used
	chunks   int // chunk 0 is there and never used
	size     int
	primary  uint32
	overflow uint32
}

func alignLine(n int) int { return (n + lineSize - 1) &^ (lineSize - 1) }

// placesOf returns where the parts of a table of layout l lie. The layout must pass Check.
func placesOf(l Layout) places {
	var p places
	p.primary = l.Capacity/flowsPerBucket + 1
	p.overflow = l.Capacity/bucketSlots + 1
	p.buckets = alignLine(int(unsafe.Sizeof(header{})))
	p.records = p.buckets + (int(p.primary)+int(p.overflow))*lineSize
	p.chunks = p.records + (int(l.Capacity)+1)*RecordStride
	p.size = alignLine(p.chunks + (int(l.Chunks)+1)*int(unsafe.Sizeof(Chunk{})))
	return p
}

// Size returns the bytes of memory a table of layout l needs, or 0 when the layout does not pass Check.
func Size(l Layout) int {
	if l.Check() != nil {
		return 0
	}
	return placesOf(l).size
}

// checkMemory refuses memory that cannot hold a table of layout l.
func checkMemory(mem []byte, l Layout) error {
	if err := l.Check(); err != nil {
		return err
	}
	if need := Size(l); len(mem) < need {
		return fmt.Errorf("%d bytes for a table of %d: %w", len(mem), need, ErrMemory)
	}
	if uintptr(unsafe.Pointer(unsafe.SliceData(mem)))%lineSize != 0 {
		return fmt.Errorf("memory does not begin on a cache line: %w", ErrMemory)
	}
	return nil
}
