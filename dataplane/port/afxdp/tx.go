package afxdp

import (
	"golang.org/x/sys/unix"

	"linecrypt/dataplane/mbuf"
)

// maxWakes bounds the system calls of a burst, where one sends txBatch chunks at most or ends at a packet that the interface dropped.
const maxWakes = 16

// TxBurst implements port.Queue. A full ring leaves packets with the caller. A packet that the port does not carry, or whose interface is down
// or gone, is taken and counted.
func (q *queue) TxBurst(ms []*mbuf.Mbuf) int {
	a := q.at
	if a.down {
		q.wake(a)
	}
	if len(a.sockets) == 0 || a.down {
		q.refuse(ms)
		return len(ms)
	}
	s := a.sockets[0]
	s.reap()
	longest, room := int(a.maxFrame.Load()), int(s.tx.room())
	done, used := 0, 0
	for _, m := range ms {
		n := length(m)
		if n < ethHeader || n > longest {
			q.refuse(ms[done : done+1])
			done++
			continue
		}
		pieces := (n + s.chunk - 1) / s.chunk
		if pieces > len(s.free) || used+pieces > room {
			break
		}
		s.put(m, n, uint32(used))
		used += pieces
		q.cache.Free(m)
		done++
	}
	if used > 0 {
		s.tx.publish(uint32(used))
		s.waits = true
	}
	if s.waits {
		q.wake(a)
	}
	return done
}

func (q *queue) refuse(ms []*mbuf.Mbuf) {
	q.txErrors.Add(len(ms))
	q.cache.FreeBurst(ms)
}

// length is how many bytes a packet's buffers hold.
func length(m *mbuf.Mbuf) int {
	n := int(m.DataLen)
	for m.NbSegs > 1 && m.Next != nil {
		m = (*mbuf.Mbuf)(m.Next)
		n += int(m.DataLen)
	}
	return n
}

// put copies a packet of n bytes into chunks, of which there are enough, and describes them in the ring from entry at on.
func (s *socket) put(m *mbuf.Mbuf, n int, at uint32) {
	from := m.Data()
	for ; n > 0; at++ {
		addr := s.free[len(s.free)-1]
		s.free = s.free[:len(s.free)-1]
		size := min(n, s.chunk)
		to := s.umem.Bytes[addr : addr+uint64(size)]
		for len(to) > 0 {
			if len(from) == 0 {
				m = (*mbuf.Mbuf)(m.Next)
				from = m.Data()
				continue
			}
			c := copy(to, from)
			to, from = to[c:], from[c:]
		}
		n -= size
		d := unix.XDPDesc{Addr: addr, Len: uint32(size)}
		if n > 0 {
			d.Options = unix.XDP_PKT_CONTD
		}
		*s.tx.slot(at) = d
	}
}

// reap takes back the chunks of frames that were sent. What is none of them is not taken.
func (s *socket) reap() {
	n := s.done.filled()
	for i := range n {
		addr := *s.done.slot(i)
		if addr >= uint64(s.received) && addr < uint64(len(s.umem.Bytes)) && len(s.free) < cap(s.free) {
			s.free = append(s.free, addr-addr%uint64(s.chunk))
		}
	}
	if n > 0 {
		s.done.release(n)
	}
}

// wake has the kernel send what the ring holds, if it does not do so by itself: with one system call, or with as many as it takes where one
// sends little. What is then left waits for the next burst or poll. The call never sleeps, so the Go scheduler need not know of it.
func (q *queue) wake(a *attachment) {
	if len(a.sockets) == 0 {
		return
	}
	s := a.sockets[0]
	calls := 1
	if !s.whole {
		calls = max(1, int(s.tx.unread()+txBatch-1)/txBatch)
	}
	a.down = false
	for n := 0; n < min(calls, maxWakes) && s.tx.asleep(); n++ {
		_, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(s.fd), 0, 0, unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case unix.ENETDOWN, unix.ENXIO, unix.ENODEV:
			a.down = true
			return
		case unix.EBUSY: // the kernel dropped a packet, and left those behind it
			q.txErrors.Add(1)
			calls++
		}
	}
	s.waits = s.tx.unread() > 0
}
