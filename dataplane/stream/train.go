package stream

import (
	"unsafe"

	"linecrypt/cryptobatch"
	"linecrypt/dataplane/packet"
	"linecrypt/flowtable"
)

// A train is what a connection that carries much gives: segments of the common kind in plain packets, one right behind the other from one
// end, with data or without. The loops below take as many of them as they can, headers included, to the same end as FastEgress and
// FastIngress, whose form for such segments they are: what is the same for all of them is asked once, and nothing is written twice. Where
// several in a row are of one kind and tell nothing but the usual, they make a run within the train: one short loop after the other takes all of
// them, so that what it needs stays in registers. That pays for acknowledgements and for frames to be opened; it does not for frames to be
// sealed, of which more lines are written than wait in the first-level cache until the next loop.

// HostTrain takes the first segments of a burst from the host, n at most, as far as it can, and returns how many; the next one is for
// FastEgress. They are of one connection, and make a run of their own. The first is Plain, the others are looked at. Ts says that segments of the
// connection carry timestamps, most is the largest payload that becomes one which fits its way. The output wants room for all of them (Output.Room).
func (c *Core) HostTrain(idx flowtable.Index, r *flowtable.Record, burst []packet.Packet, n int, ts bool, most int) (taken int) {
	return c.train(idx, r).hostTrain(burst, n, ts, most)
}

// WireTrain is HostTrain for segments from the far end; the next one is for FastIngress.
func (c *Core) WireTrain(idx flowtable.Index, r *flowtable.Record, burst []packet.Packet, n int, ts bool, most int) (taken int) {
	return c.train(idx, r).wireTrain(burst, n, ts, most)
}

// train begins a train of a connection, within a burst. It wants no EndRun.
func (c *Core) train(idx flowtable.Index, r *flowtable.Record) *Run {
	x := &c.run
	x.r, x.idx = r, idx
	x.segment, x.told, x.heard = 0, false, false
	return x
}

// worthARun reports whether some segments begin with four that have data all, or none of them has: what is done once for a run costs as much
// as it spares with fewer. Segments in both directions come by twos, with an acknowledgement behind.
func worthARun(pkts []packet.Packet) bool {
	if len(pkts) < 4 {
		return false
	}
	data := pkts[0].PayloadLen > 0
	return pkts[2].PayloadLen > 0 == data && pkts[1].PayloadLen > 0 == data && pkts[3].PayloadLen > 0 == data
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

// learnAck learns from an acknowledgement of a run, as short and learn do; the rest is for endAcks.
func learnAck(s *packet.Packet, from *flowtable.Endpoint, ts bool) {
	if ts {
		from.TSVal = s.Opt.TSVal
	}
	from.Win = max(from.Win, uint32(s.Win)<<from.WScale)
}

// ackEmit appends the emit of an acknowledgement of a run to an end, behind learnAck. There is room for it.
func (x *Run) ackEmit(dir Direction, s *packet.Packet, to *flowtable.Endpoint, seq, ack uint32, win uint16, ts bool) {
	o, r := x.out, x.r
	from := &r.Host
	if dir == ToHost {
		from = &r.Peer
	}
	o.Emits = o.Emits[:len(o.Emits)+1]
	em := &o.Emits[len(o.Emits)-1]
	em.R, em.M, em.Flow, em.Off, em.Len = r, s.M, x.idx, s.M.DataOff()+int(s.Payload), 0
	em.Seq, em.Ack, em.Win, em.Flags = seq, ack, win, s.Flags
	em.TSVal, em.TSEcr, em.HasTS, em.NewTS = from.TSVal, to.TSVal, ts, false
	if ts {
		em.TSEcr = s.Opt.TSEcr
	}
	em.Dir, em.Kind = dir, EmitReady
}

// endAcks ends a run of acknowledgements, the first taken segments of a burst: the headers of its emits, from at on, are made. The operations
// are those of its direction.
func (x *Run) endAcks(burst []packet.Packet, taken, at int, ops []cryptobatch.Op) {
	o := x.out
	x.c.calls += uint8(taken)
	x.r.LastSeen = x.now
	if n := len(o.Emits) - at; n > 0 {
		packet.TranslateRun(&o.Emits[at].Moved, unsafe.Sizeof(Emit{}), n, int(burst[0].Payload), packet.AheadOf(burst, opsOn(ops, len(ops)), 0))
	}
}

// opsOn returns where the operation lies that comes packetsAhead behind the one at a place of ops, or would lie there.
func opsOn(ops []cryptobatch.Op, at int) uintptr {
	return uintptr(unsafe.Pointer(unsafe.SliceData(ops))) + uintptr(at+packetsAhead)*unsafe.Sizeof(cryptobatch.Op{})
}
