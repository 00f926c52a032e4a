//go:build dpdk && cgo

package dpdk

/*
#cgo noescape lc_pool_get
#cgo nocallback lc_pool_get
#cgo noescape lc_pool_put
#cgo nocallback lc_pool_put

#include <stdlib.h>
#include "mempool.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"sync/atomic"
	"unsafe"

	"linecrypt/dataplane/mbuf"
)

// driverCache is the number of free buffers that DPDK keeps for each polling thread, for what its drivers take and give
// one at a time.
const driverCache = 256

// objectOverhead is what a buffer takes beside its data: the pool's header, the mbuf and the headroom.
const objectOverhead = 64 + mbuf.StructSize + mbuf.Headroom

// pool is an rte_pktmbuf pool. Any thread may use it.
type pool struct {
	mp         *C.struct_rte_mempool
	prod, cons *uint32
	size       int
	dataRoom   int
}

// MemMB returns the memory in MiB to ask of Init for a pool of n buffers with dataRoom bytes behind the headroom, with room
// for DPDK's own tables.
func MemMB(n, dataRoom int) int {
	return n*(objectOverhead+dataRoom+63)>>20 + 64
}

// NewPool makes a pool of n buffers with mbuf.Headroom and dataRoom bytes each. The pool lives until the process ends: a
// driver may hold buffers of it as long.
func NewPool(name string, n, dataRoom int) (mbuf.Pool, error) {
	if n <= 0 || dataRoom <= 0 || mbuf.Headroom+dataRoom > 65535 {
		return nil, fmt.Errorf("dpdk pool %s: %d buffers of %d bytes: out of range", name, n, dataRoom)
	}
	if !initialised() {
		return nil, fmt.Errorf("dpdk pool %s: %w", name, errNoInit)
	}
	cache := driverCache
	if n < 16*driverCache {
		cache = 0
	}
	cname := C.CString(name)
	defer C.free(unsafe.Pointer(cname))
	discardLog()
	mp, err := C.lc_pool_create(cname, C.uint(n), C.uint(cache), C.uint16_t(dataRoom))
	if mp == nil {
		return nil, fmt.Errorf("dpdk pool %s: %d buffers of %d bytes: %w", name, n, dataRoom, withLog(err))
	}
	p := &pool{mp: mp, size: n, dataRoom: dataRoom}
	C.lc_pool_gauge(mp, (**C.uint32_t)(unsafe.Pointer(&p.prod)), (**C.uint32_t)(unsafe.Pointer(&p.cons)))
	return p, nil
}

// poolOf returns DPDK's pool behind a cache, which a port's driver receives into.
func poolOf(c *mbuf.Cache) (*pool, error) {
	if c == nil {
		return nil, errors.New("no buffer cache")
	}
	p, ok := c.Pool().(*pool)
	if !ok {
		return nil, fmt.Errorf("the buffers are of a %T, not of a DPDK pool", c.Pool())
	}
	return p, nil
}

// AllocBulk implements mbuf.Pool.
func (p *pool) AllocBulk(ms []*mbuf.Mbuf) bool {
	return len(ms) == 0 || getBulk(p.mp, uintptr(unsafe.Pointer(unsafe.SliceData(ms))), len(ms))
}

// FreeBulk implements mbuf.Pool.
func (p *pool) FreeBulk(ms []*mbuf.Mbuf) {
	if len(ms) > 0 {
		putBulk(p.mp, uintptr(unsafe.Pointer(unsafe.SliceData(ms))), len(ms))
	}
}

// The address of ms stands for a pointer: the directive keeps the array on the heap and alive while C works on it.
//
//go:uintptrescapes
func getBulk(mp *C.struct_rte_mempool, ms uintptr, n int) bool {
	return C.lc_pool_get(C.uintptr_t(uintptr(unsafe.Pointer(mp))), C.uintptr_t(ms), C.uint(n)) == 0
}

//go:uintptrescapes
func putBulk(mp *C.struct_rte_mempool, ms uintptr, n int) {
	C.lc_pool_put(C.uintptr_t(uintptr(unsafe.Pointer(mp))), C.uintptr_t(ms), C.uint(n))
}

// Size implements mbuf.Pool.
func (p *pool) Size() int { return p.size }

// DataRoom implements mbuf.Pool.
func (p *pool) DataRoom() int { return p.dataRoom }

// Avail implements mbuf.Pool: it reads the pool's ring where it lies. Buffers in DPDK's per-thread caches (at most 1.5
// times driverCache a thread) are free too, but only for that thread's drivers, and are not counted.
func (p *pool) Avail() int {
	cons := atomic.LoadUint32(p.cons)
	n := int(atomic.LoadUint32(p.prod) - cons)
	return min(n, p.size)
}

// count is Avail with every thread's cache, exact when nobody uses the pool, and slow.
func (p *pool) count() int { return int(C.rte_mempool_avail_count(p.mp)) }

// AnyThread implements mbuf.AnyThread.
func (p *pool) AnyThread() {}
