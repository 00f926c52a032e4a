// Package dpdk binds the part of DPDK 22.11 that a gateway port needs: EAL, packet buffer pools, Ethernet devices and their
// queues, one file each, under DPDK's own names. It is compiled only with the build tag dpdk; without it the package is
// empty. It is not a general binding: above it no C type and no DPDK constant is seen, only port.Port and mbuf.Pool.
//
// Whatever crosses into C is a burst or a bulk, never a packet. The slices of buffers are handed over as addresses; they
// hold pointers into DPDK's memory alone, which the garbage collector neither moves nor follows, so cgo has nothing to check.
//
// Ownership: the pool owns the memory; it lives until the process ends. A received buffer belongs to the caller with one
// reference; a buffer that TxBurst took belongs to the driver, which drops one reference when the device has sent it, maybe
// only in a later call on the same queue. Buffers with further references may be sent; nobody writes to them meanwhile.
//
// A port's queues outlive its device. When the kernel interface below a virtual device is removed, the workers are handed nothing to
// poll, an atomic pointer that they look at when a poll finds nothing; once they have let go of the device it is closed, and opened
// again when there is an interface of that name.
//
// EAL is one for a process, so is Init.
package dpdk
