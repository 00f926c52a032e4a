package hugepages

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// pageBytes is the size of the pages that are mapped: larger ones waste too much of the last one.
const pageBytes = 2 << 20

// Kind says what pages memory is made of.
type Kind uint8

// The kinds of pages.
const (
	Ordinary    Kind = iota // less than a huge page: ordinary pages
	Transparent             // aligned, and the kernel was asked for transparent huge pages
	Reserved                // reserved huge pages
)

// String returns a word for the log.
func (k Kind) String() string { return [...]string{"ordinary", "transparent", "reserved"}[k] }

// Memory is a mapping of zeros, private to the process, outside of the Go heap and out of core dumps. It holds no pointers to the
// heap, and is given back by Close alone.
type Memory struct {
	Bytes []byte
	Kind  Kind
	all   []byte // as it was mapped
}

// Map maps n bytes: in reserved huge pages if those are wanted and enough are free, else where the kernel can use transparent ones.
func Map(n int, reserved bool) (*Memory, error) {
	if n <= 0 || n > 1<<46 {
		return nil, fmt.Errorf("map %d bytes: out of range", n)
	}
	size, kind := (n+pageBytes-1)&^(pageBytes-1), Transparent
	if n < pageBytes {
		size, kind, reserved = n, Ordinary, false
	}
	if reserved {
		if m := mapReserved(n, size); m != nil {
			return m, nil
		}
	}
	room := size
	if kind == Transparent {
		room += pageBytes - 1 // to align it
	}
	all, err := unix.Mmap(-1, 0, room, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return nil, fmt.Errorf("map %d bytes: %w", room, err)
	}
	_ = unix.Madvise(all, unix.MADV_DONTDUMP)
	at := 0
	if kind == Transparent {
		at = int(-uintptr(unsafe.Pointer(unsafe.SliceData(all))) & (pageBytes - 1))
		_ = unix.Madvise(all[at:at+size], unix.MADV_HUGEPAGE)
	}
	return &Memory{Bytes: all[at : at+n : at+n], Kind: kind, all: all}, nil
}

// mapReserved returns nil where there are not enough pages. They are taken at once, so that a limit of the control group is an error now
// and not a signal later; a kernel that cannot do so (before 5.14) has at least set them aside.
func mapReserved(n, size int) *Memory {
	const huge2MiB = 21 << 26 // MAP_HUGE_2MB
	all, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_HUGETLB|huge2MiB)
	if err != nil {
		return nil
	}
	for {
		err := unix.Madvise(all, unix.MADV_POPULATE_WRITE)
		if err == unix.EINTR || err == unix.EAGAIN {
			continue
		}
		if err != nil && err != unix.EINVAL {
			_ = unix.Munmap(all)
			return nil
		}
		break
	}
	_ = unix.Madvise(all, unix.MADV_DONTDUMP)
	return &Memory{Bytes: all[:n:n], Kind: Reserved, all: all}
}

// Lock keeps the memory out of swap, where the limits allow it. Huge pages that were reserved are never there.
func (m *Memory) Lock() error {
	if m.Kind == Reserved {
		return nil
	}
	return unix.Mlock(m.Bytes)
}

// Close gives the memory back; nobody may use it any more. A nil Memory has none.
func (m *Memory) Close() error {
	if m == nil || m.all == nil {
		return nil
	}
	all := m.all
	m.Bytes, m.all = nil, nil
	if err := unix.Munmap(all); err != nil {
		return fmt.Errorf("unmap: %w", err)
	}
	return nil
}
