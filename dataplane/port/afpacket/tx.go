package afpacket

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/port"
)

const (
	txMessages = 2 * port.Burst
	txPieces   = 4 * txMessages
)

// mmsghdr is struct mmsghdr of sendmmsg(2).
type mmsghdr struct {
	hdr unix.Msghdr
	_   uint64 // bytes sent, written by the kernel, and padding
}

// messages are the arguments of one sendmmsg, laid out once: a message is a packet, or segments that are sent as one. The first piece of
// each is its virtio-net header, with the headers of a super-packet behind it; the others lie in buffers outside the Go heap.
type messages struct {
	hdrs  [txMessages]mmsghdr
	iovs  [txPieces]unix.Iovec
	heads [txMessages][vnetHeader + maxHead]byte
	taken [txMessages]int // buffers that a message is of
	n     int
	used  int // of iovs
}

func (t *messages) prepare() {
	for i := range t.hdrs {
		t.hdrs[i].hdr.Iov = &t.iovs[0]
	}
}

// TxBurst implements port.Queue. A full send buffer or queue leaves packets with the caller. A packet the kernel refuses
// (too long, interface down or gone) is taken and counted.
func (q *queue) TxBurst(ms []*mbuf.Mbuf) int {
	done := 0
	for done < len(ms) {
		q.tx.gather(ms[done:])
		sent, errno := 0, unix.Errno(unix.EMSGSIZE)
		if q.tx.n > 0 {
			sent, errno = q.send(q.tx.n)
		}
		for _, n := range q.tx.taken[:sent] {
			q.cache.FreeBurst(ms[done : done+n])
			done += n
		}
		switch errno {
		case 0, unix.EINTR:
		case unix.EAGAIN, unix.ENOBUFS, unix.ENOMEM:
			return done
		case unix.ENETDOWN, unix.ENXIO, unix.ENODEV, unix.EBADF:
			q.refuse(ms[done:])
			return len(ms)
		default:
			n := 1
			if q.tx.n > 0 {
				n = q.tx.taken[0]
			}
			q.refuse(ms[done : done+n])
			done += n
		}
	}
	return done
}

func (q *queue) refuse(ms []*mbuf.Mbuf) {
	q.txErrors.Add(len(ms))
	q.cache.FreeBurst(ms)
}

// gather fills in messages for as many packets as fit. There is none when the first has too many segments.
func (t *messages) gather(ms []*mbuf.Mbuf) {
	t.n, t.used = 0, 0
	for len(ms) > 0 && t.n < txMessages {
		n := t.message(ms)
		if n == 0 {
			return
		}
		ms = ms[n:]
	}
}

// message makes a message of the packets at the front of ms and returns of how many; none where there are no iovs left for it.
func (t *messages) message(ms []*mbuf.Mbuf) int {
	first, m := t.used, ms[0]
	head := &t.heads[t.n]
	t.used++
	if !t.pieces(m, 0) {
		t.used = first
		return 0
	}
	var v vnetInfo
	c := chain{n: 1}
	length := vnetHeader
	if m.OlFlags&mbuf.TxTCPCksum != 0 { // or TxUDPCksum
		end := c.start(m)
		if m.NbSegs == 1 {
			t.iovs[first+1].Len = uint64(end) // the kernel would sum padding up too
		}
		for c.open && c.n < len(ms) && t.used < txPieces && c.add(m, ms[c.n]) {
			t.pieces(ms[c.n-1], c.head)
		}
		c.describe(&v)
		if c.n > 1 {
			length += copy(head[vnetHeader:], m.Data()[:c.head])
			c.header(head[vnetHeader:length])
			body := &t.iovs[first+1]
			body.Base = (*byte)(unsafe.Add(unsafe.Pointer(body.Base), c.head))
			body.Len -= uint64(c.head)
		}
	}
	v.put(head[:])
	t.iovs[first] = unix.Iovec{Base: &head[0], Len: uint64(length)}
	h := &t.hdrs[t.n].hdr
	h.Iov = &t.iovs[first]
	h.Iovlen = uint64(t.used - first)
	t.taken[t.n] = c.n
	t.n++
	return c.n
}

// pieces adds the bytes of m from skip on, which lies in its first buffer. It reports false where there are not enough iovs.
func (t *messages) pieces(m *mbuf.Mbuf, skip int) bool {
	for ; m != nil; m = (*mbuf.Mbuf)(m.Next) {
		if t.used >= txPieces { // the header may have taken one that there is not
			return false
		}
		v := &t.iovs[t.used]
		v.Base = (*byte)(unsafe.Add(m.BufAddr, m.DataOff()+skip))
		v.Len = uint64(int(m.DataLen) - skip)
		skip = 0
		t.used++
	}
	return true
}

// send hands n messages to the kernel and returns how many it took. The call never sleeps, so the Go scheduler need not
// know of it. An error behind the first message shows itself at the next call.
func (q *queue) send(n int) (int, unix.Errno) {
	r, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(q.at.txFd), uintptr(unsafe.Pointer(&q.tx.hdrs)), uintptr(n),
		unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(r), 0
}
