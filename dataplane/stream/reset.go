package stream

import (
	"linecrypt/ctrlplane/shm"
	"linecrypt/flowtable"
)

// hostReset passes the host's RST on. Its sequence number is what the far end expects, or what was asked for by number.
func (f *flow) hostReset(seg *Segment) {
	e := &f.r.Egress
	w := e.WNext
	if p := unwrap(seg.Seq, f.hostISN(), e.PNext); p < int64(e.PNext) && p <= int64(e.PUna) {
		w = e.WAck
	}
	if em := f.emit(EmitForward, ToWire, seg.M, seg.Off, 0); em != nil {
		moveHeaders(seg.M, seg.Off, seg.Off, 0)
		em.Seq = f.hostISN() + uint32(w)
		em.Ack, em.Win = f.toWire()
		em.TSVal, em.TSEcr = seg.TSVal, seg.TSEcr
		em.Flags = RST | seg.Flags&ACK
	}
	f.die()
	f.event(EventReset, shm.CounterNone, nil)
}

// wireReset passes the far end's RST on if it is exactly where one must be; elsewhere in the window the far end is asked to
// confirm it (RFC 5961 section 3.2).
func (f *flow) wireReset(seg *Segment, w int64) {
	in := &f.r.Ingress
	acked, next := int64(f.wireAck()), int64(f.contiguous())
	if w != acked && w != next && w != int64(in.WNext) {
		f.drop(seg.M, shm.DropIngressRST)
		if w > acked && w <= int64(in.WEdge) {
			f.ackWire()
		}
		return
	}
	p := f.hostNext()
	if w == int64(in.WAckH) && w != next {
		p = PPos(in.HostAck)
	}
	if em := f.emit(EmitForward, ToHost, seg.M, seg.Off, 0); em != nil {
		moveHeaders(seg.M, seg.Off, seg.Off, 0)
		em.Seq = f.peerISN() + uint32(p)
		em.Ack, em.Win = f.toHost()
		em.TSVal, em.TSEcr = seg.TSVal, seg.TSEcr
		em.Flags = RST | seg.Flags&ACK
	}
	f.die()
	f.event(EventReset, shm.CounterNone, nil)
}

// straggler answers a segment of a connection that is reset with the RST that its sender may have missed.
func (f *flow) straggler(seg *Segment, dir Direction) {
	f.drop(seg.M, shm.DropClosed)
	if seg.Flags&(RST|ACK) != ACK {
		return
	}
	if em := f.build(dir); em != nil {
		em.Seq, em.Ack, em.Win, em.Flags = seg.Ack, 0, 0, RST
		em.HasTS = false
	}
}

// die ends translation. Buffers that operations may refer to are freed by the next Timeout.
func (f *flow) die() {
	f.r.Egress.Flags |= flowtable.EgressDead
	f.r.Rare.Linger = f.now + f.c.cfg.Linger
}

// Abort resets the connection on both sides. The buffers are freed by a later Timeout or Release.
func (c *Core) Abort(idx flowtable.Index, r *flowtable.Record, reason shm.Counter, now int64, out *Output) {
	f := flow{c: c, idx: idx, r: r, now: now, out: out}
	if r.Egress.Flags&flowtable.EgressDead != 0 {
		return
	}
	c.n[reason]++
	r.Rare.Abort = uint16(reason)
	r.Flags |= flowtable.FlagOwnClosing
	if em := f.build(ToWire); em != nil {
		em.Seq = f.hostISN() + uint32(r.Egress.WNext)
		em.Ack, em.Win = f.toWire()
		em.Flags = RST | ACK
	}
	if em := f.build(ToHost); em != nil {
		em.Seq = f.peerISN() + uint32(f.hostNext())
		em.Ack, em.Win = f.toHost()
		em.Flags = RST | ACK
	}
	f.die()
	f.event(EventAbort, reason, nil)
}
