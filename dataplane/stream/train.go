package stream

import (
	"encoding/binary"
	"unsafe"

	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/dataplane/packet"
	"linecrypt/flowtable"
)

// A train is what a connection that carries much gives: segments of the common kind in plain packets, one right behind the other from one
// end, with data or without. The loops below take as many of them as they can, headers included, to the same end as FastEgress and
// FastIngress, whose form for such segments they are: what is the same for all of them is asked once, and nothing is written twice.

// TrainKind says what the segments of a train have in common.
type TrainKind uint8

// The bits of a TrainKind.
const (
	TrainFromWire TrainKind = 1 << iota // they come from the far end, else from the host
	TrainStamped                        // segments of the connection carry timestamps
)

// Train takes the first segments of a burst, n at most, as far as it can, and returns how many; the next one is for FastEgress or FastIngress.
// They come from one end of a connection, and make a run of their own. The first is Plain, the others are looked at. Most is the largest
// payload that becomes one which fits its way. The output wants room for all of them (Output.Room).
func (c *Core) Train(idx flowtable.Index, r *flowtable.Record, burst []packet.Packet, n int, kind TrainKind, most int) (taken int) {
	x := &c.run
	x.r, x.idx = r, idx
	x.reset()
	if kind&TrainFromWire != 0 {
		return x.wireTrain(burst, n, kind&TrainStamped != 0, most)
	}
	taken = x.hostTrain(burst, n, kind&TrainStamped != 0, min(most, tcpcrypt.MaxData-tcpcrypt.UrgentLen))
	x.EndRun()
	return taken
}

func (x *Run) hostTrain(burst []packet.Packet, count int, ts bool, most int) (taken int) {
	c, r, o, pkts, first := x.c, x.r, x.out, burst[:count], &burst[0]
	e, in, host := &r.Egress, &r.Ingress, &r.Host
	room := x.sealRoom(len(pkts))
	key, header := c.keyOf(r.Local.SealKey), int(first.Payload)
	limit := min(e.WUna+uint64(c.cfg.FlowBytes), e.WNext+uint64(max(int32(e.GenEdge-uint32(e.WNext)), 0)))
	bytes, frames := uint64(0), 0
	var seg Segment
	seg.HasTS = ts
	for i := range pkts {
		s := &pkts[i]
		if i+packetsAhead < len(burst) {
			o.sealAhead(burst[i+packetsAhead].M, packetsAhead)
		}
		fresh := s.Ack - (r.Peer.ISN + 1 + uint32(in.HostAck)) // bytes that the segment acknowledges anew
		if i > 0 && !s.Alike(first) || !r.Local.Common || s.Seq != host.ISN+1+uint32(e.PNext) || uint64(fresh) > in.PNext-in.HostAck ||
			ts && !later(s.Opt.TSVal, host.TSVal) {
			break
		}
		size, m, w := int(s.PayloadLen), s.M, e.WNext
		if size == 0 {
			x.turn()
			x.short(&seg, s, host, &r.Peer)
			x.sendReady(x.fastHostAck(&seg, int64(in.HostAck+uint64(fresh))), header)
			taken++
			continue
		}
		n := size + tcpcrypt.Overhead
		start := m.DataOff() + header - frameHead
		if size > most || frames == room || start < header || start+n > int(m.BufLen) || w >= limit || int64(n) > int64(e.WEdge-w) ||
			!e.Queue.HasRoom() && c.chunks.Free() == 0 {
			break
		}
		x.turn()
		if !x.heard || fresh != 0 || s.Win != x.heardWin {
			x.short(&seg, s, host, &r.Peer)
			x.hear(&seg, in.HostAck+uint64(fresh), size)
		} else if ts {
			host.TSVal = s.Opt.TSVal
		}
		en, id := x.pushRoomy()
		if n > packLimit || !c.packs(r) {
			x.keepWhole(id, m, start)
		}
		en.WEnd, en.Len, en.Over, en.Flags = w+uint64(n), uint32(n), tcpcrypt.Overhead, flowtable.EntryPending
		if e.Queue.Count == 1 {
			x.progress()
		}
		if !x.told {
			x.toWireCommon()
		}

		at := len(o.Emits)
		o.Emits = o.Emits[:at+1]
		em := &o.Emits[at]
		em.R, em.M, em.Flow, em.Off, em.Len = r, m, x.idx, start, n
		em.Seq, em.Ack, em.Win, em.Flags = host.ISN+1+uint32(w), x.ack, x.win, s.Flags
		em.TSVal, em.TSEcr, em.HasTS, em.NewTS = s.Opt.TSVal, s.Opt.TSEcr, ts, false
		em.Dir, em.Kind = ToWire, EmitReady
		packet.TranslatePlain(m, header, start, n, &em.Translation)
		frame := unsafe.Add(m.BufAddr, start)
		binary.BigEndian.PutUint32((*[frameHead]byte)(frame)[:], uint32(n-tcpcrypt.HeaderLen)<<8) // no control bit and no flag is set

		k := len(o.Seals)
		o.Seals, o.sealRefs = o.Seals[:k+1], o.sealRefs[:k+1]
		sealOp(&o.Seals[k], key, &e.NR, w, frame, n)
		ref := &o.sealRefs[k]
		ref.r, ref.wEnd, ref.flow, ref.entry, ref.emit, ref.again = r, w+uint64(n), x.idx, id, int32(at), 0
		e.WNext = w + uint64(n)
		e.PNext += uint64(size)
		bytes += uint64(size)
		frames++
		taken++
	}
	e.GenFrames += uint32(frames)
	x.frames += uint32(frames)
	x.bytes += bytes
	return taken
}

// hear takes acknowledgement and window of a host's segment with data, as FastEgress does.
func (x *Run) hear(seg *Segment, ack uint64, size int) {
	if in := &x.r.Ingress; ack != in.HostAck || ack+uint64(seg.Win)<<x.r.Host.WScale != in.PEdge {
		seg.Len = size
		var news ackNews
		x.hostAck(seg, int64(ack), &news)
		seg.Len = 0
		x.told = false
	}
	x.heard, x.heardWin = true, seg.Win
}

// sealRoom returns how many frames, n at most, certainly may be in flight beside those that are, under the key, and have room in the output.
func (x *Run) sealRoom(n int) int {
	c, e, o := x.c, &x.r.Egress, x.out
	q, cfg := &e.Queue, &c.cfg
	n = min(n, int(e.GenStop)-int(e.GenFrames), cap(o.Seals)-len(o.Seals), cap(o.Emits)-len(o.Emits))
	if behind := q.Count + uint32(max(n, 0)); behind > minFlight || behind > cfg.FlowFrames {
		// As mayFly asks, of the last one. The peer's share counts for nothing while half of all is free.
		if left := c.flight.free() - n; 2*left <= c.flight.budget || behind > min(minFlight+uint32(left), cfg.FlowFrames) {
			return 0
		}
	}
	return max(n, 0)
}

func (x *Run) wireTrain(burst []packet.Packet, count int, ts bool, most int) (taken int) {
	c, r, o, pkts, first := x.c, x.r, x.out, burst[:count], &burst[0]
	e, in, peer := &r.Egress, &r.Ingress, &r.Peer
	key, header := c.keyOf(r.Local.OpenKey), int(first.Payload)
	var seg Segment
	seg.HasTS = ts
	for i := range pkts {
		s := &pkts[i]
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
func (x *Run) sendReady(em *Emit, header int) {
	if em != nil {
		packet.TranslatePlain(em.M, header, em.Off, 0, &em.Translation)
		em.Kind = EmitReady
	}
}
