package stream

import (
	"linecrypt/ctrlplane/shm"
	"linecrypt/flowtable"
)

// A RST is believed only where it is exactly what its receiver expects next (RFC 9293 section 3.10.7.4, RFC 5961 section 3.2), and
// what its receiver would not have believed stays unbelievable behind the gateway: an inexact one is never made exact.

// hostReset judges the host's RST.
func (f *flow) hostReset(seg *Segment) {
	e := &f.r.Egress
	switch p := unwrap(seg.Seq, f.hostISN(), e.PNext); {
	case p == int64(e.PNext):
		f.passReset(seg, ToWire, f.hostISN()+uint32(e.WNext))
		f.die()
		f.event(EventReset, shm.CounterNone, nil)
	case p == int64(e.PUna):
		f.doubtfulReset(seg, flowtable.Inside, f.hostISN()+uint32(e.WAck))
	case p > int64(e.PUna) && p <= f.hostLimit():
		f.disbelieve(seg, flowtable.Inside, shm.DropEgressRST)
	default:
		f.drop(seg.M, shm.DropEgressRST)
	}
}

// wireReset judges the far end's RST at wire position w.
func (f *flow) wireReset(seg *Segment, w int64) {
	in := &f.r.Ingress
	acked := int64(f.wireAck())
	switch {
	case w == int64(f.received()):
		f.passReset(seg, ToHost, f.peerISN()+uint32(f.hostNext()))
		f.die()
		f.event(EventReset, shm.CounterNone, nil)
	case w == acked:
		f.doubtfulReset(seg, flowtable.Outside, f.peerISN()+uint32(in.HostAck))
	case atFIN(f.r, uint64(w)):
		f.doubtfulReset(seg, flowtable.Outside, f.peerISN()+uint32(f.hostNext())-1) // as some stacks send: the host decides
	case w > acked && w <= int64(max(in.WEdge, in.WAcked)):
		f.disbelieve(seg, flowtable.Outside, shm.DropIngressRST)
	default:
		f.drop(seg.M, shm.DropIngressRST)
	}
}

// doubtfulReset handles a RST at what its sender was told last, while more was received of it. That is what the answer to an
// acknowledgement looks like where the connection is gone, and exact if what was received in between is lost behind the gateway.
// Its receiver decides: it gets the RST at the number that it has acknowledged, and is asked, because its RST in answer tells that
// it believed. That answer may be a doubtful one itself, where more was received of it too: when both ends have sent one, neither is there.
func (f *flow) doubtfulReset(seg *Segment, from flowtable.Side, seq uint32) {
	const both = flowtable.FlagHostGone | flowtable.FlagPeerGone
	dir, gone := ToWire, uint16(flowtable.FlagHostGone)
	if from == flowtable.Outside {
		dir, gone = ToHost, flowtable.FlagPeerGone
	}
	if f.r.Flags |= gone; f.r.Flags&both == both {
		f.passReset(seg, dir, seq)
		f.die()
		f.event(EventReset, shm.CounterNone, nil)
		return
	}
	if !mayChallenge(f.r, from, f.now) || !f.emitRoom(2) {
		f.drop(seg.M, f.resetDrop(from))
		return
	}
	f.passReset(seg, dir, seq)
	f.ask(dir)
}

func (f *flow) resetDrop(from flowtable.Side) shm.Counter {
	if from == flowtable.Inside {
		return shm.DropEgressRST
	}
	return shm.DropIngressRST
}

// passReset passes a RST on with the sequence number given.
func (f *flow) passReset(seg *Segment, dir Direction, seq uint32) {
	em := f.emit(EmitForward, dir, seg.M, seg.Off, 0)
	if em == nil {
		return
	}
	moveHeaders(seg.M, seg.Off, seg.Off, 0)
	em.Seq = seq
	if dir == ToWire {
		em.Ack, em.Win = f.toWire()
		f.stampWire(em, seg)
	} else {
		em.Ack, em.Win = f.toHost()
		f.stampHost(em, seg)
	}
	em.Flags = RST | seg.Flags&ACK
}

// ask sends an empty segment just before what the receiver expects, which it answers as long as it has the connection, and with a
// RST when it has not.
func (f *flow) ask(dir Direction) {
	em := f.build(dir)
	if em == nil {
		return
	}
	f.count(shm.OwnAcks)
	if dir == ToWire {
		em.Seq = f.hostISN() + uint32(f.r.Egress.WAck) - 1
		em.Ack, em.Win = f.toWire()
	} else {
		em.Seq = f.peerISN() + uint32(f.r.Ingress.HostAck) - 1
		em.Ack, em.Win = f.toHost()
	}
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
	c.judge(r)
}
