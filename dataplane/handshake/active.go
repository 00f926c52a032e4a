package handshake

import (
	"linecrypt/ctrlplane/shm"
	"linecrypt/flowtable"
)

// activeSyn: SYN + ENO is out.
func (t *step) activeSyn() {
	c, s := t.c, t.s
	switch {
	case s.From == flowtable.Inside:
		t.hostOpening()
	case s.reset():
		t.synReset()
	case s.synAck() && s.Ack == c.HostISN+1:
		t.synAck()
	case s.synAck() || s.plainACK():
		// The far end answers for a connection that the host has forgotten; the host's RST ends that (RFC 9293 section 3.5.1).
		t.forward()
	default:
		// A SYN may be anybody's, who would so decide that a connection is plain. Where both ends open at once in truth, the far
		// end's SYN-ACK tells, or the host's SYN that comes without ENO.
		t.noteENO()
		t.out.drop(shm.DropHandshake)
	}
}

// noteENO notes that a SYN with ENO of the far end's has come. Where both ends open at once (RFC 8547 section 4.6 rule 3) the gateways
// answer neither SYN with ENO, and yet the path takes the option. A forged one costs no more than the memory of this connection.
func (t *step) noteENO() {
	if t.c.Active && t.s.From == flowtable.Outside && t.s.opens() && t.s.ENOs > 0 {
		t.c.PeerENO = true
	}
}

// hostOpening handles what the opening host sends while only its SYN is out.
func (t *step) hostOpening() {
	c, s := t.c, t.s
	switch {
	case s.reset():
		t.passReset()
		if s.Seq == c.HostISN || s.Seq == c.HostISN+1 {
			t.out.add(ActForget)
		}
	case s.opens() && s.Seq == c.HostISN:
		t.hostSYNAgain()
	case s.opens():
		t.challengeHost()
	case s.synAck() && s.Seq == c.HostISN:
		// The host has got a SYN of the far end's: both open at once, both say b = 0 (RFC 8547 sections 4.3, 4.6 rule 3).
		t.leave(Simultaneous, false)
	default:
		t.strayFromHost()
	}
}

// passReset passes a RST on. The text that one may carry (RFC 9293 section 3.5.3) is not for a stranger's eyes.
func (t *step) passReset() {
	if t.s.Payload > 0 {
		t.out.drop(shm.DropHandshake)
		return
	}
	t.out.add(ActForward)
}

// challengeHost answers a SYN with another number than that of the connection: a host that has forgotten the connection says so by
// the RST with which it answers, and anybody else cannot.
func (t *step) challengeHost() {
	t.out.add(ActAckHost)
	t.out.drop(shm.DropHandshake)
}

// strayFromHost passes what a host that opens a connection says of an older one, but for its data: that connection may have been
// encrypted.
func (t *step) strayFromHost() {
	if t.s.Payload > 0 || t.s.Flags&ack == 0 {
		t.out.drop(shm.DropHandshake)
		return
	}
	t.out.add(ActForward)
}

// knownTries is how many SYNs go with ENO at least where the path is known to take it: those of a host's first seven seconds.
const knownTries = 4

// hostSYNAgain handles the host's retransmission of its SYN: the gateway's own has no other timer.
func (t *step) hostSYNAgain() {
	c := t.c
	tries := t.m.p.ENOTries
	if t.e.Takes {
		// A flood makes SYNs go unanswered: it must not make connections plain.
		tries = max(tries, knownTries)
	}
	if int(c.Tries) >= tries && c.mayDrop() {
		c.Flags |= flowtable.SetupTried
		t.plain(SynUnanswered, flowtable.PlainSyn)
		t.waitForSYN()
		t.out.add(ActForward)
		return
	}
	if t.s.Malformed || c.ENO[roleA].Len() > t.s.Room {
		t.leave(NoOptionRoom, false)
		return
	}
	c.Tries = min(c.Tries+1, uint8(min(tries, 255)))
	t.out.add(ActLearn)
	t.out.add(ActForwardENO)
}

// synReset handles a RST in answer to SYN + ENO.
func (t *step) synReset() {
	c, s := t.c, t.s
	if s.Flags&ack == 0 || s.Ack != c.HostISN+1 {
		t.passReset() // the host does not believe it either
		return
	}
	if !c.mayDrop() {
		t.passReset()
		t.out.add(ActForget)
		return
	}
	t.synWithout()
}

// refusedOnWay handles an ICMP error about a segment of the host's. One about the SYN + ENO that is out says what a RST says, and is
// believed like one: whoever sends it has seen the SYN, or has guessed its number (RFC 5927 section 4.1). Any other is for the host.
func (t *step) refusedOnWay() {
	c := t.c
	if c.State != flowtable.ActiveSyn || t.s.Seq != c.HostISN || !c.mayDrop() {
		t.out.add(ActForward)
		return
	}
	t.synWithout()
}

// synWithout handles a refusal of SYN + ENO, which a path may have sent because of the option: the SYN goes again without, as RFC 8547
// section 4.6 allows, and what comes then is the answer.
func (t *step) synWithout() {
	t.c.Flags |= flowtable.SetupTried | flowtable.SetupReset
	t.plain(SynReset, flowtable.PlainSyn)
	t.out.add(ActSendSYN)
	t.out.drop(shm.DropSynReset)
}

// synAck judges the far end's answer to SYN + ENO, which proves the far end real.
func (t *step) synAck() {
	c, s := t.c, t.s
	cause, resumed := t.e.Rules.judgeSynAck(c.ENO[roleA].Bytes(), s, &t.e.Resume)
	if cause != CauseNone {
		if c.Resume != 0 {
			// There may have been no room for the key agreement that it wants.
			t.out.add(ActDisown)
		}
		t.learn()
		t.leave(cause, true)
		return
	}
	t.out.add(ActBlock)
	t.out.add(ActEstablish)
	t.learn()
	c.ENO[roleB].Set(s.ENO)
	c.State, c.HasBlock = flowtable.ActiveAnswer, true
	t.out.add(ActAccepts)
	t.out.add(ActKeep)
	switch {
	case resumed:
		c.Flags |= flowtable.SetupResume
	case c.Resume != 0:
		// The far end wants a fresh key exchange. It does not know the secret, or wants none of it, and will not know the next one either: were
		// that offered, as where a connection came to nothing, later connections would pay too.
		t.out.add(ActDisown)
		c.Resume = 0
		t.out.why(ActCount, shm.ResumeMissed)
	}
	t.ask(c.question())
}

// activeAnswer: the SYN-ACK is kept until the control plane has made Init1.
func (t *step) activeAnswer() {
	c, s := t.c, t.s
	switch {
	case s.From == flowtable.Inside && s.opens() && s.Seq == c.HostISN:
		t.out.drop(shm.DropHeld)
	case s.From == flowtable.Inside && s.opens():
		t.challengeHost()
	case s.From == flowtable.Inside && s.reset():
		t.passReset()
		if s.Seq == c.HostISN || s.Seq == c.HostISN+1 {
			t.out.add(ActForget)
		}
	case s.From == flowtable.Inside:
		t.strayFromHost()
	case s.reset() && s.Seq == c.PeerISN+1:
		// The host does not know yet that the far end has answered.
		t.out.why(ActAbort, shm.AbortPeerReset)
		t.out.add(ActResetHost)
		t.out.drop(shm.DropHandshake)
		t.out.add(ActForget)
	case s.synAck() && s.Seq == c.PeerISN:
		t.out.drop(shm.DropHeld)
	default:
		t.out.drop(shm.DropHandshake)
	}
}

// activeExchange: Init1 is out; Init2 is collected, or at the control plane.
func (t *step) activeExchange() {
	c, s := t.c, t.s
	switch {
	case s.From == flowtable.Inside && s.reset():
		t.hostReset()
	case s.From == flowtable.Inside && s.opens() && s.Seq != c.HostISN:
		t.challengeHost()
	case s.From == flowtable.Inside:
		t.out.drop(shm.DropHeld)
	case s.reset():
		t.peerReset()
	case s.Flags&syn != 0:
		t.out.drop(shm.DropHeld)
		t.out.add(ActAckPeer)
	case s.Malformed:
		t.out.drop(shm.DropOptions)
	default:
		c.SendENO = c.SendENO && !s.plainACK()
		t.out.add(ActTranslate)
	}
}

// answersACK reports whether a segment without SYN is the far end's in a connection that it has taken for established.
func (t *step) answersACK() bool {
	c, s := t.c, t.s
	return s.plainACK() && !s.Malformed && s.Seq-(c.PeerISN+1) <= c.HostWin && s.Ack-(c.HostISN+1) < 1<<31
}

// hostReset handles a RST of the host's while Init messages are under way.
func (t *step) hostReset() {
	t.out.drop(shm.DropHandshake)
	if t.s.Seq == t.c.HostISN+1 || t.c.Active && t.s.Seq == t.c.HostISN {
		t.abort(shm.AbortHostReset)
	}
}

// peerReset handles the far end's RST while Init messages are under way: an exact one ends the connection, for another in the window
// the far end is asked to confirm it (RFC 5961 section 3.2).
func (t *step) peerReset() {
	c, s := t.c, t.s
	if s.Seq != t.e.Expect[0] && s.Seq != t.e.Expect[1] {
		t.out.drop(shm.DropHandshake)
		if s.Seq-(c.PeerISN+1) < c.HostWin {
			t.out.add(ActAckPeer)
		}
		return
	}
	why := shm.AbortPeerReset
	if c.carriesENO() && s.Flags&ack == 0 && c.mayDrop() {
		// It answers our ACK and has seen nothing of its data: a path that takes ENO off non-SYN segments looks so, and the far end
		// passed the connection on in the clear, or reset it because of Init1.
		why = shm.AbortAckReset
		t.out.why(ActHates, why)
	}
	t.out.why(ActAbort, why)
	t.out.add(ActResetHost)
	t.out.drop(shm.DropHandshake)
	t.out.add(ActForget)
}

// encrypted handles SYNs of a connection that is encrypted, and what comes before the host has shown that it knows of the
// connection's establishment.
func (t *step) encrypted() {
	c, s := t.c, t.s
	switch {
	case s.Flags&syn == 0:
		if s.From == flowtable.Outside && c.SendENO && t.answersACK() {
			c.SendENO = false
		}
		if s.From == flowtable.Inside && !s.Malformed && c.HasBlock {
			t.out.add(ActFreeBlock)
			c.HasBlock, c.End = false, 0
		}
		t.out.add(ActTranslate)
	case s.From == flowtable.Outside:
		// A SYN in an established connection is answered by an acknowledgement (RFC 9293 section 3.10.7.4); the sender's RST
		// tells whether it was in earnest.
		t.out.drop(shm.DropHandshake)
		t.out.add(ActAckPeer)
	case c.Active && c.HasBlock && s.opens() && s.Seq == c.HostISN:
		t.out.drop(shm.DropHeld)
		t.out.add(ActSynAck)
	default:
		t.out.drop(shm.DropHandshake)
		t.out.add(ActAckHost)
	}
}
