package stream

import (
	"encoding/binary"
	"unsafe"

	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/dataplane/packet"
	"linecrypt/flowtable"
)

// A train is what comes from an end that sends much: segments with data, one right behind the other, whose headers say nothing new but
// where the data goes on. What the first of them, which FastEgress or FastIngress took, has left behind answers every question that is
// not about a segment's own bytes, for as many as certainly have room; they are then taken in one loop, headers included.

// EgressTrain takes, of segments from the host, those behind the first that belong to one train with it, and returns how many; the next
// one is for FastEgress. The first was taken by FastEgress just now, and carries data. ts says that they carry timestamps, most is the
// largest payload that they may have.
func (x *Run) EgressTrain(pkts []packet.Packet, ts bool, most int) (taken int) {
	room := x.trainRoom(len(pkts) - 1)
	if room <= 0 {
		return 0
	}
	c, r, o, first := x.c, x.r, x.out, &pkts[0]
	e := &r.Egress
	key, isn, header := c.keyOf(r.Local.SealKey), x.hostISN(), int(first.Payload)
	w, p, stamp := e.WNext, e.PNext, r.Host.TSVal
	edge, limit := e.WEdge, min(e.WUna+uint64(c.cfg.FlowBytes), w+uint64(max(int32(e.GenEdge-uint32(w)), 0)))
	most = min(most, tcpcrypt.MaxData-tcpcrypt.UrgentLen)
	emits, seals := len(o.Emits), len(o.Seals)
	newEmits, ops, refs := o.Emits[emits:emits+room], o.Seals[seals:seals+room], o.sealRefs[seals:seals+room]
	for i := range room {
		s := &pkts[i+1]
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
		ack, win := x.toWireCommon()

		em := &newEmits[i]
		em.R, em.M, em.Flow, em.Off, em.Len = r, m, x.idx, start, n
		em.Seq, em.Ack, em.Win, em.Flags = isn+uint32(w), ack, win, s.Flags
		em.TSVal, em.TSEcr, em.HasTS, em.NewTS = s.Opt.TSVal, s.Opt.TSEcr, ts, false
		em.Urg, em.NSACK, em.Dir, em.Kind = 0, 0, ToWire, EmitReady
		s.TranslatePlain(start, n, &em.Translation)
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
	if ts {
		r.Host.TSVal = stamp
	}
	return taken
}

// trainRoom returns how many frames, n at most, certainly may be in flight beside those that are, under the key.
func (x *Run) trainRoom(n int) int {
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
