package afpacket

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"linecrypt/dataplane/mbuf"
)

// receiver is what a queue takes super-packets in with, laid out once. The kernel keeps such a packet beside the ring, whose slots are
// too small for it (PACKET_COPY_THRESH): the slot has its beginning, from which follows how it is split, and one recvmsg then writes the
// payload of each segment to where it belongs, the only copy there is.
type receiver struct {
	split split
	msg   unix.Msghdr
	iovs  [2 + maxSegments]unix.Iovec
	vnet  [vnetHeader]byte
	head  [headRoom]byte // takes the headers, which the slot has shown already

	// Segments that no poll has handed over yet.
	segments [maxSegments]*mbuf.Mbuf
	next, n  int
}

// headRoom bounds the headers of a super-packet, for tagged IPv6 with a few extension headers.
const headRoom = 512

func (r *receiver) prepare() {
	r.iovs[0].Base = &r.vnet[0]
	r.iovs[0].SetLen(vnetHeader)
	r.iovs[1].Base = &r.head[0]
	r.msg.Iov = &r.iovs[0]
}

// hand moves waiting segments to ms and returns how many.
func (r *receiver) hand(ms []*mbuf.Mbuf) int {
	n := copy(ms, r.segments[r.next:r.n])
	r.next += n
	return n
}

// takeSuper splits a super-packet, of which frame is the beginning, into the receiver's segments, of which none may be left.
func (q *queue) takeSuper(frame []byte, hdr *unix.Tpacket2Hdr, status uint32, vnet vnetInfo) {
	r := &q.rx
	r.next, r.n = 0, 0
	kept := status&unix.TP_STATUS_COPY != 0
	if !kept && len(frame) < int(hdr.Len) {
		q.unkept.Add(1) // as many wait as the socket's buffer holds
		return
	}
	tag := 0
	if status&unix.TP_STATUS_VLAN_VALID != 0 {
		tag = vlanTag
		vnet.csumStart += tag
	}
	first := q.cache.Alloc()
	if first == nil {
		q.noMbuf.Add(1)
		q.forget(kept)
		return
	}
	shown := min(len(frame)+tag, first.TailroomLen(), headRoom)
	first.SetBounds(first.DataOff(), shown)
	copyTagged(first.Data(), frame, hdr, status)
	s := &r.split
	if !s.plan(first, &vnet, int(hdr.Len)+tag, int(q.at.maxFrame.Load())) || s.head+s.bytes(0) > int(first.BufLen)-first.DataOff() {
		q.cache.Free(first)
		q.superPackets.Add(1)
		q.forget(kept)
		return
	}
	r.segments[0] = first
	if got := 1 + q.cache.AllocBurst(r.segments[1:s.n]); got < s.n {
		q.cache.FreeBurst(r.segments[:got])
		q.noMbuf.Add(s.n)
		q.forget(kept)
		return
	}
	if !q.read(frame, int(hdr.Len), tag, kept) {
		q.cache.FreeBurst(r.segments[:s.n])
		q.truncated.Add(1)
		return
	}
	q.completed.Add(s.n)
	r.n = s.n
}

// read fetches the super-packet's payload into the segments and gives each of them its headers. The frame is length bytes long without
// the tag; one that is whole in its slot was not kept beside the ring.
func (q *queue) read(frame []byte, length, tag int, kept bool) bool {
	r := &q.rx
	s := &r.split
	first := r.segments[0]
	r.iovs[1].SetLen(s.head - tag)
	payload := frame[s.head-tag:]
	for i, m := range r.segments[:s.n] {
		n := s.bytes(i)
		m.SetBounds(m.DataOff(), s.head+n)
		m.OlFlags = s.flags
		if i > 0 {
			copy(m.Data(), first.Data()[:s.head])
			s.header(m.Data(), i)
		}
		if !kept {
			payload = payload[copy(m.Data()[s.head:], payload):]
			continue
		}
		v := &r.iovs[2+i]
		v.Base = (*byte)(unsafe.Add(m.BufAddr, m.DataOff()+s.head))
		v.SetLen(n)
	}
	s.header(first.Data(), 0)
	if !kept {
		return true
	}
	r.msg.SetIovlen(2 + s.n)
	return q.at.receive(&r.msg) == vnetHeader+length
}

// receive takes the packet that was kept beside the ring into msg and returns its length, negative where there is none.
func (s *sockets) receive(msg *unix.Msghdr) int {
	for {
		n, _, errno := unix.RawSyscall(unix.SYS_RECVMSG, uintptr(s.rxFd), uintptr(unsafe.Pointer(msg)), unix.MSG_DONTWAIT|unix.MSG_TRUNC)
		switch errno {
		case 0:
			return int(n)
		case unix.EINTR:
		case unix.ENETDOWN:
			// The error was pending, the packet is still there.
		default:
			return -1
		}
	}
}

// discard forgets the packet that was kept beside the ring.
func (s *sockets) discard() {
	var msg unix.Msghdr
	s.receive(&msg)
}
