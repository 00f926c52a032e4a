package outcome

import (
	"errors"
	"fmt"
	"sync/atomic"
	"unsafe"
)

// How many notes a region holds: of connections in the clear, and of refused ones in each of the parts that networks share.
const (
	Plains    = 1024
	Parts     = 32
	PerPart   = 16
	Refusals  = Parts * PerPart
	slots     = Plains + Refusals
	firstPart = Plains
)

// ErrMemory is wrapped by errors about memory that a region does not fit in.
var ErrMemory = errors.New("memory of no use for notes")

// Size is the size of a region in bytes.
const Size = int(unsafe.Sizeof(region{}))

type region struct {
	written atomic.Uint64 // notes ever
	_       [56]byte
	slots   [slots]slot
}

// slot holds a note, whole while number is not 0: its place in the order of all, from 1 on.
type slot struct {
	number atomic.Uint64
	note   Note
}

// Region is a view of the memory of one worker's notes; the zero value is none. One Pen and any number of readers may use it at the same time.
type Region struct{ mem *region }

// Attach makes a view of memory: Size bytes, zero at first.
func Attach(mem []byte) (Region, error) {
	at := unsafe.Pointer(unsafe.SliceData(mem))
	if len(mem) < Size || uintptr(at)%8 != 0 {
		return Region{}, fmt.Errorf("%d bytes at %#x, %d wanted: %w", len(mem), uintptr(at), Size, ErrMemory)
	}
	return Region{mem: (*region)(at)}, nil
}
