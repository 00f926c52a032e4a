package afpacket

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/port"
)

const (
	txMessages = 2 * port.Burst
	txSegments = 2 * txMessages
)

// mmsghdr is struct mmsghdr of sendmmsg(2).
type mmsghdr struct {
	hdr unix.Msghdr
	_   uint64 // bytes sent, written by the kernel, and padding
}

// messages are the arguments of one sendmmsg, laid out once. The iovecs point into buffers outside the Go heap.
type messages struct {
	hdrs [txMessages]mmsghdr
	iovs [txSegments]unix.Iovec
}

func (q *queue) prepareMessages() {
	for i := range q.tx.hdrs {
		q.tx.hdrs[i].hdr.Iov = &q.tx.iovs[0]
	}
}

// TxBurst implements port.Queue. A full send buffer or queue leaves packets with the caller. A packet the kernel refuses
// (too long, interface down or gone) is taken and counted.
func (q *queue) TxBurst(ms []*mbuf.Mbuf) int {
	done := 0
	for done < len(ms) {
		n := q.gather(ms[done:])
		sent, errno := 0, unix.Errno(unix.EMSGSIZE)
		if n > 0 {
			sent, errno = q.send(n)
		}
		q.cache.FreeBurst(ms[done : done+sent])
		done += sent
		switch errno {
		case 0, unix.EINTR:
		case unix.EAGAIN, unix.ENOBUFS, unix.ENOMEM:
			return done
		case unix.ENETDOWN, unix.ENXIO, unix.ENODEV, unix.EBADF:
			q.refuse(ms[done:])
			return len(ms)
		default:
			q.refuse(ms[done : done+1])
			done++
		}
	}
	return done
}

func (q *queue) refuse(ms []*mbuf.Mbuf) {
	q.txErrors.Add(len(ms))
	q.cache.FreeBurst(ms)
}

// gather fills in messages for as many packets as fit and returns how many; zero means the first has too many segments.
func (q *queue) gather(ms []*mbuf.Mbuf) int {
	used := 0
	for i, m := range ms[:min(len(ms), txMessages)] {
		first := used
		for ; m != nil; m = (*mbuf.Mbuf)(m.Next) {
			if used == txSegments {
				return i
			}
			v := &q.tx.iovs[used]
			v.Base = (*byte)(unsafe.Add(m.BufAddr, m.DataOff()))
			v.Len = uint64(m.DataLen)
			used++
		}
		h := &q.tx.hdrs[i].hdr
		h.Iov = &q.tx.iovs[first]
		h.Iovlen = uint64(used - first)
	}
	return min(len(ms), txMessages)
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
