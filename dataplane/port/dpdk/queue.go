//go:build dpdk && cgo

package dpdk

/*
#cgo noescape lc_rx
#cgo nocallback lc_rx
#cgo noescape lc_tx
#cgo nocallback lc_tx

#include <stdlib.h>
#include <string.h>
#include "queue.h"
*/
import "C"

import (
	"sync/atomic"
	"unsafe"

	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/port"
)

// queue is what one worker polls of a device.
type queue struct {
	*port.Descriptor
	index   int
	dev     *device
	at      *C.struct_lc_queue                // the worker's own, in C memory
	next    atomic.Pointer[C.struct_lc_queue] // what the worker is to go over to, nil for nothing
	inspect bool                              // packets may come with unfinished checksums, and the driver does not say so
	looks   port.Inspector

	// What follows belongs to the goroutine that opens, follows and closes the port.
	current *C.struct_lc_queue // in use or handed over
	before  port.Stats         // of what was in use earlier

	_ [56]byte // to whole cache lines: another worker's may follow
}

// RxBurst implements port.Queue: one call into C.
func (q *queue) RxBurst(ms []*mbuf.Mbuf) int {
	if len(ms) == 0 {
		return 0
	}
	n := rxBurst(q.at, uintptr(unsafe.Pointer(unsafe.SliceData(ms))), len(ms))
	switch {
	case n == 0:
		if next := q.next.Load(); next != nil && q.next.CompareAndSwap(next, nil) {
			q.at = next
		}
	case q.inspect:
		q.looks.Look(ms[:n])
	}
	return n
}

// TxBurst implements port.Queue: one call into C. An empty burst lets the driver take back what the device has sent.
func (q *queue) TxBurst(ms []*mbuf.Mbuf) int {
	return txBurst(q.at, uintptr(unsafe.Pointer(unsafe.SliceData(ms))), len(ms))
}

// The address of ms stands for a pointer: the directive keeps the array on the heap and alive while C works on it. It holds
// C pointers alone, so cgo need not look at every one of them.
//
//go:uintptrescapes
func rxBurst(q *C.struct_lc_queue, ms uintptr, n int) int {
	return int(C.lc_rx(C.uintptr_t(uintptr(unsafe.Pointer(q))), C.uintptr_t(ms), C.uint16_t(n)))
}

//go:uintptrescapes
func txBurst(q *C.struct_lc_queue, ms uintptr, n int) int {
	return int(C.lc_tx(C.uintptr_t(uintptr(unsafe.Pointer(q))), C.uintptr_t(ms), C.uint16_t(n)))
}

// Stats implements port.Queue. What the devices count for all their queues together stands in queue 0.
func (q *queue) Stats() port.Stats {
	s := q.before
	s.Add(q.counted())
	s.RxCsumUnfinished = q.looks.Unfinished()
	if q.index == 0 && q.dev.at != nil {
		q.dev.at.addStats(&s)
	}
	return s
}

// counted is what the worker itself counted since it was given what it polls.
func (q *queue) counted() port.Stats {
	return port.Stats{
		RxSuperPacket: load(&q.current.super_packets), RxTruncated: load(&q.current.truncated), TxErrors: load(&q.current.tx_refused),
	}
}

func load(counter *C.uint64_t) uint64 { return atomic.LoadUint64((*uint64)(unsafe.Pointer(counter))) }

// apart is how far from each other in bytes lies what two workers write: two cache lines, because a core fetches them in pairs.
const apart = 128

// newRings makes what a worker polls, of n rings, on cache lines of its own: it is written at every poll.
func newRings(n int) *C.struct_lc_queue {
	size := unsafe.Sizeof(C.struct_lc_queue{}) + uintptr(n)*unsafe.Sizeof(C.struct_lc_ring{})
	size = (size + apart - 1) &^ (apart - 1)
	c := (*C.struct_lc_queue)(C.aligned_alloc(apart, C.size_t(size)))
	if c == nil {
		panic("dpdk: out of memory") // as Go does
	}
	C.memset(unsafe.Pointer(c), 0, C.size_t(size))
	c.rings = C.uint16_t(n)
	return c
}

// rings returns the rings of c.
func rings(c *C.struct_lc_queue) []C.struct_lc_ring {
	first := unsafe.Add(unsafe.Pointer(c), unsafe.Sizeof(C.struct_lc_queue{}))
	return unsafe.Slice((*C.struct_lc_ring)(first), int(c.rings))
}

// hand gives the worker something else to poll, after which q.taken says when it has let go of what it polled until then. The
// descriptor stands for socks.
func (q *queue) hand(c *C.struct_lc_queue, socks []int) error {
	if q.current == nil {
		q.at = c
	} else {
		q.before.Add(q.counted())
		q.next.Store(c)
	}
	q.current = c
	return q.Watch(socks...)
}

// taken reports whether the worker polls what it was given last.
func (q *queue) taken() bool { return q.next.Load() == nil }
