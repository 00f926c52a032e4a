package stream

import (
	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/dataplane/mbuf"
	"linecrypt/flowtable"
)

// resend sends every kept frame that overlaps the plaintext [p, end) again, as it was. Several small frames share a segment.
// What the host acknowledges and says besides goes along.
func (f *flow) resend(seg *Segment, p, end int64) {
	e := &f.r.Egress
	at := int64(e.PUna)
	f.blackHole(seg, p)
	g := gather{limit: f.wirePayload()}
	it := f.c.chunks.Iter(&e.Queue)
	for at < end {
		if _, _, next, ok := it.Chunk(); ok && int64(next) < p {
			it.SkipChunk()
			at = int64(next)
			continue
		}
		en, id := it.Next()
		if en == nil {
			break
		}
		next := at + int64(plainLen(en))
		switch k := &f.c.kept[id]; {
		case next <= p && (next > at || at < p) || en.Flags&flowtable.EntryPending != 0:
			// It is not asked for, or about to go out anyway.
		case k.sealed():
			g.add(f, seg, en, *k)
			f.count(shm.ResentFrames)
		default:
			g.flush(f, seg)
			f.sealAgain(seg, p, en, id, at)
		}
		at = next
	}
	g.flush(f, seg)
}

// resendOwn sends a frame or message of the gateway's own again.
func (f *flow) resendOwn(en *flowtable.Entry, id flowtable.EntryID) {
	if en.Flags&flowtable.EntryPending != 0 {
		return
	}
	g := gather{limit: f.wirePayload()}
	f.count(shm.OwnResent)
	g.add(f, nil, en, f.c.kept[id])
	g.flush(f, nil)
}

// gather copies kept frames into segments to be sent again. Its methods take the host's segment that caused it, or nil.
type gather struct {
	m     *mbuf.Mbuf
	n     int
	limit int
	start uint64 // wire position of what is gathered
	end   uint64
	flags uint8
	urg   uint16
}

// add gathers one frame. What is gathered goes out before where the frame does not follow it or makes it too long; a frame
// that is longer than a segment may be is sent in several.
func (g *gather) add(f *flow, seg *Segment, en *flowtable.Entry, k kept) {
	bytes := k.m.Buf()[k.off : int(k.off)+int(en.Len)]
	w := en.WEnd - uint64(en.Len)
	if g.m != nil && (g.end != w || g.n+len(bytes) > g.limit || en.Flags&flowtable.EntryURG != 0) {
		g.flush(f, seg)
	}
	for len(bytes) > 0 {
		if g.m == nil && !g.begin(f, w) {
			f.count(shm.DropResend)
			return
		}
		room := min(g.limit, int(g.m.BufLen)-BuildOffset) - g.n
		n := min(room, len(bytes))
		copy(g.m.Buf()[BuildOffset+g.n:], bytes[:n])
		g.n, g.end, w, bytes = g.n+n, g.end+uint64(n), w+uint64(n), bytes[n:]
		if en.Flags&flowtable.EntryURG != 0 {
			g.flags, g.urg = g.flags|URG, uint16(g.n+len(bytes))
		}
		if len(bytes) > 0 {
			g.flush(f, seg)
		}
	}
	if en.Flags&flowtable.EntryFIN != 0 {
		g.flags |= FIN
	}
	if en.WEnd == uint64(f.r.Rare.SealInit) {
		g.flags |= PSH // whenever it is sent, the end of an Init message is pushed (RFC 8548 section 3.3)
	}
}

func (g *gather) begin(f *flow, w uint64) bool {
	if !f.emitRoom(1) {
		return false
	}
	g.m = f.c.cache.Alloc()
	g.n, g.start, g.end, g.flags, g.urg = 0, w, w, ACK, 0
	return g.m != nil
}

func (g *gather) flush(f *flow, seg *Segment) {
	if g.m == nil {
		return
	}
	g.m.SetBounds(BuildOffset, g.n)
	e := f.emit(EmitBuild, ToWire, g.m, BuildOffset, g.n)
	g.m = nil
	if e == nil {
		return
	}
	e.Seq = f.hostISN() + uint32(g.start)
	e.Ack, e.Win = f.toWire()
	e.TSVal, e.TSEcr = f.r.Host.TSVal, f.r.Peer.TSVal
	e.Flags, e.Urg = g.flags, g.urg
	if seg != nil {
		e.TSEcr = seg.TSEcr
		e.Flags |= seg.Flags & (PSH | ECE | CWR)
	}
}

// armOwn runs the retransmission timer while a frame of the gateway's own is the oldest in flight, or a rekeying frame has yet
// to be made.
func (f *flow) armOwn() {
	e := &f.r.Egress
	en, _ := f.c.chunks.Front(&e.Queue)
	if en == nil || en.Flags&flowtable.EntryOwn == 0 {
		if f.common {
			return // the timer does not run, and all generations are shown: those lines of the record stay where they are
		}
		f.r.Rare.OwnTimer = 0
		if f.unshown() {
			f.r.Rare.OwnTimer = f.now + ownRTO
		}
		return
	}
	f.r.Local.Common = false // the fast path may have come to this frame
	f.r.Rare.Tries, f.r.Rare.RTO = 0, ownRTO
	f.r.Rare.OwnTimer = f.now + f.r.Rare.RTO
	if f.r.Ingress.Probes > 0 {
		f.r.Rare.OwnTimer = 0 // keepAlive sends it again, at its own pace
	}
}

// ownTimeout sends the own frame at the front again, or gives up.
func (f *flow) ownTimeout() {
	e := &f.r.Egress
	en, id := f.c.chunks.Front(&e.Queue)
	if en == nil || en.Flags&flowtable.EntryOwn == 0 {
		f.rekeyFrame()
		return
	}
	if f.r.Rare.Tries >= maxOwnTry {
		f.c.Abort(f.idx, f.r, shm.AbortOwnTimeout, f.now, f.out)
		return
	}
	f.r.Rare.Tries++
	f.r.Rare.RTO = min(2*f.r.Rare.RTO, int64(maxRTO))
	f.r.Rare.OwnTimer = f.now + f.r.Rare.RTO
	f.resendOwn(en, id)
}

// QueueInit sends the gateway's own Init message at wire position 0, and again until it is acknowledged. msg is copied.
// It reports false where no buffer is free, or the message is longer than one; the caller tries again later.
func (c *Core) QueueInit(idx flowtable.Index, r *flowtable.Record, msg []byte, now int64, out *Output) bool {
	f := flow{c: c, idx: idx, r: r, now: now, out: out}
	e := &r.Egress
	if e.WNext != 0 || len(msg) == 0 || !f.emitRoom(1) {
		return false
	}
	m := c.cache.Alloc()
	if m == nil || BuildOffset+len(msg) > int(m.BufLen) {
		c.cache.Free(m)
		return false
	}
	en, id := c.pushFrame(r)
	if en == nil {
		c.cache.Free(m)
		return false
	}
	copy(m.Buf()[BuildOffset:], msg)
	m.SetBounds(BuildOffset, len(msg))
	c.kept[id] = kept{m: m, off: BuildOffset, kind: keptOwn}
	en.WEnd, en.Len, en.Flags = uint64(len(msg)), uint32(len(msg)), flowtable.EntryOwn
	e.WNext, r.Rare.SealInit = en.WEnd, en.Len
	f.progress()
	f.armOwn()
	g := gather{limit: f.wirePayload()}
	g.add(&f, nil, en, c.kept[id])
	g.flush(&f, nil)
	return true
}

// ownFrame makes an empty frame, and reports whether buffers and the far end's window allowed it.
func (f *flow) ownFrame() bool {
	e := &f.r.Egress
	const n = tcpcrypt.Overhead
	o := f.out
	if e.WNext+n > e.WEdge || len(o.Seals) == cap(o.Seals) || len(o.Emits) == cap(o.Emits) {
		return false
	}
	m := f.c.cache.Alloc()
	if m == nil {
		return false
	}
	en, id := f.c.pushFrame(f.r)
	if en == nil {
		f.c.cache.Free(m)
		return false
	}
	w := e.WNext
	em := f.emit(EmitBuild, ToWire, m, BuildOffset, n)
	m.SetBounds(BuildOffset, n)
	m.Buf()[BuildOffset+tcpcrypt.HeaderLen] = 0
	m.Retain()
	f.c.kept[id] = kept{m: m, off: BuildOffset, kind: keptOwn}
	f.enqueueSeal(en, id, m, BuildOffset, n, n, flowtable.EntryOwn)
	em.Seq = f.hostISN() + uint32(w)
	em.Ack, em.Win = f.toWire()
	em.TSVal, em.TSEcr = f.r.Host.TSVal, f.r.Peer.TSVal
	em.Flags = ACK | PSH
	return true
}
