package stream

import (
	"encoding/binary"
	"unsafe"

	"linecrypt/cryptobatch"
	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/dataplane/packet"
	"linecrypt/flowtable"
)

// hostTrain takes a train of the host's: one by one segments that tell something, and in runs of frames (frameRun) those with data behind
// them, which nearly always tell nothing new.
func (x *Run) hostTrain(burst []packet.Packet, count int, ts bool, most int) (taken int) {
	c, r, o, first := x.c, x.r, x.out, &burst[0]
	e, in, host := &r.Egress, &r.Ingress, &r.Host
	room := x.sealRoom(count)
	key, header := c.keyOf(r.Local.SealKey), int(first.Payload)
	limit := min(e.WUna+uint64(c.cfg.FlowBytes), e.WNext+uint64(max(int32(e.GenEdge-uint32(e.WNext)), 0)))
	var seg Segment
	seg.HasTS = ts
	for taken < count {
		if x.heard {
			if n := x.framesOf(burst[taken:count], first, ts, most, room, limit); n > 0 {
				x.frameRun(burst[taken:], n, header, ts)
				room -= n
				taken += n
				continue
			}
		}
		s := &burst[taken]
		if s.PayloadLen == 0 && taken+1 < count {
			if n := x.hostAcks(burst[taken:], count-taken, first, ts); n > 0 {
				taken += n
				continue
			}
		}
		fresh := s.Ack - (r.Peer.ISN + 1 + uint32(in.HostAck)) // bytes that the segment acknowledges anew
		if taken > 0 && !s.Alike(first) || !r.Local.Common || s.Seq != host.ISN+1+uint32(e.PNext) || uint64(fresh) > in.PNext-in.HostAck ||
			ts && !later(s.Opt.TSVal, host.TSVal) {
			break
		}
		size, m, w := int(s.PayloadLen), s.M, e.WNext
		if size == 0 {
			x.turn()
			x.short(&seg, s, host, &r.Peer)
			x.sendReady(x.fastHostAck(&seg, int64(in.HostAck+uint64(fresh))), header, burst[taken:], true)
			taken++
			continue
		}
		n := size + tcpcrypt.Overhead
		start := m.DataOff() + header - frameHead
		if size > most || room == 0 || start < header || start+n > int(m.BufLen) || w >= limit || int64(n) > int64(e.WEdge-w) ||
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
		en.WEnd, en.Len, en.Over, en.Flags = w+uint64(n), uint32(n), tcpcrypt.Overhead, flowtable.EntryPending
		if e.Queue.Count == 1 {
			x.progress()
		}
		if !x.told {
			x.toWireCommon()
		}

		at, k := len(o.Emits), len(o.Seals)
		o.Emits, o.Seals, o.sealRefs = o.Emits[:at+1], o.Seals[:k+1], o.sealRefs[:k+1]
		em := &o.Emits[at]
		em.R, em.M, em.Flow, em.Off, em.Len = r, m, x.idx, start, n
		em.Seq, em.Ack, em.Win, em.Flags = host.ISN+1+uint32(w), x.ack, x.win, s.Flags
		em.TSVal, em.TSEcr, em.HasTS, em.NewTS = s.Opt.TSVal, s.Opt.TSEcr, ts, false
		em.Dir, em.Kind = ToWire, EmitReady
		packet.TranslateRun(&em.Moved, unsafe.Sizeof(*em), 1, header, packet.AheadOf(burst[taken:], opsOn(o.Seals, k), 0))
		frame := unsafe.Add(m.BufAddr, start)
		binary.BigEndian.PutUint32((*[frameHead]byte)(frame)[:], uint32(n-tcpcrypt.HeaderLen)<<8) // no control bit and no flag is set

		sealOp(&o.Seals[k], key, &e.NR, w, frame, n)
		ref := &o.sealRefs[k]
		ref.r, ref.wEnd, ref.flow, ref.entry, ref.emit, ref.again = r, w+uint64(n), x.idx, id, int32(at), 0
		e.WNext = w + uint64(n)
		e.PNext += uint64(size)
		e.GenFrames++
		x.frames++
		x.bytes += uint64(size)
		room--
		taken++
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
	seq, toWire, scale, header := host.ISN+1+uint32(e.PNext), host.ISN+1+uint32(e.WNext), host.WScale, int(first.Payload)
	count = min(count, lookEvery-1-int(c.calls%lookEvery), cap(o.Emits)-at)
	for taken < count {
		s := &burst[taken]
		fresh := s.Ack - (r.Peer.ISN + 1 + uint32(in.HostAck))
		if s.PayloadLen != 0 || s.Seq != seq || fresh == 0 || uint64(fresh) > in.PNext-in.HostAck || !r.Local.Common || !s.Alike(first) ||
			ts && !later(s.Opt.TSVal, host.TSVal) {
			break
		}
		tsVal, tsEcr := host.TSVal, r.Peer.TSVal
		if ts {
			tsVal, tsEcr = s.Opt.TSVal, s.Opt.TSEcr
			host.TSVal = tsVal
		}
		host.Win = max(host.Win, uint32(s.Win)<<scale)
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
		o.Emits = o.Emits[:len(o.Emits)+1]
		em := &o.Emits[len(o.Emits)-1]
		em.R, em.M, em.Flow, em.Off, em.Len = r, s.M, x.idx, s.M.DataOff()+header, 0
		em.Seq, em.Ack, em.Win, em.Flags = toWire, ack, win, s.Flags
		em.TSVal, em.TSEcr, em.HasTS, em.NewTS = tsVal, tsEcr, ts, false
		em.Dir, em.Kind = ToWire, EmitReady
	}
	if taken == 0 {
		return 0
	}
	c.calls += uint8(taken)
	r.LastSeen = x.now
	x.told, x.heard = false, false
	if n := len(o.Emits) - at; n > 0 {
		packet.TranslateRun(&o.Emits[at].Moved, unsafe.Sizeof(Emit{}), n, header, packet.AheadOf(burst, opsOn(o.Seals, len(o.Seals)), 0))
	}
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

// framesOf returns how many segments of a train that began with first become frames at once: as many as are in order and tell nothing that
// was not heard, fit their way, and have room in the ledger's last chunk, and before the pool's state is looked at again, see turn.
func (x *Run) framesOf(pkts []packet.Packet, first *packet.Packet, ts bool, most, room int, limit uint64) int {
	c, r := x.c, x.r
	e, host := &r.Egress, &r.Host
	n := min(len(pkts), room, lookEvery-1-int(c.calls%lookEvery), c.chunks.Room(&e.Queue))
	if n <= 0 || !r.Local.Common {
		return 0
	}
	seq, ack, win, stamp := host.ISN+1+uint32(e.PNext), r.Peer.ISN+1+uint32(r.Ingress.HostAck), x.heardWin, host.TSVal
	w, edge, header := e.WNext, e.WEdge, int(first.Payload)
	for i := range pkts[:n] {
		s := &pkts[i]
		size, m := int(s.PayloadLen), s.M
		frame, start := size+tcpcrypt.Overhead, m.DataOff()+header-frameHead
		if s.Seq != seq || s.Ack != ack || s.Win != win || size == 0 || !s.Alike(first) || ts && !later(s.Opt.TSVal, stamp) ||
			size > most || start < header || start+frame > int(m.BufLen) || w >= limit || int64(frame) > int64(edge-w) {
			return i
		}
		seq += uint32(size)
		stamp = s.Opt.TSVal
		w += uint64(frame)
	}
	return n
}

// frameRun makes frames of the first n segments of a burst, as fastSeal does of one: ledger, what is held, emits with their headers, operations.
func (x *Run) frameRun(burst []packet.Packet, n, header int, ts bool) {
	c, r, o, pkts := x.c, x.r, x.out, burst[:n]
	e := &r.Egress
	before := e.Queue.Count
	entries, id := c.chunks.PushRun(&e.Queue, n)
	c.chunks.Mark(id, e.PNext)
	c.flight.tookRun(r, before+uint32(n), uint32(n))
	w, p := e.WNext, e.PNext
	for i := range entries {
		size := int(pkts[i].PayloadLen)
		w += uint64(size + tcpcrypt.Overhead)
		p += uint64(size)
		entries[i] = flowtable.Entry{WEnd: w, Len: uint32(size + tcpcrypt.Overhead), Over: tcpcrypt.Overhead, Flags: flowtable.EntryPending}
	}
	for i := range pkts {
		s := &pkts[i]
		if int(s.PayloadLen)+tcpcrypt.Overhead > packLimit || !c.packs(before+1+uint32(i)) {
			x.keepWhole(id+flowtable.EntryID(i), s.M, s.M.DataOff()+header-frameHead)
		}
	}
	if before == 0 {
		x.progress()
	}
	if !x.told {
		x.toWireCommon()
	}
	if ts {
		r.Host.TSVal = pkts[n-1].Opt.TSVal
	}
	c.calls += uint8(n)
	at := len(o.Emits)
	o.Emits = o.Emits[:at+n]
	x.emitRun(o.Emits[at:], pkts, header, ts)
	k := len(o.Seals)
	o.Seals, o.sealRefs = o.Seals[:k+n], o.sealRefs[:k+n]
	packet.TranslateRun(&o.Emits[at].Moved, unsafe.Sizeof(Emit{}), n, header, packet.AheadOf(burst, opsOn(o.Seals, k), unsafe.Sizeof(cryptobatch.Op{})))
	x.sealRun(o.Seals[k:], o.sealRefs[k:], o.Emits[at:], at, id)
	e.GenFrames += uint32(n)
	x.frames += uint32(n)
	x.bytes += p - e.PNext
	e.WNext, e.PNext = w, p
}

// emitRun fills the emits of a run of frames.
func (x *Run) emitRun(ems []Emit, pkts []packet.Packet, header int, ts bool) {
	r, idx, ack, win := x.r, x.idx, x.ack, x.win
	seq := x.hostISN() + uint32(r.Egress.WNext)
	for i := range ems {
		em, s := &ems[i], &pkts[i]
		m, n := s.M, int(s.PayloadLen)+tcpcrypt.Overhead
		em.R, em.M, em.Flow, em.Off, em.Len = r, m, idx, m.DataOff()+header-frameHead, n
		em.Seq, em.Ack, em.Win, em.Flags = seq, ack, win, s.Flags
		em.TSVal, em.TSEcr, em.HasTS, em.NewTS = s.Opt.TSVal, s.Opt.TSEcr, ts, false
		em.Dir, em.Kind = ToWire, EmitReady
		seq += uint32(n)
	}
}

// sealRun makes the operations of a run of frames, whose emits are from at on, and begins the frames.
func (x *Run) sealRun(ops []cryptobatch.Op, refs []sealRef, ems []Emit, at int, id flowtable.EntryID) {
	r, idx := x.r, x.idx
	key, nr, w := x.c.keyOf(r.Local.SealKey), &r.Egress.NR, r.Egress.WNext
	for i := range ops {
		em, ref := &ems[i], &refs[i]
		n := em.Len
		frame := unsafe.Add(em.M.BufAddr, em.Off)
		binary.BigEndian.PutUint32((*[frameHead]byte)(frame)[:], uint32(n-tcpcrypt.HeaderLen)<<8) // no control bit and no flag is set
		sealOp(&ops[i], key, nr, w, frame, n)
		w += uint64(n)
		ref.r, ref.wEnd, ref.flow, ref.entry, ref.emit, ref.again = r, w, idx, id+flowtable.EntryID(i), int32(at+i), 0
	}
}
