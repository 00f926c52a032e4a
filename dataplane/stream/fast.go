package stream

import (
	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/flowtable"
)

// The fast path takes the segment that nearly every segment is: in order, acceptable at a glance, of a connection in its common state,
// with a whole frame in it or none at all. FastEgress and FastIngress look whether a segment is one before they change anything, and
// leave every other to EgressSegment and IngressSegment, which take these too, to the same end: the same packets, records and counters.
// The fast path leaves out the questions whose answers the common state knows, and asks the others once for all segments of a run. Most
// of what both ways do to a record is said once, in what they share; this file and the two beside it say again, and shorter, what
// sealSegment, forwardHostAck, toWire, wireData, forwardWireAck, openedNext and toHost do: who changes one changes both, and the twin
// tests tell.

// A Run is the segments of one connection that come one behind the other from one end of it within a burst, with nothing between them
// that could change the connection. The caller begins it with Core.BeginRun, gives it the segments that may be of the common kind, and
// ends it with EndRun before it does anything else with the Core. The output wants room for all of them (Output.Room).
type Run struct {
	flow
	ack    uint32 // what toWireCommon answered last,
	win    uint16
	told   bool   // as long as it would answer so again
	bytes  uint64 // of plaintext that were framed, and how many frames they became
	frames uint32

	heard    bool   // a segment of the host's with data has said what follows, and nothing else was said behind it:
	heardWin uint16 // its window
}

// BeginRun begins a run and returns it. It is the Core's, and good until EndRun.
func (c *Core) BeginRun(idx flowtable.Index, r *flowtable.Record, now int64, out *Output) *Run {
	x := &c.run
	x.begin(c, idx, r, now, out)
	return x
}

// begin makes a run of a connection and forgets what is known of the one before.
func (x *Run) begin(c *Core, idx flowtable.Index, r *flowtable.Record, now int64, out *Output) {
	x.view(c, idx, r, now, out)
	x.common = true
	x.segment, x.told, x.heard, x.bytes, x.frames = 0, false, false, 0, 0
	if len(c.keys.retired) > 0 && !out.Pending() {
		c.keys.sweep()
	}
}

// EndRun ends the run that BeginRun began.
func (x *Run) EndRun() {
	if x.frames > 0 {
		n := x.c.n
		n[shm.SealedFrames] += uint64(x.frames)
		n[shm.SealedBytes] += x.bytes
	}
}

// turn is begin for a segment of a run.
func (x *Run) turn() {
	if x.c.calls++; x.c.calls%lookEvery == 0 {
		x.look()
	}
}

// look is what begin does in every lookEvery-th call; the answer that was kept may be another one then.
func (x *Run) look() {
	x.c.scarce = x.c.cache.Avail() < x.c.cfg.PoolLow
	x.told = false
}

// commonIngress are the flags of Ingress that a connection in its common state has.
const commonIngress = flowtable.IngressInit | flowtable.IngressKeys

// judge notes whether a connection is in its common state: its keys are in place, nothing is missing, held back, begun or ended in
// either direction, no frame is the gateway's own, no key generation is under way, and segments carry no ENO option. Everything that
// could end that state is followed by a judgement, but for the fast path: it can end it only by coming to a frame of the gateway's own,
// and armOwn notes that. One who takes FlagSendENO off leaves it to the judgement behind the next segment.
func (c *Core) judge(r *flowtable.Record) {
	e, in, l := &r.Egress, &r.Ingress, &r.Local
	l.Common = e.Flags&^flowtable.EgressBA == flowtable.EgressKeys && in.Flags&^flowtable.IngressShrunk == commonIngress &&
		l.Gap|l.OldKeys|l.Filled == 0 && l.HsBlock|l.OutOfOrder|l.Reassembly|l.PrevKey|l.NextKey == 0 &&
		r.Flags&flowtable.FlagSendENO == 0 && in.Failures|in.Probes == 0 && r.Rare.OwnTimer == 0 && r.Rare.OpenGen <= r.Rare.SealGen && r.Rare.Linger == 0
}

// frameHead is what a frame without urgent data has in front of its data.
const frameHead = tcpcrypt.HeaderLen + tcpcrypt.FlagsLen

// toWireCommon is toWire for a connection in its common state: what the host has acknowledged is all that is acknowledged. Its answer is
// kept while nothing of that changes.
func (x *Run) toWireCommon() (ack uint32, win uint16) {
	if x.told {
		return x.ack, x.win
	}
	in := &x.r.Ingress
	w := max(in.WAcked, in.WAckH)
	edge := in.WAckH
	if in.PEdge > in.PAckH {
		edge += in.PEdge - in.PAckH + tcpcrypt.Overhead
	}
	if edge > in.WEdge && x.crowded() {
		edge = max(in.WEdge, min(edge, w+scarceWindow))
	}
	if edge >= in.WEdge {
		in.WEdge = edge
		in.Flags &^= flowtable.IngressShrunk
	} else if in.Flags&flowtable.IngressShrunk == 0 {
		edge = in.WEdge
	}
	if edge > w {
		win = uint16(min((edge-w)>>x.r.Host.WScale, 65535))
	}
	ack = x.peerISN() + uint32(w)
	in.WAcked, in.AckTold, in.WinTold = w, ack, win
	x.ack, x.win, x.told = ack, win, true
	return ack, win
}

// emitCommon is emit for a segment of the common kind. There is room for it.
func (x *Run) emitCommon(dir Direction, seg *Segment, off, n int) *Emit {
	o := x.out
	at := len(o.Emits)
	o.Emits = o.Emits[:at+1]
	em := &o.Emits[at]
	em.R, em.M, em.Flow, em.Off, em.Len = x.r, seg.M, x.idx, off, n
	em.TSVal, em.TSEcr, em.HasTS, em.NewTS = seg.TSVal, seg.TSEcr, seg.HasTS, false
	em.Urg, em.Flags, em.NSACK, em.Dir, em.Kind = 0, seg.Flags, 0, dir, EmitCommon
	return em
}
