package handshake

import (
	"linecrypt/ctrlplane/shm"
	"linecrypt/flowtable"
)

// passiveSyn: the far end's SYN went to the host without ENO; the host's SYN-ACK is awaited.
func (t *step) passiveSyn() {
	c, s := t.c, t.s
	switch {
	case s.From == flowtable.Outside && s.reset():
		t.peerResetsOpening()
	case s.From == flowtable.Outside && s.opens():
		t.peerSYNAgain()
	case s.From == flowtable.Outside:
		t.out.drop(shm.DropHandshake)
	case s.reset():
		t.passReset()
		if s.Flags&ack != 0 && s.Ack == c.PeerISN+1 {
			t.out.add(ActForget)
		}
	case s.synAck() && s.Ack == c.PeerISN+1:
		t.hostAnswers()
	case s.synAck():
		t.out.drop(shm.DropHandshake)
	case s.opens():
		// The host opens a connection of its own. Where it has got the far end's SYN it says so by a SYN-ACK.
		t.out.add(ActReopen)
	default:
		t.olderConnection()
	}
}

// olderConnection handles a host that goes on with a connection it has already instead of answering the SYN. It may be one that
// the gateway never saw opened, and the SYN forged: it must not suffer. Where the far end has in truth forgotten it, the far
// end's RST ends it and the SYN comes again (RFC 9293 section 3.5.1).
func (t *step) olderConnection() {
	if t.c.Flags&flowtable.SetupOld != 0 {
		t.out.add(ActAnswerRST)
		return
	}
	if t.c.Policy == flowtable.Require {
		t.strayFromHost()
		return
	}
	t.out.why(ActPlain, shm.PlainOlder)
	t.out.add(ActForget)
	t.out.add(ActForward)
}

// peerResetsOpening passes a RST on, and forgets the connection where the RST is about it and not about an older one. One that the
// host would not take must not make the gateway forget: what came then would reach the host as if it were data.
func (t *step) peerResetsOpening() {
	t.passReset()
	if t.s.Seq == t.c.PeerISN+1 {
		t.out.add(ActForget)
	}
}

// peerSYNAgain handles a SYN of the far end's before the ACK that confirms ENO.
func (t *step) peerSYNAgain() {
	c, s := t.c, t.s
	switch {
	case s.Seq != c.PeerISN && c.State == flowtable.PassiveSyn && t.now-c.Since >= replaceable:
		// The host has not answered the SYN before, and will take this one for it.
		t.out.add(ActReopen)
	case s.Seq != c.PeerISN && c.State == flowtable.PassiveSyn:
		t.out.drop(shm.DropHeld)
	case s.Seq != c.PeerISN:
		// The sender's RST tells whether it was in earnest.
		t.out.drop(shm.DropHandshake)
		t.out.add(ActAckPeer)
	case s.Malformed:
		t.out.drop(shm.DropOptions)
	case givesUp(s):
		t.leave(ENOGivenUp, false)
	default:
		t.out.add(ActForwardBare)
	}
}

// hostAnswers sends the host's SYN-ACK out with our ENO option.
func (t *step) hostAnswers() {
	c, s := t.c, t.s
	if c.State == flowtable.PassiveSyn {
		c.fit(s.Room)
	}
	cause := judgeHostReply(c.ENO[roleB].Bytes(), s)
	if cause != CauseNone && c.State == flowtable.PassiveAck {
		t.out.drop(shm.DropHandshake) // one with ENO is out already
		return
	}
	t.learn()
	c.Flags &^= flowtable.SetupOld
	if cause != CauseNone {
		t.out.add(ActAnswered)
		t.leave(cause, false)
		return
	}
	if c.State == flowtable.PassiveSyn {
		t.out.add(ActAnswered)
	}
	c.State = flowtable.PassiveAck
	t.out.add(ActForwardENO)
}

// passiveAck: the SYN-ACK went out with ENO; the ACK that confirms it is awaited.
func (t *step) passiveAck() {
	c, s := t.c, t.s
	switch {
	case s.From == flowtable.Outside && s.reset():
		t.peerResetsOpening()
	case s.From == flowtable.Outside && s.opens():
		t.peerSYNAgain()
	case s.From == flowtable.Outside && s.plainACK():
		t.confirm()
	case s.From == flowtable.Outside:
		t.out.drop(shm.DropHandshake)
	case s.reset():
		t.passReset()
		if s.Seq == c.HostISN+1 || s.Flags&ack != 0 && s.Ack == c.PeerISN+1 {
			t.out.add(ActForget)
		}
	case s.synAck() && s.Ack == c.PeerISN+1:
		t.hostAnswers()
	default:
		t.out.drop(shm.DropHandshake)
	}
}

// confirm handles the first ACK of the far end, which proves it real: only with ENO in it is encryption on.
func (t *step) confirm() {
	c, s := t.c, t.s
	if s.Ack != c.HostISN+1 || s.Seq-(c.PeerISN+1) > c.HostWin {
		// Not an answer to the SYN-ACK, or not in the window: an older connection's.
		t.out.drop(shm.DropHandshake)
		return
	}
	if s.Malformed {
		t.out.drop(shm.DropOptions)
		return
	}
	switch judgeACK(s, c.PeerISN, c.Flags&flowtable.SetupResume != 0) {
	case ackConfirms:
		t.out.add(ActBlock)
		t.out.add(ActEstablish)
		c.State, c.HasBlock = flowtable.PassiveInit, true
		t.out.add(ActStart)
		t.out.add(ActTranslate)
		if c.Flags&flowtable.SetupResume != 0 {
			// There is no Init message: the translator keeps what comes until there are keys.
			c.State = flowtable.PassiveKeys
			t.ask(shm.PassiveResume)
		}
	case ackWithout:
		t.leave(NoENOInACK, true)
		if s.Payload > 0 {
			c.Flags &^= flowtable.SetupWatch // the first data is here
		}
	case ackUnclear:
		t.out.drop(shm.DropHandshake)
	case ackStripped:
		t.strippedInit()
	}
}

// strippedInit resets a connection whose far end sends an Init message without the ENO option that belongs to it: no application
// ever reads one. What else comes of it is answered alike.
func (t *step) strippedInit() {
	t.out.why(ActAbort, shm.AbortInitWithoutENO)
	t.out.add(ActResetHost)
	t.out.add(ActAnswerRST)
	t.out.add(ActClose)
	t.c.State, t.c.HasBlock = flowtable.Closing, false
}

// passiveExchange: ENO is confirmed; Init1 is collected, or at the control plane.
func (t *step) passiveExchange() {
	s := t.s
	switch {
	case s.From == flowtable.Inside && s.reset():
		t.hostReset()
	case s.From == flowtable.Inside && s.synAck():
		t.out.drop(shm.DropHeld)
	case s.From == flowtable.Inside:
		t.out.drop(shm.DropHandshake)
	case s.reset():
		t.peerReset()
	case s.Flags&syn != 0:
		t.out.drop(shm.DropHandshake)
		t.out.add(ActAckPeer)
	case s.Malformed:
		t.out.drop(shm.DropOptions)
	default:
		t.out.add(ActTranslate)
	}
}
