package stream

import (
	"encoding/binary"

	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/flowtable"
)

// FastEgress takes a segment from the host if it is one of the common kind, and reports whether it did; if not, nothing has changed, and
// the segment is for EgressSegment. The caller has seen that its only option, if any, is the timestamps that the connection agreed on, in
// their usual place.
func (c *Core) FastEgress(idx flowtable.Index, r *flowtable.Record, seg *Segment, now int64, out *Output) bool {
	e, in, host := &r.Egress, &r.Ingress, &r.Host
	fresh := seg.Ack - (r.Peer.ISN + 1 + uint32(in.HostAck)) // bytes that the segment acknowledges anew
	if !r.Local.Common || seg.Flags&^PSH != ACK || seg.Seq != host.ISN+1+uint32(e.PNext) ||
		uint64(fresh) > in.PNext-in.HostAck || seg.HasTS && !later(seg.TSVal, host.TSVal) {
		return false
	}
	var f flow
	f.view(c, idx, r, now, out)
	f.common = true
	if seg.Len > 0 && !f.fastFits(seg) {
		return false
	}
	c.begin(out)
	if seg.HasTS {
		host.TSVal = seg.TSVal
	} else {
		seg.TSVal, seg.TSEcr = host.TSVal, r.Peer.TSVal
	}
	f.learn(seg, host)
	ack := in.HostAck + uint64(fresh)
	if seg.Len > 0 {
		if fresh != 0 || ack+uint64(seg.Win)<<host.WScale != in.PEdge {
			var news ackNews
			f.hostAck(seg, int64(ack), &news)
		}
		f.fastSeal(seg)
	} else {
		var news ackNews
		f.hostAck(seg, int64(ack), &news)
		n := len(out.Emits)
		f.forwardHostAck(seg, &news)
		f.fastEmit(n)
	}
	return true
}

// fastEmit marks the emit that was made of a segment of the common kind, if one was, where n was the number before.
func (f *flow) fastEmit(n int) {
	if len(f.out.Emits) > n {
		f.out.Emits[n].Kind = EmitCommon
	}
}

// fastFits reports whether a segment's payload becomes a frame at once: buffer, window, share, ledger, key and output allow it.
func (f *flow) fastFits(seg *Segment) bool {
	e, m, c := &f.r.Egress, seg.M, f.c
	n := seg.Len + tcpcrypt.Overhead
	return m.DataOff() >= frameHead && seg.Off+seg.Len+tcpcrypt.TagLen <= int(m.BufLen) && seg.Len <= tcpcrypt.MaxData-tcpcrypt.UrgentLen &&
		int64(n) <= int64(e.WEdge-e.WNext) && e.GenFrames < e.GenStop && int32(e.GenEdge-uint32(e.WNext)) > 0 &&
		(e.Queue.Tail != flowtable.ChunkEntries && e.Queue.Last != 0 || c.chunks.Free() > 0) &&
		len(f.out.Seals) < cap(f.out.Seals) && len(f.out.Emits) < cap(f.out.Emits) &&
		f.mayFly(e.PNext+uint64(seg.Len))
}

// fastSeal frames a segment's payload in place, as sealSegment and enqueueSeal do.
func (f *flow) fastSeal(seg *Segment) {
	c, r, m, out := f.c, f.r, seg.M, f.out
	e := &r.Egress
	start, n := seg.Off-frameHead, seg.Len+tcpcrypt.Overhead
	w := e.WNext
	en, id := c.pushFrame(r)
	moveHeaders(m, seg.Off, start, n)
	em := f.emit(EmitCommon, ToWire, m, start, n)
	frame := m.Buf()[start : start+n : start+n]
	// Control byte, length and flags: none are set.
	binary.BigEndian.PutUint32(frame, uint32(n-tcpcrypt.HeaderLen)<<8)
	if n > packLimit || !c.packs(r) {
		f.keepWhole(id, m, start)
	}
	en.WEnd, en.Len, en.Over, en.Flags = w+uint64(n), uint32(n), tcpcrypt.Overhead, flowtable.EntryPending
	out.seal(c.keyOf(r.Local.SealKey), &e.NR, w, frame)
	out.sealRef(f, en.WEnd, id)
	e.WNext = en.WEnd
	e.PNext += uint64(seg.Len)
	e.GenFrames++
	c.n[shm.SealedFrames]++
	c.n[shm.SealedBytes] += uint64(seg.Len)
	if e.Queue.Count == 1 {
		f.progress()
	}
	em.Seq = f.hostISN() + uint32(w)
	em.Ack, em.Win = f.toWireCommon()
	em.TSVal, em.TSEcr, em.NewTS = seg.TSVal, seg.TSEcr, false
	em.Flags = seg.Flags
}
