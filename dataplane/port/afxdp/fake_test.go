package afxdp

import (
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"linecrypt/dataplane/hugepages"
	"linecrypt/dataplane/mbuf"
)

// kernel plays the kernel's side of a socket whose rings and memory are ordinary memory.
type kernel struct {
	*socket
	headroom       uint64 // before a received frame in its chunk
	rxMade, filled uint32 // this side's indices
	sent, doneMade uint32
}

// fake makes a socket of small chunks, and the kernel's side of it. Its indices begin shortly before they wrap around.
func fake(rx, tx, chunk int) *kernel {
	const start = ^uint32(0) - 2
	s := &socket{fd: -1, chunk: chunk, umem: &hugepages.Memory{Bytes: make([]byte, (rx+tx)*chunk)}}
	s.fill, s.done = fakeRing[uint64](rx, start), fakeRing[uint64](max(tx, 1), start)
	s.rx, s.tx = fakeRing[unix.XDPDesc](rx, start), fakeRing[unix.XDPDesc](max(tx, 1), start)
	s.fillUp(shape{rx: rx, tx: tx, pieces: true})
	return &kernel{socket: s, headroom: 16, rxMade: start, filled: start, sent: start, doneMade: start}
}

func fakeRing[E any](n int, start uint32) ring[E] {
	r := ring[E]{producer: new(atomic.Uint32), consumer: new(atomic.Uint32), flags: new(atomic.Uint32), entries: make([]E, n), mine: start}
	r.producer.Store(start)
	r.consumer.Store(start)
	return r
}

// deliver has pieces of one packet arrive; last says that the packet ends with them. It reports whether there were chunks for all.
func (k *kernel) deliver(pieces [][]byte, last bool) bool {
	if k.fill.producer.Load()-k.filled < uint32(len(pieces)) {
		return false
	}
	for i, b := range pieces {
		addr := k.fill.entries[k.filled%uint32(len(k.fill.entries))] + k.headroom
		k.filled++
		copy(k.umem.Bytes[addr:], b)
		d := unix.XDPDesc{Addr: addr, Len: uint32(len(b))}
		if i < len(pieces)-1 || !last {
			d.Options = unix.XDP_PKT_CONTD
		}
		k.describe(d)
	}
	k.fill.consumer.Store(k.filled)
	return true
}

// describe puts a descriptor into the ring of received frames.
func (k *kernel) describe(d unix.XDPDesc) {
	k.rx.entries[k.rxMade%uint32(len(k.rx.entries))] = d
	k.rxMade++
	k.rx.producer.Store(k.rxMade)
}

// send takes the frames to be sent out of the ring, and gives their chunks back.
func (k *kernel) send() (frames [][]byte, pieces []int) {
	var frame []byte
	n := 0
	for ; k.sent != k.tx.producer.Load(); k.sent++ {
		d := k.tx.entries[k.sent%uint32(len(k.tx.entries))]
		frame = append(frame, k.umem.Bytes[d.Addr:d.Addr+uint64(d.Len)]...)
		n++
		k.done.entries[k.doneMade%uint32(len(k.done.entries))] = d.Addr
		k.doneMade++
		if d.Options&unix.XDP_PKT_CONTD == 0 {
			frames, pieces = append(frames, frame), append(pieces, n)
			frame, n = nil, 0
		}
	}
	k.tx.consumer.Store(k.sent)
	k.done.producer.Store(k.doneMade)
	return frames, pieces
}

// queueOf makes a queue that polls sockets.
func queueOf(c *mbuf.Cache, longest int, sockets ...*socket) *queue {
	a := &attachment{promisc: -1, sockets: sockets, pieces: true}
	a.maxFrame.Store(int64(longest))
	return &queue{cache: c, at: a}
}

// arena makes a cache over n buffers, and checks in the end that none is lost.
func arena(t testing.TB, n, room int) *mbuf.Cache {
	t.Helper()
	a, err := mbuf.NewArena(n, room)
	if err != nil {
		t.Fatal(err)
	}
	c := mbuf.NewCache(a)
	t.Cleanup(func() {
		if c.Flush(); a.Avail() != n {
			t.Errorf("%d buffers of %d are free", a.Avail(), n)
		}
		_ = a.Close()
	})
	return c
}
