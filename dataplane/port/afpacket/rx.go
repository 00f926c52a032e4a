package afpacket

import (
	"encoding/binary"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/port"
)

// errorCheck is the number of polls without a packet after which a pending socket error is fetched. A socket whose
// interface went down or away polls readable for ever until then.
const errorCheck = 256

// queue is one queue pair of a Port. One worker uses it.
type queue struct {
	rxFd, txFd int
	cache      *mbuf.Cache
	ring       []byte
	frameSize  int
	next       int // the slot the next packet will be in
	maxFrame   int // longest frame in bytes taken
	losing     bool
	idle       int
	stats      port.Stats
	tx         messages
}

// RxBurst implements port.Queue.
func (q *queue) RxBurst(ms []*mbuf.Mbuf) int {
	n := 0
	for n < len(ms) {
		off := q.next * q.frameSize
		slot := q.ring[off : off+q.frameSize]
		hdr := (*unix.Tpacket2Hdr)(unsafe.Pointer(unsafe.SliceData(slot)))
		status := atomic.LoadUint32(&hdr.Status)
		if status&unix.TP_STATUS_USER == 0 {
			break
		}
		if m := q.take(slot, hdr, status); m != nil {
			ms[n] = m
			n++
		}
		q.losing = q.losing || status&unix.TP_STATUS_LOSING != 0
		atomic.StoreUint32(&hdr.Status, unix.TP_STATUS_KERNEL)
		q.next = (q.next + 1) % ringFrames
	}
	if n > 0 {
		q.idle = 0
	} else if q.idle++; q.idle%errorCheck == 0 {
		q.clearError()
	}
	return n
}

// take copies a slot's packet into a buffer, or counts why it cannot and returns nil.
func (q *queue) take(slot []byte, hdr *unix.Tpacket2Hdr, status uint32) *mbuf.Mbuf {
	start, n := int(hdr.Mac), int(hdr.Snaplen)
	if start < vnetHeader || start > len(slot) || n > len(slot)-start || n < ethHeader {
		q.stats.RxTruncated++
		return nil
	}
	vnet := parseVnet(slot[start-vnetHeader:])
	tagged := status&unix.TP_STATUS_VLAN_VALID != 0
	total := int(hdr.Len)
	if tagged {
		total += vlanTag
	}
	if vnet.gso != 0 || total > q.maxFrame {
		q.stats.RxSuperPacket++
		return nil
	}
	if n != int(hdr.Len) {
		q.stats.RxTruncated++
		return nil
	}
	m := q.cache.Alloc()
	if m == nil {
		q.stats.RxNoMbuf++
		return nil
	}
	if total > m.TailroomLen() {
		q.cache.Free(m)
		q.stats.RxSuperPacket++
		return nil
	}
	m.SetBounds(m.DataOff(), total)
	frame := slot[start : start+n]
	if tagged {
		insertVLAN(m.Data(), frame, hdr, status)
	} else {
		copy(m.Data(), frame)
	}
	m.OlFlags = q.checksum(m.Data()[total-n:], vnet, status)
	return m
}

// checksum completes an unfinished checksum and returns the receive flags. The IPv4 header's own checksum is never known
// to be good, because the kernel verifies it later than here.
func (q *queue) checksum(frame []byte, vnet vnetInfo, status uint32) uint64 {
	if vnet.flags&unix.VIRTIO_NET_HDR_F_NEEDS_CSUM != 0 {
		if !complete(frame, vnet.csumStart, vnet.csumOffset) {
			return mbuf.RxL4CksumBad
		}
		q.stats.RxCsumComplete++
		return mbuf.RxL4CksumGood
	}
	if status&unix.TP_STATUS_CSUM_VALID != 0 {
		return mbuf.RxL4CksumGood
	}
	return 0
}

// insertVLAN copies frame to dst, which is 4 bytes longer, with the tag the kernel had taken out.
func insertVLAN(dst, frame []byte, hdr *unix.Tpacket2Hdr, status uint32) {
	const addrs = 12
	tpid := uint16(unix.ETH_P_8021Q)
	if status&unix.TP_STATUS_VLAN_TPID_VALID != 0 {
		tpid = hdr.Vlan_tpid
	}
	copy(dst, frame[:addrs])
	binary.BigEndian.PutUint16(dst[addrs:], tpid)
	binary.BigEndian.PutUint16(dst[addrs+2:], hdr.Vlan_tci)
	copy(dst[addrs+vlanTag:], frame[addrs:])
}

// clearError fetches and so clears what is pending on the socket. The error itself says nothing that Port.LinkUp does
// not say better.
func (q *queue) clearError() {
	q.sockopt(unix.SOL_SOCKET, unix.SO_ERROR, 4)
}

// Stats implements port.Queue. The kernel is asked only after it flagged a packet it had no slot for.
func (q *queue) Stats() port.Stats {
	if q.losing {
		q.losing = false
		if buf, ok := q.sockopt(unix.SOL_PACKET, unix.PACKET_STATISTICS, 8); ok {
			q.stats.RxMissed += uint64(binary.NativeEndian.Uint32(buf[4:]))
		}
	}
	return q.stats
}

// sockopt reads an option of the receiving socket of n bytes, n at most 8, without allocating.
func (q *queue) sockopt(level, opt int, n uint32) (buf [8]byte, ok bool) {
	_, _, errno := unix.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(q.rxFd), uintptr(level), uintptr(opt),
		uintptr(unsafe.Pointer(&buf)), uintptr(unsafe.Pointer(&n)), 0)
	return buf, errno == 0
}

// Fd implements port.Waiter.
func (q *queue) Fd() int { return q.rxFd }
