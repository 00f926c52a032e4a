package stream

import (
	"bytes"

	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/dataplane/mbuf"
)

// assembly is a frame, or the far end's Init message, of which some bytes are there. It grows in a packet buffer, and moves to a
// large one when more has arrived than that holds: what was only announced costs no memory.
type assembly struct {
	m        *mbuf.Mbuf
	large    uint32 // large buffer, 0 none
	delivery uint32 // reserved node for its delivery, 0 none
	start    WPos
	p        PPos // of a frame that comes again
	have     int
	need     int               // 0 while the length is not known
	init     tcpcrypt.InitKind // 0: a frame
	marks    uint8             // what its segments said of congestion
	active   bool
	vouched  bool // what has arrived of it may be acknowledged: see vouch
}

// minProgress is what the announced window leaves at least for a frame whose length is not known yet.
const minProgress = 64

// whole reports whether all of the frame, or of the message, is there.
func (a *assembly) whole() bool { return a.need != 0 && a.have >= a.need }

// edge is the position that must not be closed to the far end.
func (a *assembly) edge() uint64 {
	if !a.active {
		return 0
	}
	return uint64(a.start) + uint64(max(a.need, minProgress))
}

// vouch says that bytes of the frame may be acknowledged before it is whole and authentic. A sender whose congestion window is
// smaller than its frame needs that, and the gateway must not forget them then: if they are forged, the connection is lost. So a
// single segment is not enough, which a stranger may have guessed: it takes a second one that goes on where the first ended, or
// the first one once more.
func (a *assembly) vouch() { a.vouched = true }

// begin reserves memory for an assembly; false where there is none.
func (f *flow) begin(a *assembly, start WPos) bool {
	m := f.c.cache.Alloc()
	if m == nil {
		return false
	}
	i := f.c.allocDelivery(f.reassembly().peer)
	if i == 0 {
		f.c.cache.Free(m)
		return false
	}
	*a = assembly{m: m, delivery: i, start: start, active: true}
	return true
}

func (c *Core) freeAssembly(a *assembly) {
	c.cache.Free(a.m)
	if a.large != 0 {
		c.large.release(a.large)
	}
	if a.delivery != 0 {
		c.freeDeliveryNode(a.delivery)
	}
	*a = assembly{}
}

// assemblyBytes returns the memory that the assembly has now.
func (c *Core) assemblyBytes(a *assembly) []byte {
	if a.large != 0 {
		return c.large.buf(a.large)
	}
	return a.m.Buf()[BuildOffset:]
}

// fill copies bytes into an assembly: first those that tell its length, then up to that. It returns -1 for a length that
// cannot be, 0 for want of memory.
func (f *flow) fill(a *assembly, b []byte) int {
	want := a.need
	if want == 0 {
		want = tcpcrypt.HeaderLen
		if a.init != 0 {
			want = tcpcrypt.InitPrefixLen
		}
	} else if mem := f.c.assemblyBytes(a); want > len(mem) && a.have+len(b) > len(mem) {
		f.enlarge(a)
	}
	mem := f.c.assemblyBytes(a)
	n := min(len(b), want-a.have, len(mem)-a.have)
	copy(mem[a.have:], b[:n])
	a.have += n
	if a.need == 0 && a.have == want {
		need := frameLength(a.init, mem[:want])
		if need < 0 {
			return -1
		}
		a.need = need
	}
	return n
}

// frameLength returns the length of a frame, or of an Init message, from its first bytes; negative where it cannot be.
func frameLength(init tcpcrypt.InitKind, b []byte) int {
	if init == 0 {
		h, err := tcpcrypt.ParseHeader(b)
		if err != nil {
			return -1
		}
		return h.FrameLen()
	}
	n, need, err := tcpcrypt.MessageLen(init, b)
	if need || err != nil {
		return -1
	}
	return n
}

// enlarge moves an assembly into a large buffer, if there is one for its flow.
func (f *flow) enlarge(a *assembly) {
	i := f.largeBuffer()
	if i == 0 {
		return
	}
	copy(f.c.large.buf(i), f.c.assemblyBytes(a)[:a.have])
	f.c.cache.Free(a.m)
	a.m, a.large = nil, i
}

// agrees compares the bytes b at wire position w with those of the assembly, where both have some.
func (c *Core) agrees(a *assembly, w WPos, b []byte) bool {
	from, to := max(w, a.start), min(w+WPos(len(b)), a.start+WPos(a.have))
	return from >= to || bytes.Equal(b[from-w:to-w], c.assemblyBytes(a)[from-a.start:to-a.start])
}
