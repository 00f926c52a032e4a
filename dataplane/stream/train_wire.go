package stream

import (
	"encoding/binary"
	"unsafe"

	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/dataplane/packet"
)

// wireTrain takes a train of the far end's: in runs what tells nothing but the usual, and else segment by segment.
func (x *Run) wireTrain(burst []packet.Packet, count int, ts bool, most int) (taken int) {
	c, r, o, pkts, first := x.c, x.r, x.out, burst[:count], &burst[0]
	e, in, peer := &r.Egress, &r.Ingress, &r.Peer
	key, header := c.keyOf(r.Local.OpenKey), int(first.Payload)
	var seg Segment
	seg.HasTS = ts
	for i := 0; i < len(pkts); i++ {
		s := &pkts[i]
		if worthARun(pkts[i:]) {
			if n := x.wireRun(burst[i:], len(pkts)-i, first, ts, most); n > 0 {
				taken += n
				i += n - 1
				continue
			}
		}
		if i+packetsAhead < len(burst) {
			o.openAhead(burst[i+packetsAhead].M, packetsAhead)
		}
		w := in.WNext
		fresh := s.Ack - (r.Host.ISN + 1 + uint32(e.WAck))
		if i > 0 && !s.Alike(first) || !r.Local.Common || s.Seq != peer.ISN+1+uint32(w) || w > in.WEdge || uint64(fresh) > e.WNext-e.WAck ||
			ts && !later(s.Opt.TSVal, peer.TSVal) {
			break
		}
		n, m := int(s.PayloadLen), s.M
		if n == 0 {
			x.turn()
			x.short(&seg, s, peer, &r.Host)
			x.sendReady(x.fastWireAck(&seg, int64(w), int64(e.WAck+uint64(fresh))), header)
			taken++
			continue
		}
		off := m.DataOff() + header
		frame := unsafe.Add(m.BufAddr, off)
		if n <= tcpcrypt.Overhead || n > most || !x.openRoom() ||
			binary.BigEndian.Uint32((*[frameHead]byte)(frame)[:])>>8 != uint32(n-tcpcrypt.HeaderLen) { // one whole frame, no control bit is set
			break
		}
		x.turn()
		x.short(&seg, s, peer, &r.Host)
		if ack := e.WAck + uint64(fresh); fresh == 0 && s.Win != 0 && ack+uint64(s.Win)<<peer.WScale == e.WEdge {
			e.WL1 = max(e.WL1, w)
		} else {
			seg.Len = n
			var news ackNews
			x.ackFromWire(&seg, int64(w), int64(ack), &news)
			seg.Len = 0
		}
		s.NoteHeaders() // for who takes the frame when it is opened, if that is not openedCommon
		k := len(o.Opens)
		o.Opens, o.openRefs = o.Opens[:k+1], o.openRefs[:k+1]
		openOp(&o.Opens[k], key, &in.NR, w, frame, n)
		ref := &o.openRefs[k]
		ref.r, ref.flow, ref.m, ref.w, ref.p = r, x.idx, m, WPos(w), 0
		ref.off, ref.n, ref.hdrEnd, ref.kind, ref.flags = off, n, off, openNext, s.Flags
		ref.large, ref.delivery, ref.rekey = 0, 0, false
		ref.tsVal, ref.tsEcr, ref.hasTS, ref.common, ref.header = seg.TSVal, seg.TSEcr, ts, true, uint8(header)
		in.WNext = w + uint64(n)
		in.WAcked = max(in.WAcked, in.WAckH)
		if x.peerISN()+uint32(in.WAcked) != in.AckTold {
			x.ackWire()
		}
		taken++
	}
	return taken
}

// wireRun takes a run of a train that began with first, from the first segment of a burst on, count at most, and returns how many.
func (x *Run) wireRun(burst []packet.Packet, count int, first *packet.Packet, ts bool, most int) (n int) {
	if burst[0].PayloadLen == 0 {
		return x.wireAcks(burst, count, first, ts)
	}
	if n = x.wholeFrames(burst[:count], first, ts, most); n > 0 {
		x.openRun(burst, n, int(first.Payload), ts)
	}
	return n
}

// wireAcks takes the first segments of a burst, count at most, of a train that began with first, as FastIngress takes one by one those without
// data: as many as are in order and acknowledge something, and as the output has room for, before the pool's state is looked at again, see
// turn. It returns how many.
func (x *Run) wireAcks(burst []packet.Packet, count int, first *packet.Packet, ts bool) (taken int) {
	c, r, o := x.c, x.r, x.out
	e, peer := &r.Egress, &r.Peer
	w, at := r.Ingress.WNext, len(o.Emits)
	seq, toHost, scale := peer.ISN+1+uint32(w), x.peerISN()+uint32(r.Ingress.PNext), peer.WScale
	count = min(count, lookEvery-1-int(c.calls%lookEvery), cap(o.Emits)-at)
	if w > r.Ingress.WEdge {
		return 0
	}
	for taken < count {
		s := &burst[taken]
		fresh := s.Ack - (r.Host.ISN + 1 + uint32(e.WAck))
		if s.PayloadLen != 0 || s.Seq != seq || fresh == 0 || uint64(fresh) > e.WNext-e.WAck || !r.Local.Common || !s.Alike(first) ||
			ts && !later(s.Opt.TSVal, peer.TSVal) {
			break
		}
		learnAck(s, peer, ts)
		e.WAck += uint64(fresh)
		e.WEdge, e.Dups = e.WAck+uint64(s.Win)<<scale, 0
		x.advanceWire()
		oldAck, oldWin := e.AckTold, e.WinTold
		ack, win := x.toHost()
		taken++
		if ack == oldAck && win == oldWin {
			x.drop(s.M, shm.AbsorbedAcks)
			continue
		}
		x.ackEmit(ToHost, s, &r.Host, toHost, ack, win, ts)
	}
	if taken == 0 {
		return 0
	}
	e.WL1 = max(e.WL1, w)
	x.endAcks(burst, taken, at, o.Opens)
	return taken
}
