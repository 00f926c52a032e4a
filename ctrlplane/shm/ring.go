package shm

import (
	"errors"
	"fmt"
	"sync/atomic"
	"unsafe"
)

// MaxMessage is the largest message of a ring in bytes.
const MaxMessage = 40 << 10

const (
	ringLine   = 64
	ringHeader = 4 * ringLine
	frameHead  = 8          // length and its complement, before each message
	skipLength = 0xffffffff // length of a frame that fills the rest of the buffer
	minRing    = 128 << 10  // two largest messages, so that one always fits into an empty ring, wherever it begins
	maxRing    = 1 << 30
)

// Errors of rings.
var (
	ErrRingSize    = errors.New("bad ring size")
	ErrRingMemory  = errors.New("bad ring memory")
	ErrRingContent = errors.New("damaged ring content")
)

// ringControl is what a ring keeps in shared memory before its buffer. Positions count bytes since the ring was made. Each
// line has one writer.
type ringControl struct {
	tail   atomic.Uint64 // written by the producer: everything before it is published
	full   atomic.Uint64 // times the producer found no room
	_      [ringLine - 16]byte
	head   atomic.Uint64 // written by the consumer: everything before it is done with
	resets atomic.Uint64 // times the consumer threw damaged content away
	_      [ringLine - 16]byte
	size   uint64 // of the buffer, a power of two
	_      [2*ringLine - 8]byte
}

// RingBytes returns the memory a ring with a buffer of size bytes needs, or 0 when size is not a power of two from 128 KiB
// to 1 GiB.
func RingBytes(size int) int {
	if size < minRing || size > maxRing || size&(size-1) != 0 {
		return 0
	}
	return ringHeader + size
}

// Ring is a queue of messages from one producer to one consumer, in shared memory. A message becomes visible by one store,
// so a producer that is killed leaves whole messages or none; a consumer that is killed before Release leaves the message
// for the next one.
type Ring struct {
	ctl *ringControl
	buf []byte
}

// FormatRing makes an empty ring in mem, which must begin on a cache line and hold RingBytes(size) bytes. The error wraps
// ErrRingSize or ErrRingMemory.
func FormatRing(mem []byte, size int) (Ring, error) {
	r, err := viewRing(mem, size)
	if err != nil {
		return Ring{}, fmt.Errorf("format ring: %w", err)
	}
	clear(mem[:RingBytes(size)])
	r.ctl.size = uint64(size)
	return r, nil
}

// AttachRing returns the ring that FormatRing made in mem with the same size. It writes nothing. The error wraps ErrRingSize
// or ErrRingMemory.
func AttachRing(mem []byte, size int) (Ring, error) {
	r, err := viewRing(mem, size)
	if err != nil {
		return Ring{}, fmt.Errorf("attach to ring: %w", err)
	}
	if r.ctl.size != uint64(size) {
		return Ring{}, fmt.Errorf("attach to ring: buffer of %d bytes, not %d: %w", r.ctl.size, size, ErrRingMemory)
	}
	return r, nil
}

func viewRing(mem []byte, size int) (Ring, error) {
	need := RingBytes(size)
	if need == 0 {
		return Ring{}, fmt.Errorf("%d bytes: %w", size, ErrRingSize)
	}
	base := unsafe.Pointer(unsafe.SliceData(mem))
	if len(mem) < need || uintptr(base)%ringLine != 0 {
		return Ring{}, fmt.Errorf("%d bytes of memory for %d: %w", len(mem), need, ErrRingMemory)
	}
	return Ring{ctl: (*ringControl)(base), buf: mem[ringHeader:need:need]}, nil
}

// Full returns how often a producer found no room.
func (r Ring) Full() uint64 { return r.ctl.full.Load() }

// Resets returns how often a consumer threw damaged content away.
func (r Ring) Resets() uint64 { return r.ctl.resets.Load() }

// Used returns the bytes that wait in the ring, at most its size, whatever is in memory.
func (r Ring) Used() int {
	return int(min(r.ctl.tail.Load()-r.ctl.head.Load(), uint64(len(r.buf))))
}

// frameBytes returns the room a message of n bytes takes: positions stay multiples of 8.
func frameBytes(n int) int { return frameHead + (n+7)&^7 }

// sane reports whether two positions of a ring can be those of its consumer and its producer.
func (r Ring) sane(head, tail uint64) bool {
	return head%8 == 0 && tail%8 == 0 && tail-head <= uint64(len(r.buf))
}
