package mbuf

import (
	"fmt"
	"unsafe"

	"linecrypt/dataplane/hugepages"
)

// Pool is a source of buffers. Its methods may be slow (a cgo call for DPDK); a Cache in front of it calls them once per
// CacheChunk buffers.
type Pool interface {
	// AllocBulk fills ms with buffers, all or none, and reports whether it did. The buffers need a Reset.
	AllocBulk(ms []*Mbuf) bool
	// FreeBulk takes back buffers whose last reference is gone.
	FreeBulk(ms []*Mbuf)
	// Size is the number of buffers the pool was made with.
	Size() int
	// Avail is the number of buffers in the pool now; it may be an estimate.
	Avail() int
	// DataRoom is the number of bytes behind the headroom of a buffer.
	DataRoom() int
}

// Arena is a Pool in anonymous locked-down memory for one core. It takes no lock: one thread at a time may use it.
type Arena struct {
	mem      *hugepages.Memory
	free     []*Mbuf
	size     int
	dataRoom int
}

// BufferSize is what a buffer with dataRoom bytes behind the headroom takes of memory, in bytes: an odd number of cache lines, so that the
// same line of different buffers uses all sets of a cache.
func BufferSize(dataRoom int) int {
	return (StructSize+Headroom+dataRoom+lineSize-1)&^(lineSize-1) | lineSize
}

// NewArena maps memory for n buffers of Headroom+dataRoom bytes each. The memory is excluded from core dumps, because
// plaintext passes through it.
func NewArena(n, dataRoom int) (*Arena, error) { return newArena(n, dataRoom, false) }

// NewReservedArena is NewArena in reserved huge pages, if enough are free.
func NewReservedArena(n, dataRoom int) (*Arena, error) { return newArena(n, dataRoom, true) }

func newArena(n, dataRoom int, reserved bool) (*Arena, error) {
	if n <= 0 || dataRoom <= 0 || Headroom+dataRoom > 65535 {
		return nil, fmt.Errorf("mbuf arena: %d buffers of %d bytes: out of range", n, dataRoom)
	}
	stride := BufferSize(dataRoom)
	mem, err := hugepages.Map(n*stride, reserved)
	if err != nil {
		return nil, fmt.Errorf("mbuf arena: %w", err)
	}
	a := &Arena{mem: mem, free: make([]*Mbuf, 0, n), size: n, dataRoom: dataRoom}
	base := unsafe.Pointer(unsafe.SliceData(mem.Bytes))
	for i := n - 1; i >= 0; i-- {
		m := (*Mbuf)(unsafe.Add(base, i*stride))
		m.BufAddr = unsafe.Add(unsafe.Pointer(m), StructSize)
		m.BufLen = uint16(Headroom + dataRoom)
		m.Reset()
		a.free = append(a.free, m)
	}
	return a, nil
}

// Close unmaps the arena; no buffer of it may be in use.
func (a *Arena) Close() error {
	mem := a.mem
	a.mem, a.free = nil, nil
	if err := mem.Close(); err != nil {
		return fmt.Errorf("mbuf arena: %w", err)
	}
	return nil
}

// AllocBulk implements Pool.
func (a *Arena) AllocBulk(ms []*Mbuf) bool {
	n := len(a.free) - len(ms)
	if n < 0 {
		return false
	}
	copy(ms, a.free[n:])
	a.free = a.free[:n]
	return true
}

// FreeBulk implements Pool.
func (a *Arena) FreeBulk(ms []*Mbuf) { a.free = append(a.free, ms...) }

// Pages returns what pages the memory is made of.
func (a *Arena) Pages() hugepages.Kind { return a.mem.Kind }

// Size implements Pool.
func (a *Arena) Size() int { return a.size }

// Avail implements Pool.
func (a *Arena) Avail() int { return len(a.free) }

// DataRoom implements Pool.
func (a *Arena) DataRoom() int { return a.dataRoom }
