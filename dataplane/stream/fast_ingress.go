package stream

import (
	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/dataplane/packet"
	"linecrypt/flowtable"
)

// FastIngress is FastEgress for a segment from the wire. A frame in it is queued to be opened; openedCommon delivers it.
func (x *Run) FastIngress(seg *Segment) (em *Emit, took bool) {
	r := x.r
	e, in, peer := &r.Egress, &r.Ingress, &r.Peer
	w := in.WNext
	fresh := seg.Ack - (r.Host.ISN + 1 + uint32(e.WAck))
	if !r.Local.Common || seg.Flags&^PSH != ACK || seg.Seq != peer.ISN+1+uint32(w) || w > in.WEdge ||
		uint64(fresh) > e.WNext-e.WAck || seg.HasTS && !later(seg.TSVal, peer.TSVal) || seg.Len > 0 && !x.fastFrame(seg) {
		return nil, false
	}
	x.turn()
	if seg.HasTS {
		peer.TSVal = seg.TSVal
	} else {
		seg.TSVal, seg.TSEcr = peer.TSVal, r.Host.TSVal
	}
	x.learn(seg, peer)
	ack := e.WAck + uint64(fresh)
	if seg.Len == 0 {
		return x.fastWireAck(seg, int64(w), int64(ack)), true
	}
	if fresh == 0 && seg.Win != 0 && ack+uint64(seg.Win)<<peer.WScale == e.WEdge {
		e.WL1 = max(e.WL1, w)
	} else {
		var news ackNews
		x.ackFromWire(seg, int64(w), int64(ack), &news)
	}
	x.fastOpen(seg)
	return nil, true
}

// fastWireAck passes a segment without payload on, or drops it, as forwardWireAck does.
func (x *Run) fastWireAck(seg *Segment, w, wireAck int64) *Emit {
	e := &x.r.Egress
	var news ackNews
	x.ackFromWire(seg, w, wireAck, &news)
	oldAck, oldWin := e.AckTold, e.WinTold
	ack, win := x.toHost()
	if ack == oldAck && win == oldWin && !news.dup {
		x.drop(seg.M, shm.AbsorbedAcks)
		return nil
	}
	em := x.emitCommon(ToHost, seg, seg.Off, 0)
	em.Seq, em.Ack, em.Win = x.peerISN()+uint32(x.r.Ingress.PNext), ack, win
	return em
}

// fastFrame reports whether a segment's payload is one whole frame of the current generation, and there is room to open it.
func (x *Run) fastFrame(seg *Segment) bool {
	h, err := tcpcrypt.ParseHeader(seg.M.Buf()[seg.Off : seg.Off+seg.Len])
	return err == nil && h.FrameLen() == seg.Len && !h.Rekey() && x.openRoom()
}

// fastOpen queues the frame that a segment is to be opened, as wireData does.
func (x *Run) fastOpen(seg *Segment) {
	in := &x.r.Ingress
	o, n := x.out, len(x.out.openRefs)
	o.open(x.c.keyOf(x.r.Local.OpenKey), &in.NR, in.WNext, seg.M.Buf()[seg.Off:seg.Off+seg.Len])
	o.openRefs = o.openRefs[:n+1]
	ref := &o.openRefs[n]
	ref.r, ref.flow, ref.m, ref.w, ref.p = x.r, x.idx, seg.M, WPos(in.WNext), 0
	ref.off, ref.n, ref.hdrEnd, ref.kind, ref.flags = seg.Off, seg.Len, seg.Off, openNext, seg.Flags
	ref.large, ref.delivery, ref.rekey = 0, 0, false
	ref.tsVal, ref.tsEcr, ref.hasTS, ref.common, ref.header = seg.TSVal, seg.TSEcr, seg.HasTS, true, 0
	in.WNext += uint64(seg.Len)
	in.WAcked = max(in.WAcked, in.WAckH)
	if x.peerISN()+uint32(in.WAcked) != in.AckTold {
		x.ackWire()
	}
}

// delivered is what is known of the frames that openedCommon delivered one behind the other: of one connection, and nothing else
// happened between them.
type delivered struct {
	r       *flowtable.Record // nil: nothing is known
	limited uint64            // that the host's window ends with the flow's share, which is counted with each segment
}

// openedCommon delivers a frame that FastIngress took and that is authentic, as openedNext does, and reports whether it did: the
// connection is still in its common state, and the frame carries data and nothing else.
func (f *flow) openedCommon(ref *openRef, before *delivered) bool {
	c, r, in, e := f.c, f.r, &f.r.Ingress, &f.r.Egress
	if !r.Local.Common || uint64(ref.w) != in.WOpen || ref.n <= tcpcrypt.Overhead ||
		ref.m.Buf()[ref.off+tcpcrypt.HeaderLen]&(tcpcrypt.FlagFIN|tcpcrypt.FlagURG) != 0 {
		return false
	}
	en := f.pushOpened()
	if en == nil {
		return false
	}
	n := ref.n - tcpcrypt.Overhead
	en.Over, en.WEnd, en.Len = tcpcrypt.Overhead, in.WOpen+uint64(ref.n), uint32(ref.n) // without a length it is none
	p := in.PNext
	in.WOpen = en.WEnd
	in.PNext += uint64(n)
	c.n[shm.OpenedFrames]++
	c.n[shm.OpenedBytes] += uint64(n)
	m, o := ref.m, f.out
	ref.m = nil
	if len(o.Emits) == cap(o.Emits) {
		f.drop(m, shm.DropNoOutput)
		return true
	}
	if before.r != r {
		limited := c.n[shm.WindowLimited]
		f.toHost()
		before.r, before.limited = r, c.n[shm.WindowLimited]-limited
	} else {
		c.n[shm.WindowLimited] += before.limited
	}
	o.Emits = o.Emits[:len(o.Emits)+1]
	em := &o.Emits[len(o.Emits)-1]
	em.R, em.M, em.Flow, em.Off, em.Len = r, m, f.idx, ref.off+frameHead, n
	em.Seq, em.Ack, em.Win, em.Flags = f.peerISN()+uint32(p), e.AckTold, e.WinTold, ref.flags
	em.TSVal, em.TSEcr, em.HasTS, em.NewTS = r.Peer.TSVal, ref.tsEcr, ref.hasTS, ref.hasTS && ref.tsVal != r.Peer.TSVal
	em.Dir, em.Kind = ToHost, EmitReady
	if ref.header != 0 {
		packet.TranslatePlain(m, int(ref.header), em.Off, n, &em.Translation)
		return true
	}
	em.Urg, em.NSACK, em.Kind = 0, 0, EmitCommon
	return true
}
