package stream

import (
	"encoding/binary"

	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/flowtable"
)

// FastEgress takes a segment from the host if it is one of the common kind, and reports whether it did; if not, nothing has changed, and
// the segment is for EgressSegment. Where something is to be sent, it returns the emit, the last one of the output, whose headers the
// caller moves before it does anything else. The caller has seen that the segment's only option, if any, is the timestamps that the
// connection agreed on, in their usual place.
func (x *Run) FastEgress(seg *Segment) (em *Emit, took bool) {
	r := x.r
	e, in, host := &r.Egress, &r.Ingress, &r.Host
	fresh := seg.Ack - (r.Peer.ISN + 1 + uint32(in.HostAck)) // bytes that the segment acknowledges anew
	if !r.Local.Common || seg.Flags&^PSH != ACK || seg.Seq != host.ISN+1+uint32(e.PNext) ||
		uint64(fresh) > in.PNext-in.HostAck || seg.HasTS && !later(seg.TSVal, host.TSVal) || seg.Len > 0 && !x.fits(seg) {
		return nil, false
	}
	x.turn()
	if seg.HasTS {
		host.TSVal = seg.TSVal
	} else {
		seg.TSVal, seg.TSEcr = host.TSVal, r.Peer.TSVal
	}
	if seg.Len > 0 && x.heard && fresh == 0 && seg.Win == x.heardWin {
		return x.fastSeal(seg), true // as nearly every segment of a host that sends: its acknowledgement and window are known
	}
	x.learn(seg, host)
	ack := in.HostAck + uint64(fresh)
	if seg.Len == 0 {
		return x.fastHostAck(seg, int64(ack)), true
	}
	if fresh != 0 || ack+uint64(seg.Win)<<host.WScale != in.PEdge {
		var news ackNews
		x.hostAck(seg, int64(ack), &news)
		x.told = false
	}
	x.heard, x.heardWin = true, seg.Win
	return x.fastSeal(seg), true
}

// fastHostAck passes a segment without payload on, or drops it, as forwardHostAck does.
func (x *Run) fastHostAck(seg *Segment, ack int64) *Emit {
	in := &x.r.Ingress
	var news ackNews
	x.hostAck(seg, ack, &news)
	x.told, x.heard = false, false
	oldAck, oldWin := in.AckTold, in.WinTold
	wireAck, win := x.toWireCommon()
	if wireAck == oldAck && win == oldWin && (!news.dup || in.WAcked > in.WAckH+1) {
		x.drop(seg.M, shm.AbsorbedAcks)
		return nil
	}
	em := x.emitCommon(ToWire, seg, seg.Off, 0)
	em.Seq, em.Ack, em.Win = x.hostISN()+uint32(x.r.Egress.WNext), wireAck, win
	return em
}

// fits reports whether a segment's payload becomes a frame at once: buffer, window, share, ledger, key and output allow it.
func (x *Run) fits(seg *Segment) bool {
	e, m, c, o := &x.r.Egress, seg.M, x.c, x.out
	n := seg.Len + tcpcrypt.Overhead
	return m.DataOff() >= frameHead && seg.Off+seg.Len+tcpcrypt.TagLen <= int(m.BufLen) && seg.Len <= tcpcrypt.MaxData-tcpcrypt.UrgentLen &&
		int64(n) <= int64(e.WEdge-e.WNext) && e.GenFrames < e.GenStop && int32(e.GenEdge-uint32(e.WNext)) > 0 &&
		len(o.Seals) < cap(o.Seals) && len(o.Emits) < cap(o.Emits) &&
		(e.Queue.HasRoom() || c.chunks.Free() > 0) &&
		(e.Queue.Count < minFlight && minFlight <= c.cfg.FlowFrames || x.mayFly(e.PNext+uint64(seg.Len)))
}

// fastSeal frames a segment's payload in place, as sealSegment and enqueueSeal do.
func (x *Run) fastSeal(seg *Segment) *Emit {
	c, r, m, out := x.c, x.r, seg.M, x.out
	e := &r.Egress
	start, n, w := seg.Off-frameHead, seg.Len+tcpcrypt.Overhead, e.WNext
	en, id := x.pushRoomy()
	em := x.emitCommon(ToWire, seg, start, n)
	// Control byte, length and flags: none are set.
	binary.BigEndian.PutUint32(em.FrameHead[:], uint32(n-tcpcrypt.HeaderLen)<<8)
	if n > packLimit || !c.packs(r.Egress.Queue.Count) {
		x.keepWhole(id, m, start)
	}
	en.Flags, en.WEnd, en.Len, en.Over = flowtable.EntryPending, w+uint64(n), uint32(n), tcpcrypt.Overhead
	out.seal(c.keyOf(r.Local.SealKey), &e.NR, w, m.Buf()[start:start+n:start+n])
	out.sealRef(&x.flow, w+uint64(n), id)
	e.WNext = w + uint64(n)
	e.PNext += uint64(seg.Len)
	e.GenFrames++
	x.frames++
	x.bytes += uint64(seg.Len)
	if e.Queue.Count == 1 {
		x.progress()
	}
	em.Seq = x.hostISN() + uint32(w)
	em.Ack, em.Win = x.toWireCommon()
	return em
}

// pushRoomy is pushFrame where there is room.
func (x *Run) pushRoomy() (*flowtable.Entry, flowtable.EntryID) {
	c, q := x.c, &x.r.Egress.Queue
	if !q.HasRoom() {
		return c.pushFrame(x.r)
	}
	en, id := c.chunks.PushBehind(q)
	c.flight.took(x.r, q.Count)
	return en, id
}
