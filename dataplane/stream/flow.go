package stream

import (
	"linecrypt/ctrlplane/shm"
	"linecrypt/dataplane/mbuf"
	"linecrypt/flowtable"
)

// flow is one call's view of a connection.
type flow struct {
	c   *Core
	r   *flowtable.Record
	out *Output
	now int64
	idx flowtable.Index

	segment int32 // what wirePayload returns, 0 where nobody has asked

	common bool // the segment is on the fast path: nothing that judge asks for is so, and those lines of the record need no look
}

// view makes f one call's view. The fields are stored one by one: a composite literal would be made elsewhere and copied, which stalls on
// what was stored just before.
func (f *flow) view(c *Core, idx flowtable.Index, r *flowtable.Record, now int64, out *Output) {
	f.c, f.r, f.out, f.now, f.idx, f.segment, f.common = c, r, out, now, idx, 0, false
}

// unwrap extends a 32-bit sequence number to the stream position nearest to near; first is the number of position 0. What
// is before position 0 comes out negative.
func unwrap(seq, first uint32, near uint64) int64 {
	return int64(near) + int64(int32(seq-first-uint32(near)))
}

// hostISN and peerISN return the sequence numbers of position 0.
func (f *flow) hostISN() uint32 { return f.r.Host.ISN + 1 }
func (f *flow) peerISN() uint32 { return f.r.Peer.ISN + 1 }

func (f *flow) count(n shm.Counter) { f.c.n[n]++ }

// drop frees a segment's buffer and counts why.
func (f *flow) drop(m *mbuf.Mbuf, why shm.Counter) {
	f.c.n[why]++
	f.c.cache.Free(m)
}

// event appends an event; Room keeps places free, and what is lost all the same is counted.
func (f *flow) event(kind EventKind, reason shm.Counter, data []byte) {
	if len(f.out.Events) < cap(f.out.Events) {
		f.out.Events = append(f.out.Events, Event{R: f.r, Flow: f.idx, Kind: kind, Reason: reason, Data: data})
		return
	}
	f.count(shm.EventsLost)
}

// emit takes the next place in the output, or nil when it is full, which counts as the loss of a packet.
func (f *flow) emit(kind EmitKind, dir Direction, m *mbuf.Mbuf, off, n int) *Emit {
	o := f.out
	if len(o.Emits) == cap(o.Emits) {
		f.drop(m, shm.DropNoOutput)
		return nil
	}
	o.Emits = o.Emits[:len(o.Emits)+1]
	e := &o.Emits[len(o.Emits)-1]
	e.R, e.Flow, e.M, e.Kind, e.Dir, e.Off, e.Len = f.r, f.idx, m, kind, dir, off, n
	e.Seq, e.Ack, e.TSVal, e.TSEcr = 0, 0, 0, 0
	e.Win, e.Urg, e.Flags, e.NSACK, e.NewTS, e.CE = 0, 0, ACK, 0, false, false
	e.HasTS = f.r.Flags&flowtable.FlagTimestamps != 0
	return e
}

// emitRoom reports whether n more emits fit, not counting what pending operations may need.
func (f *flow) emitRoom(n int) bool {
	return cap(f.out.Emits)-len(f.out.Emits) >= n+openEmits*len(f.out.Opens)
}

// build is emit with a fresh buffer; nil when there is none, which is counted.
func (f *flow) build(dir Direction) *Emit {
	m := f.c.cache.Alloc()
	if m == nil {
		f.count(shm.DropOwnNoBuffer)
		return nil
	}
	e := f.emit(EmitBuild, dir, m, BuildOffset, 0)
	if e == nil {
		return nil
	}
	if dir == ToWire {
		e.TSVal, e.TSEcr = f.r.Host.TSVal, f.r.Peer.TSVal
	} else {
		e.TSVal, e.TSEcr = f.r.Peer.TSVal, f.r.Host.TSVal
	}
	return e
}

// moveHeaders moves the headers of a received packet so that they end at a new payload offset, and sets the packet's bounds.
// The caller has checked that there is headroom.
func moveHeaders(m *mbuf.Mbuf, from, to, n int) {
	start := m.DataOff()
	if from != to {
		buf := m.Buf()
		copy(buf[to-(from-start):to], buf[start:from])
	}
	start += to - from
	m.SetBounds(start, to+n-start)
}

// later reports whether timestamp a is b or behind it.
func later(a, b uint32) bool { return int32(a-b) >= 0 }
