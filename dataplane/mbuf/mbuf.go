// Package mbuf holds the packet buffer that every port and every stage of the data plane works on.
//
// An Mbuf has the memory layout of DPDK's struct rte_mbuf (22.11, x86-64), so that a buffer received from a poll-mode
// driver is used from Go where it lies, without a call and without a copy. Ports that know nothing of DPDK take the same
// structure from an Arena. The package is not a binding: it calls no C.
//
// Ownership: whoever holds a *Mbuf owns one reference. Passing it to a port's TxBurst or to Cache.Free gives that
// reference away. A second holder (the retransmission queue keeps sealed frames) takes a reference with Retain.
// Buffers never lie on the Go heap; pointers to them may be kept in Go memory freely.
package mbuf

import (
	"sync/atomic"
	"unsafe"
)

// Headroom is the number of bytes before the packet in a fresh buffer (RTE_PKTMBUF_HEADROOM).
const Headroom = 128

// DefaultDataRoom is the number of bytes behind the headroom: a full Ethernet frame, a frame's overhead and a tag fit.
const DefaultDataRoom = 2048

// JumboDataRoom is the same for jumbo frames, of an MTU of 9000 bytes and some more.
const JumboDataRoom = 9216

// MaxDataRoom is the largest: what with the headroom can be counted in a buffer's fields.
const MaxDataRoom = 65535 - Headroom

// Offload flags (rte_mbuf_core.h). Receive flags say what the port verified, transmit flags what it shall fill in.
const (
	RxL4CksumBad  = uint64(1) << 3
	RxIPCksumBad  = uint64(1) << 4
	RxIPCksumGood = uint64(1) << 7
	RxL4CksumGood = uint64(1) << 8

	TxTCPCksum = uint64(1) << 52
	TxUDPCksum = uint64(3) << 52 // a number of two bits: whoever asks for TxTCPCksum's finds it here too
	TxIPCksum  = uint64(1) << 54
	TxIPv4     = uint64(1) << 55
	TxIPv6     = uint64(1) << 56
)

// Mbuf mirrors struct rte_mbuf. The field comments give byte offsets; a test of the DPDK binding checks them against the
// C header.
type Mbuf struct {
	BufAddr      unsafe.Pointer // 0: start of the buffer, headroom included
	BufIOVA      uint64         // 8
	offRef       uint32         // 16: data_off (low half) and refcnt (high half)
	NbSegs       uint16         // 20
	Port         uint16         // 22
	OlFlags      uint64         // 24
	PacketType   uint32         // 32
	PktLen       uint32         // 36
	DataLen      uint16         // 40
	VlanTCI      uint16         // 42
	HashLo       uint32         // 44: RSS hash
	HashHi       uint32         // 48
	VlanTCIOuter uint16         // 52
	BufLen       uint16         // 54
	PoolPtr      unsafe.Pointer // 56

	Next      unsafe.Pointer // 64
	TxOffload uint64         // 72
	ShInfo    unsafe.Pointer // 80
	PrivSize  uint16         // 88
	TimeSync  uint16         // 90
	DynField  [9]uint32      // 92
}

// StructSize is the size of Mbuf in bytes (two cache lines).
const StructSize = 128

var _ [StructSize]byte = [unsafe.Sizeof(Mbuf{})]byte{}

// DataOff returns the offset of the first packet byte from BufAddr.
func (m *Mbuf) DataOff() int { return int(uint16(m.offRef)) }

// SetDataOff moves the first packet byte; it leaves the reference count alone and must not race with Retain or release
// by another thread.
func (m *Mbuf) SetDataOff(off int) { m.offRef = m.offRef&0xffff0000 | uint32(uint16(off)) }

// RefCnt returns the number of references.
func (m *Mbuf) RefCnt() int { return int(atomic.LoadUint32(&m.offRef) >> 16) }

// Retain adds a reference. The caller holds one of its own: two threads that share one lose count. Whoever holds the only one needs
// no atomic addition, which would wait for all stores before it.
func (m *Mbuf) Retain() {
	if atomic.LoadUint32(&m.offRef)>>16 == 1 {
		m.offRef += 1 << 16
		return
	}
	atomic.AddUint32(&m.offRef, 1<<16)
}

// release drops a reference and reports whether it was the last; the count is then left at one, as a pool expects it.
func (m *Mbuf) release() bool {
	if atomic.LoadUint32(&m.offRef)>>16 == 1 {
		return true
	}
	if atomic.AddUint32(&m.offRef, ^uint32(1<<16-1))>>16 == 0 {
		atomic.AddUint32(&m.offRef, 1<<16)
		return true
	}
	return false
}

// Reset makes the buffer an empty packet with full headroom and one reference.
func (m *Mbuf) Reset() {
	m.offRef = 1<<16 | Headroom
	m.NbSegs = 1
	m.OlFlags = 0
	m.PktLen = 0
	m.DataLen = 0
	m.VlanTCI = 0
	m.TxOffload = 0
	m.Next = nil
}

// Data returns the packet's bytes in this buffer. The slice aliases the buffer.
func (m *Mbuf) Data() []byte {
	return unsafe.Slice((*byte)(unsafe.Add(m.BufAddr, m.DataOff())), int(m.DataLen))
}

// At returns the packet's byte number i, which is less than DataLen.
func (m *Mbuf) At(i int) byte { return *(*byte)(unsafe.Add(m.BufAddr, m.DataOff()+i)) }

// Buf returns the whole buffer, headroom and tailroom included. Offsets into it stay valid when the packet start moves.
func (m *Mbuf) Buf() []byte { return unsafe.Slice((*byte)(m.BufAddr), int(m.BufLen)) }

// HeadroomLen returns the free bytes before the packet.
func (m *Mbuf) HeadroomLen() int { return m.DataOff() }

// TailroomLen returns the free bytes behind the packet.
func (m *Mbuf) TailroomLen() int { return int(m.BufLen) - m.DataOff() - int(m.DataLen) }

// SetBounds makes the packet start at off in Buf and be n bytes long. The caller keeps off+n within BufLen.
func (m *Mbuf) SetBounds(off, n int) {
	m.SetDataOff(off)
	m.DataLen = uint16(n)
	m.PktLen = uint32(n)
}

// Append copies b behind the packet and reports whether there was room.
func (m *Mbuf) Append(b []byte) bool {
	if len(b) > m.TailroomLen() {
		return false
	}
	end := m.DataOff() + int(m.DataLen)
	copy(m.Buf()[end:], b)
	m.DataLen += uint16(len(b))
	m.PktLen = uint32(m.DataLen)
	return true
}
