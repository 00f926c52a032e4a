package ends

import (
	"linecrypt/dataplane/packet"
	"linecrypt/flowtable"
)

// watchOpening repeats a step of a handshake that waits for too long.
func (e *Ends) watchOpening(n uint32) {
	f := &e.flows[n]
	if f.state == closed || e.now-f.began < openPatience {
		return
	}
	f.began = e.now
	e.resendDue(n, down)
	if f.byHost {
		e.resendDue(n, up)
	}
}

// again repeats what the sender of direction d said last in a handshake.
func (e *Ends) again(n uint32, d direction, _ int64) bool {
	f := &e.flows[n]
	x := e.opener.pending[n]
	switch {
	case f.state == closed:
		return false
	case d == up && f.byHost && !f.hostOpen, d == down && !f.byHost && f.state < initSent && !f.farOpen:
		e.syn(n)
	case d == down && f.farOpen:
		e.control(n, down, &packet.Seg{Seq: e.seqNext(n, down), Ack: f.isn[up] + 1 + uint32(f.base[up]), Flags: packet.FlagACK}, nil)
	case d == down && x != nil && x.own != nil:
		e.sendInit(n, x)
	case d == down && f.byHost && f.state == synAckSent:
		e.farSynAck(n)
	default:
		return false
	}
	e.Resent++
	return true
}

// initAgain answers an Init message that comes again behind the handshake: the far end's acknowledgement was lost.
func (e *Ends) initAgain(n uint32) {
	e.Again++
	e.acknowledge(n, down, 0)
}

// reset handles a RST at a side.
func (e *Ends) reset(n uint32, s flowtable.Side) {
	f := &e.flows[n]
	e.Reset++
	switch {
	case f.state == closed:
		return
	case f.state >= established:
		e.wrong("connection %d: the gateway resets it on the %s", n, s)
	default:
		e.opener.open--
		delete(e.opener.pending, n)
	}
	e.retire(n)
}
