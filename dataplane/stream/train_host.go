package stream

import (
	"encoding/binary"
	"unsafe"

	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/dataplane/packet"
	"linecrypt/flowtable"
)

// hostTrain takes a train of the host's: in runs acknowledgements that come several in a row, and else segment by segment.
func (x *Run) hostTrain(burst []packet.Packet, count int, ts bool, most int) (taken int) {
	c, r, o, pkts, first := x.c, x.r, x.out, burst[:count], &burst[0]
	e, in, host := &r.Egress, &r.Ingress, &r.Host
	most = min(most, tcpcrypt.MaxData-tcpcrypt.UrgentLen)
	room := x.sealRoom(len(pkts))
	key, header := c.keyOf(r.Local.SealKey), int(first.Payload)
	limit := min(e.WUna+uint64(c.cfg.FlowBytes), e.WNext+uint64(max(int32(e.GenEdge-uint32(e.WNext)), 0)))
	bytes, frames := uint64(0), 0
	var seg Segment
	seg.HasTS = ts
	for i := 0; i < len(pkts); i++ {
		s := &pkts[i]
		if s.PayloadLen == 0 && worthARun(pkts[i:]) {
			if n := x.hostAcks(burst[i:], len(pkts)-i, first, ts); n > 0 {
				taken += n
				i += n - 1
				continue
			}
		}
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
		if n > packLimit || !c.packs(e.Queue.Count) {
			x.keepWhole(id, m, start)
		}
		en.Flags, en.WEnd, en.Len, en.Over = flowtable.EntryPending, w+uint64(n), uint32(n), tcpcrypt.Overhead
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
	if frames > 0 {
		e.GenFrames += uint32(frames)
		c.n[shm.SealedFrames] += uint64(frames)
		c.n[shm.SealedBytes] += bytes
	}
	return taken
}

// hostAcks takes the first segments of a burst, count at most, of a train that began with first, as FastEgress takes one by one those without
// data: as many as are in order and acknowledge something, and as the output has room for, before the pool's state is looked at again, see
// turn. It returns how many.
func (x *Run) hostAcks(burst []packet.Packet, count int, first *packet.Packet, ts bool) (taken int) {
	c, r, o := x.c, x.r, x.out
	e, in, host := &r.Egress, &r.Ingress, &r.Host
	at := len(o.Emits)
	seq, toWire, scale := host.ISN+1+uint32(e.PNext), host.ISN+1+uint32(e.WNext), host.WScale
	count = min(count, lookEvery-1-int(c.calls%lookEvery), cap(o.Emits)-at)
	for taken < count {
		s := &burst[taken]
		fresh := s.Ack - (r.Peer.ISN + 1 + uint32(in.HostAck))
		if s.PayloadLen != 0 || s.Seq != seq || fresh == 0 || uint64(fresh) > in.PNext-in.HostAck || !r.Local.Common || !s.Alike(first) ||
			ts && !later(s.Opt.TSVal, host.TSVal) {
			break
		}
		learnAck(s, host, ts)
		in.HostAck += uint64(fresh)
		edge := in.HostAck + uint64(s.Win)<<scale
		if edge < in.PEdge {
			in.Flags |= flowtable.IngressShrunk
		}
		in.PEdge, in.HostDups = edge, 0
		x.advanceHost()
		x.told = false
		oldAck, oldWin := in.AckTold, in.WinTold
		ack, win := x.toWireCommon()
		taken++
		if ack == oldAck && win == oldWin {
			x.drop(s.M, shm.AbsorbedAcks)
			continue
		}
		x.ackEmit(ToWire, s, &r.Peer, toWire, ack, win, ts)
	}
	if taken == 0 {
		return 0
	}
	x.heard = false
	x.endAcks(burst, taken, at, o.Seals)
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
