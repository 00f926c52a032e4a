package stream

import (
	"encoding/binary"
	"unsafe"

	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/dataplane/packet"
	"linecrypt/flowtable"
)

// A train is what a connection that carries much gives: segments of one kind, one right behind the other from one end, all with data or
// all without. What the first of them, which FastEgress or FastIngress took, has left behind answers the questions that are not about a
// segment's own numbers and bytes, for as many as certainly have room. The loops below take the others, headers included, to the same end
// as FastEgress and FastIngress, whose short form they are.

// Train takes, of segments that came from one end, those behind the first that are of one train with it, and returns how many. The first
// was taken by FastEgress or FastIngress just now; the next one behind those taken is for these again. ts says that the segments carry
// timestamps, most is the largest payload that they may have.
func (x *Run) Train(pkts []packet.Packet, fromHost, ts bool, most int) (taken int) {
	switch data := pkts[0].PayloadLen > 0; {
	case fromHost && data:
		return x.sealTrain(pkts, ts, min(most, tcpcrypt.MaxData-tcpcrypt.UrgentLen))
	case data:
		return x.openTrain(pkts, ts, most)
	case fromHost:
		return x.hostAckTrain(pkts, ts)
	}
	return x.wireAckTrain(pkts, ts)
}

func (x *Run) sealTrain(pkts []packet.Packet, ts bool, most int) (taken int) {
	room := x.sealRoom(len(pkts) - 1)
	if room <= 0 {
		return 0
	}
	c, r, o, first := x.c, x.r, x.out, &pkts[0]
	e := &r.Egress
	key, isn, header := c.keyOf(r.Local.SealKey), x.hostISN(), int(first.Payload)
	w, p, stamp := e.WNext, e.PNext, r.Host.TSVal
	edge, limit := e.WEdge, min(e.WUna+uint64(c.cfg.FlowBytes), w+uint64(max(int32(e.GenEdge-uint32(w)), 0)))
	emits, seals := len(o.Emits), len(o.Seals)
	pkts, began := pkts[1:][:room], w
	newEmits, ops, refs := o.Emits[emits:][:room], o.Seals[seals:][:room], o.sealRefs[seals:][:room]
	for i := range pkts {
		s := &pkts[i]
		size, m := int(s.PayloadLen), s.M
		n := size + tcpcrypt.Overhead
		start := m.DataOff() + header - frameHead
		if !s.Continues(first) || s.Seq != isn+uint32(p) || size == 0 || size > most || ts && !later(s.Opt.TSVal, stamp) ||
			start < header || start+n > int(m.BufLen) || w >= limit || w+uint64(n) > edge || !e.Queue.HasRoom() && c.chunks.Free() == 0 {
			break
		}
		x.turn()
		stamp = s.Opt.TSVal
		en, id := x.pushRoomy()
		if n > packLimit || !c.packs(r) {
			x.keepWhole(id, m, start)
		}
		en.WEnd, en.Len, en.Over, en.Flags = w+uint64(n), uint32(n), tcpcrypt.Overhead, flowtable.EntryPending
		if !x.told {
			x.toWireCommon()
		}

		em := &newEmits[i]
		em.R, em.M, em.Flow, em.Off, em.Len = r, m, x.idx, start, n
		em.Seq, em.Ack, em.Win, em.Flags = isn+uint32(w), x.ack, x.win, s.Flags
		em.TSVal, em.TSEcr, em.HasTS, em.NewTS = s.Opt.TSVal, s.Opt.TSEcr, ts, false
		em.Urg, em.NSACK, em.Dir, em.Kind = 0, 0, ToWire, EmitReady
		packet.TranslatePlain(m, header, start, n, &em.Translation)
		frame := unsafe.Add(m.BufAddr, start)
		binary.BigEndian.PutUint32((*[frameHead]byte)(frame)[:], uint32(n-tcpcrypt.HeaderLen)<<8) // no control bit and no flag is set

		sealOp(&ops[i], key, &e.NR, w, frame, n)
		w += uint64(n)
		p += uint64(size)
		ref := &refs[i]
		ref.r, ref.wEnd, ref.flow, ref.entry, ref.emit, ref.again = r, w, x.idx, id, int32(emits+i), 0
		e.WNext, e.PNext = w, p
		taken++
	}
	if taken == 0 {
		return 0
	}
	o.Emits, o.Seals, o.sealRefs = o.Emits[:emits+taken], o.Seals[:seals+taken], o.sealRefs[:seals+taken]
	e.GenFrames += uint32(taken)
	x.frames += uint32(taken)
	x.bytes += w - began - uint64(taken)*tcpcrypt.Overhead
	if ts {
		r.Host.TSVal = stamp
	}
	return taken
}

// sealRoom returns how many frames, n at most, certainly may be in flight beside those that are, under the key.
func (x *Run) sealRoom(n int) int {
	c, e := x.c, &x.r.Egress
	q, cfg := &e.Queue, &c.cfg
	if !x.heard || q.Count == 0 {
		return 0
	}
	n = min(n, int(e.GenStop)-int(e.GenFrames))
	if behind := q.Count + uint32(max(n, 0)); behind > minFlight || behind > cfg.FlowFrames {
		// As mayFly asks, of the last one. The peer's share counts for nothing while half of all is free.
		if left := c.flight.free() - n; 2*left <= c.flight.budget || behind > min(minFlight+uint32(left), cfg.FlowFrames) {
			return 0
		}
	}
	return n
}

func (x *Run) openTrain(pkts []packet.Packet, ts bool, most int) (taken int) {
	c, r, o, first := x.c, x.r, x.out, &pkts[0]
	e, in, peer := &r.Egress, &r.Ingress, &r.Peer
	opens := len(o.Opens)
	room := min(len(pkts)-1, cap(o.Opens)-opens, (cap(o.Emits)-len(o.Emits)-4)/openEmits-opens)
	// The acknowledgement and the window are no news, and the far end needs no acknowledgement of the gateway's own.
	if room <= 0 || !r.Local.Common || first.Win == 0 || first.Ack != x.hostISN()+uint32(e.WAck) || e.WAck+uint64(first.Win)<<peer.WScale != e.WEdge ||
		in.WAcked < in.WAckH || x.peerISN()+uint32(in.WAcked) != in.AckTold {
		return 0
	}
	key, isn, header := c.keyOf(r.Local.OpenKey), x.peerISN(), int(first.Payload)
	w, stamp := in.WNext, peer.TSVal
	pkts = pkts[1:][:room]
	ops, refs := o.Opens[opens:][:room], o.openRefs[opens:][:room]
	for i := range pkts {
		s := &pkts[i]
		n, m := int(s.PayloadLen), s.M
		off := m.DataOff() + header
		frame := unsafe.Add(m.BufAddr, off)
		if !s.Continues(first) || s.Seq != isn+uint32(w) || n <= tcpcrypt.Overhead || n > most || w > in.WEdge || ts && !later(s.Opt.TSVal, stamp) ||
			binary.BigEndian.Uint32((*[frameHead]byte)(frame)[:])>>8 != uint32(n-tcpcrypt.HeaderLen) { // one whole frame, no control bit is set
			break
		}
		x.turn()
		stamp = s.Opt.TSVal
		s.NoteHeaders() // for who takes the frame when it is opened, if that is not openedCommon
		openOp(&ops[i], key, &in.NR, w, frame, n)
		ref := &refs[i]
		ref.r, ref.flow, ref.m, ref.w, ref.p = r, x.idx, m, WPos(w), 0
		ref.off, ref.n, ref.hdrEnd, ref.kind, ref.flags = off, n, off, openNext, s.Flags
		ref.large, ref.delivery, ref.rekey = 0, 0, false
		ref.tsVal, ref.tsEcr, ref.hasTS, ref.common, ref.header = s.Opt.TSVal, s.Opt.TSEcr, ts, true, uint8(header)
		e.WL1 = max(e.WL1, w)
		w += uint64(n)
		taken++
	}
	if taken == 0 {
		return 0
	}
	o.Opens, o.openRefs = o.Opens[:opens+taken], o.openRefs[:opens+taken]
	in.WNext = w
	if ts {
		peer.TSVal = stamp
	}
	return taken
}

func (x *Run) hostAckTrain(pkts []packet.Packet, ts bool) (taken int) {
	r, first := x.r, &pkts[0]
	e, in, host := &r.Egress, &r.Ingress, &r.Host
	var seg Segment
	seg.HasTS = ts
	for i := range pkts[1:] {
		s := &pkts[i+1]
		fresh := s.Ack - (r.Peer.ISN + 1 + uint32(in.HostAck))
		if !r.Local.Common || !s.Alike(first) || s.PayloadLen != 0 || s.Seq != host.ISN+1+uint32(e.PNext) || uint64(fresh) > in.PNext-in.HostAck ||
			ts && !later(s.Opt.TSVal, host.TSVal) {
			break
		}
		x.turn()
		x.short(&seg, s, host, &r.Peer)
		x.sendReady(x.fastHostAck(&seg, int64(in.HostAck+uint64(fresh))), s)
		taken++
	}
	return taken
}

func (x *Run) wireAckTrain(pkts []packet.Packet, ts bool) (taken int) {
	r, first := x.r, &pkts[0]
	e, w, peer := &r.Egress, r.Ingress.WNext, &r.Peer
	if w > r.Ingress.WEdge {
		return 0
	}
	var seg Segment
	seg.HasTS = ts
	for i := range pkts[1:] {
		s := &pkts[i+1]
		fresh := s.Ack - (r.Host.ISN + 1 + uint32(e.WAck))
		if !r.Local.Common || !s.Alike(first) || s.PayloadLen != 0 || s.Seq != peer.ISN+1+uint32(w) || uint64(fresh) > e.WNext-e.WAck ||
			ts && !later(s.Opt.TSVal, peer.TSVal) {
			break
		}
		x.turn()
		x.short(&seg, s, peer, &r.Host)
		x.sendReady(x.fastWireAck(&seg, int64(w), int64(e.WAck+uint64(fresh))), s)
		taken++
	}
	return taken
}

// short makes seg what is needed of a segment without payload from an end, and learns from it.
func (x *Run) short(seg *Segment, s *packet.Packet, from, to *flowtable.Endpoint) {
	seg.M, seg.Off, seg.Win, seg.Flags = s.M, s.M.DataOff()+int(s.Payload), s.Win, s.Flags
	if seg.HasTS {
		seg.TSVal, seg.TSEcr = s.Opt.TSVal, s.Opt.TSEcr
		from.TSVal = seg.TSVal
	} else {
		seg.TSVal, seg.TSEcr = from.TSVal, to.TSVal
	}
	x.learn(seg, from)
}

// sendReady makes the headers of an emit of a train, if there is one.
func (x *Run) sendReady(em *Emit, s *packet.Packet) {
	if em != nil {
		packet.TranslatePlain(em.M, int(s.Payload), em.Off, 0, &em.Translation)
		em.Kind = EmitReady
	}
}
