package stream

import (
	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/flowtable"
)

// FastIngress is FastEgress for a segment from the wire. A frame in it is queued to be opened; openedCommon delivers it.
func (c *Core) FastIngress(idx flowtable.Index, r *flowtable.Record, seg *Segment, now int64, out *Output) bool {
	e, in, peer := &r.Egress, &r.Ingress, &r.Peer
	w := in.WNext
	fresh := seg.Ack - (r.Host.ISN + 1 + uint32(e.WAck))
	if !r.Local.Common || seg.Flags&^PSH != ACK || seg.Seq != peer.ISN+1+uint32(w) || w > in.WEdge ||
		uint64(fresh) > e.WNext-e.WAck || seg.HasTS && !later(seg.TSVal, peer.TSVal) {
		return false
	}
	var f flow
	f.view(c, idx, r, now, out)
	f.common = true
	if seg.Len > 0 && !f.fastFrame(seg) {
		return false
	}
	c.begin(out)
	if seg.HasTS {
		peer.TSVal = seg.TSVal
	} else {
		seg.TSVal, seg.TSEcr = peer.TSVal, r.Host.TSVal
	}
	f.learn(seg, peer)
	var news ackNews
	f.ackFromWire(seg, int64(w), int64(e.WAck+uint64(fresh)), &news)
	if seg.Len > 0 {
		f.fastOpen(seg)
	} else {
		n := len(out.Emits)
		f.forwardWireAck(seg, &news)
		f.fastEmit(n)
	}
	return true
}

// fastFrame reports whether a segment's payload is one whole frame of the current generation, and there is room to open it.
func (f *flow) fastFrame(seg *Segment) bool {
	h, err := tcpcrypt.ParseHeader(seg.M.Buf()[seg.Off : seg.Off+seg.Len])
	return err == nil && h.FrameLen() == seg.Len && !h.Rekey() && f.openRoom()
}

// fastOpen queues the frame that a segment is to be opened, as wireData does.
func (f *flow) fastOpen(seg *Segment) {
	in := &f.r.Ingress
	o, n := f.out, len(f.out.openRefs)
	o.open(f.c.keyOf(f.r.Local.OpenKey), &in.NR, in.WNext, seg.M.Buf()[seg.Off:seg.Off+seg.Len])
	o.openRefs = o.openRefs[:n+1]
	ref := &o.openRefs[n]
	ref.r, ref.flow, ref.m, ref.w, ref.p = f.r, f.idx, seg.M, WPos(in.WNext), 0
	ref.off, ref.n, ref.hdrEnd, ref.kind, ref.flags = seg.Off, seg.Len, seg.Off, openNext, seg.Flags
	ref.large, ref.delivery, ref.rekey = 0, 0, false
	ref.tsVal, ref.tsEcr, ref.hasTS, ref.common = seg.TSVal, seg.TSEcr, seg.HasTS, true
	in.WNext += uint64(seg.Len)
	if f.wireNews() {
		f.ackWire()
	}
}

// openedCommon delivers a frame that FastIngress took and that is authentic, as openedNext does, and reports whether it did: the
// connection is still in its common state, and the frame carries data and nothing else.
func (f *flow) openedCommon(ref *openRef) bool {
	c, r, in := f.c, f.r, &f.r.Ingress
	if !r.Local.Common || uint64(ref.w) != in.WOpen || ref.n <= tcpcrypt.Overhead ||
		ref.m.Buf()[ref.off+tcpcrypt.HeaderLen]&(tcpcrypt.FlagFIN|tcpcrypt.FlagURG) != 0 {
		return false
	}
	en := f.pushOpened()
	if en == nil {
		return false
	}
	n := ref.n - tcpcrypt.Overhead
	en.WEnd, en.Len, en.Over = in.WOpen+uint64(ref.n), uint32(ref.n), tcpcrypt.Overhead
	p := in.PNext
	in.WOpen = en.WEnd
	in.PNext += uint64(n)
	c.n[shm.OpenedFrames]++
	c.n[shm.OpenedBytes] += uint64(n)
	m, off := ref.m, ref.off+frameHead
	ref.m = nil
	moveHeaders(m, ref.hdrEnd, off, n)
	em := f.emit(EmitCommon, ToHost, m, off, n)
	if em == nil {
		return true
	}
	em.Seq = f.peerISN() + uint32(p)
	em.Ack, em.Win = f.toHost()
	em.TSVal, em.TSEcr = r.Peer.TSVal, ref.tsEcr
	em.NewTS = ref.hasTS && ref.tsVal != em.TSVal
	em.Flags = ref.flags
	return true
}
