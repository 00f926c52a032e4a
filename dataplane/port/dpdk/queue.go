//go:build dpdk && cgo

package dpdk

/*
#cgo noescape lc_rx
#cgo nocallback lc_rx
#cgo noescape lc_tx
#cgo nocallback lc_tx

#include "queue.h"
*/
import "C"

import (
	"unsafe"

	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/port"
)

// queue is one receive and one transmit queue of a device.
type queue struct {
	c   *C.struct_lc_queue
	dev *device
}

// RxBurst implements port.Queue: one call into C.
func (q *queue) RxBurst(ms []*mbuf.Mbuf) int {
	if len(ms) == 0 {
		return 0
	}
	return rxBurst(q.c, uintptr(unsafe.Pointer(unsafe.SliceData(ms))), len(ms))
}

// TxBurst implements port.Queue: one call into C. An empty burst lets the driver take back what the device has sent.
func (q *queue) TxBurst(ms []*mbuf.Mbuf) int {
	return txBurst(q.c, uintptr(unsafe.Pointer(unsafe.SliceData(ms))), len(ms))
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

// Stats implements port.Queue. What the device counts for all its queues together stands in queue 0.
func (q *queue) Stats() port.Stats {
	s := port.Stats{
		RxSuperPacket: uint64(q.c.super_packets),
		RxTruncated:   uint64(q.c.truncated),
		TxErrors:      uint64(q.c.tx_refused),
	}
	if q.c.queue == 0 {
		q.dev.addStats(&s)
	}
	return s
}

// waitQueue is a queue whose driver receives through a socket, so that its worker can sleep.
type waitQueue struct {
	queue
	fd int
}

// Fd implements port.Waiter.
func (q *waitQueue) Fd() int { return q.fd }
