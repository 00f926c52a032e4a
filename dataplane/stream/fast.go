package stream

import (
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/flowtable"
)

// The fast path takes the segment that nearly every segment is: in order, acceptable at a glance, of a connection in its common state,
// with a whole frame in it or none at all. FastEgress and FastIngress look whether a segment is one before they change anything, and
// leave every other to EgressSegment and IngressSegment, which take these too, to the same end: the same packets, records and counters.
// The fast path leaves out the questions whose answers the common state knows. Most of what both do to a record is said once, in what
// they share; fastSeal, fastOpen, openedCommon and toWireCommon say again, and shorter, what sealSegment, wireData, openedNext and toWire
// do: who changes one changes both, and the twin tests tell.
//
// Both want room in the output (Output.Room).

// commonIngress are the flags of Ingress that a connection in its common state has.
const commonIngress = flowtable.IngressInit | flowtable.IngressKeys

// judge notes whether a connection is in its common state: its keys are in place, nothing is missing, held back, begun or ended in
// either direction, no frame is the gateway's own, no key generation is under way, and segments carry no ENO option. Everything that
// could end that state is followed by a judgement, but for the fast path: it can end it only by coming to a frame of the gateway's own,
// and armOwn notes that. One who takes FlagSendENO off leaves it to the judgement behind the next segment.
func (c *Core) judge(r *flowtable.Record) {
	e, in, l := &r.Egress, &r.Ingress, &r.Local
	l.Common = e.Flags&^flowtable.EgressBA == flowtable.EgressKeys && in.Flags&^flowtable.IngressShrunk == commonIngress &&
		l.Gap|l.OldKeys == 0 && l.HsBlock|l.OutOfOrder|l.Reassembly|l.PrevKey|l.NextKey == 0 &&
		r.Flags&flowtable.FlagSendENO == 0 && in.Failures|in.Probes == 0 && r.Rare.OwnTimer == 0 && r.Rare.OpenGen <= r.Rare.SealGen && r.Rare.Linger == 0
}

// frameHead is what a frame without urgent data has in front of its data.
const frameHead = tcpcrypt.HeaderLen + tcpcrypt.FlagsLen

// toWireCommon is toWire for a connection in its common state: what the host has acknowledged is all that is acknowledged.
func (f *flow) toWireCommon() (ack uint32, win uint16) {
	in := &f.r.Ingress
	w := max(in.WAcked, in.WAckH)
	edge := in.WAckH
	if in.PEdge > in.PAckH {
		edge += in.PEdge - in.PAckH + tcpcrypt.Overhead
	}
	if edge > in.WEdge && f.c.crowded() {
		edge = max(in.WEdge, min(edge, w+scarceWindow))
	}
	if edge >= in.WEdge {
		in.WEdge = edge
		in.Flags &^= flowtable.IngressShrunk
	} else if in.Flags&flowtable.IngressShrunk == 0 {
		edge = in.WEdge
	}
	if edge > w {
		win = uint16(min((edge-w)>>f.r.Host.WScale, 65535))
	}
	ack = f.peerISN() + uint32(w)
	in.WAcked, in.AckTold, in.WinTold = w, ack, win
	return ack, win
}
