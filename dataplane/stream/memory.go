package stream

import (
	"fmt"
	"unsafe"

	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/dataplane/hugepages"
)

// sliceOf views mapped memory as n values of a type without pointers to the Go heap.
func sliceOf[T any](mem []byte, n int) []T {
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(mem))), n)
}

// largeSize is the size of a buffer for the largest frame.
const largeSize = (tcpcrypt.MaxFrame + 63) &^ 63

// largeBuffers is a stock of buffers for frames that a packet buffer cannot hold. Number 0 means none.
type largeBuffers struct {
	mem   *hugepages.Memory
	free  []uint32
	owner []uint32 // reassembly object that each was given to
	peer  []peer
	share share
}

func (l *largeBuffers) init(n int) error {
	mem, err := hugepages.Map(n*largeSize, false)
	if err != nil {
		return fmt.Errorf("%d large buffers: %w", n, err)
	}
	l.mem, l.free = mem, make([]uint32, 0, n)
	l.owner, l.peer, l.share.total = make([]uint32, n+1), make([]peer, n+1), n
	for i := n; i > 0; i-- {
		l.free = append(l.free, uint32(i))
	}
	return nil
}

func (l *largeBuffers) close() {
	_ = l.mem.Close()
	l.mem, l.free = nil, nil
}

// alloc gives one to a reassembly object of a peer. The caller has checked that there is one.
func (l *largeBuffers) alloc(owner uint32, p peer) uint32 {
	n := len(l.free)
	if n == 0 {
		return 0
	}
	i := l.free[n-1]
	l.free = l.free[:n-1]
	l.owner[i], l.peer[i] = owner, p
	l.share.add(p)
	return i
}

func (l *largeBuffers) release(i uint32) {
	l.share.sub(l.peer[i])
	l.owner[i] = 0
	l.free = append(l.free, i)
}

func (l *largeBuffers) buf(i uint32) []byte {
	at := int(i-1) * largeSize
	return l.mem.Bytes[at : at+largeSize : at+largeSize]
}
