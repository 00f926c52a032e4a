package trace

import (
	"errors"
	"fmt"
	"sync/atomic"
	"unsafe"
)

// Events is how many events a region holds.
const Events = 2048

// ErrMemory is wrapped by errors about memory that a region does not fit in.
var ErrMemory = errors.New("memory of no use for a trace")

// Size is the size of a region in bytes. It begins on a cache line.
const Size = int(unsafe.Sizeof(region{}))

type region struct {
	turn   atomic.Uint64 // grows with every change of filter and until, odd while they are being written; the control plane's
	until  atomic.Int64  // ns of CLOCK_MONOTONIC at which the trace ends, 0 none
	filter Filter
	_      [128]byte // what follows is the worker's: no line in common

	written atomic.Uint64 // events ever
	_       [120]byte
	ring    [Events]slot
}

// slot holds an event, whole while turn is one more than its place in the order of all.
type slot struct {
	turn  atomic.Uint64
	event Event
}

// Region is a view of the memory of one worker's trace; the zero value is none. One Tap and one Reader may use it at the same time.
type Region struct{ mem *region }

// Attach makes a view of memory: Size bytes, zero at first.
func Attach(mem []byte) (Region, error) {
	at := unsafe.Pointer(unsafe.SliceData(mem))
	if len(mem) < Size || uintptr(at)%8 != 0 {
		return Region{}, fmt.Errorf("%d bytes at %#x, %d wanted: %w", len(mem), uintptr(at), Size, ErrMemory)
	}
	return Region{mem: (*region)(at)}, nil
}

// Begin has the worker trace what a filter fits until a time in ns of CLOCK_MONOTONIC. What was traced before ends.
func (r Region) Begin(f *Filter, until int64) {
	r.mem.turn.Add(1)
	r.mem.filter = *f
	r.mem.until.Store(until)
	r.mem.turn.Add(1)
}

// Extend moves the end of the trace in progress.
func (r Region) Extend(until int64) { r.mem.until.Store(until) }

// End ends the trace in progress, if there is one.
func (r Region) End() { r.mem.until.Store(0) }
