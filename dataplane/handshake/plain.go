package handshake

import (
	"linecrypt/ctrlplane/shm"
	"linecrypt/flowtable"
)

// plainOpening: a connection that is in the clear opens. All it sends passes; what matters is when its opener is proven real, whether
// a path hates ENO, and when it is over.
func (t *step) plainOpening() {
	c, s := t.c, t.s
	opener, answerer := c.PeerISN, c.HostISN
	fromOpener, answered := s.From == flowtable.Outside, c.HostKnown
	if c.Active {
		opener, answerer = c.HostISN, c.PeerISN
		fromOpener, answered = s.From == flowtable.Inside, c.PeerKnown
	}
	if t.watched() {
		return
	}
	t.noteENO()
	if c.Active && fromOpener && s.opens() && s.Seq == opener && c.ENO[roleA].Len() > 0 {
		t.waitForSYN()
	}
	switch {
	case s.reset():
		t.plainReset(opener, answerer, fromOpener, answered)
	case fromOpener && s.opens() && s.Seq != opener && (c.Active || t.now-c.Since >= replaceable):
		t.out.add(ActReopen)
	case !fromOpener && s.synAck() && s.Ack == opener+1:
		t.learn()
		c.Flags &^= flowtable.SetupOld
		if !answered {
			t.out.add(ActAnswered)
		}
		t.showsHate()
		t.forward()
	case c.Flags&flowtable.SetupOld != 0 && s.From == flowtable.Inside && !s.opens():
		t.out.add(ActAnswerRST) // what the host sends is of the older connection
	case fromOpener && s.plainACK() && answered && s.Ack == answerer+1:
		c.State, c.End = flowtable.Plain, 0
		t.out.add(ActEstablish)
		t.out.add(ActForward)
	default:
		t.forward()
	}
}

// longestGap is for how long, in ns, a host may let its SYN go unanswered before it sends the next one.
const longestGap = int64(128e9)

// waitForSYN remembers a connection whose SYN went with ENO, and goes without, until its SYN may have come once more: one that was
// forgotten would get ENO again, which nobody may put on a SYN after it was taken off (RFC 8547 section 4.6). Hosts double the time between
// two, so that the next one is as far from this as this from the first.
func (t *step) waitForSYN() {
	c := t.c
	c.End = max(c.End, t.now+t.m.p.Timeout+min(t.now-c.Since, longestGap))
}

// plainReset passes a RST on and forgets the connection where the RST is about it.
func (t *step) plainReset(opener, answerer uint32, fromOpener, answered bool) {
	s := t.s
	t.out.add(ActForward)
	exact := s.Flags&ack != 0 && s.Ack == opener+1 || answered && s.Seq == answerer+1
	if fromOpener {
		exact = s.Seq == opener || s.Seq == opener+1
	}
	if exact {
		t.out.add(ActForget)
	}
}

// showsHate remembers a far end that answers a SYN without ENO and did not answer, or reset, those with it, unless it has sent ENO itself.
func (t *step) showsHate() {
	c := t.c
	if c.Flags&flowtable.SetupTried == 0 || t.s.From != flowtable.Outside {
		return
	}
	why := SynUnanswered
	if c.Flags&flowtable.SetupReset != 0 {
		why = SynReset
	}
	if c.Flags &^= flowtable.SetupTried; t.s.ENOs > 0 || c.PeerENO {
		return // a late answer to one with ENO, or both ends opened at once: the path takes it
	}
	t.out.why(ActHates, why.Plain())
}

// plainWatched: the far end's first data is awaited in a connection that is in the clear although our SYN-ACK had ENO.
func (t *step) plainWatched() {
	if !t.watched() {
		t.out.add(ActForward)
	}
}

// watched handles a segment in which an Init message may be, or the first frames, and reports whether there is: a far end that believes in encryption all
// the same sends one, with ENO or, where the path takes it off, without.
func (t *step) watched() bool {
	c, s := t.c, t.s
	if s.From == flowtable.Inside || s.Payload == 0 || s.Flags&(syn|rst) != 0 || c.Flags&flowtable.SetupWatch == 0 {
		return false
	}
	switch judgeACK(&Segment{Seq: s.Seq, Payload: s.Payload, Init: s.Init, Frames: s.Frames}, c.PeerISN, c.Flags&flowtable.SetupResume != 0) {
	case ackStripped:
		t.strippedInit()
	case ackUnclear:
		t.out.drop(shm.DropHandshake)
	default:
		c.Flags &^= flowtable.SetupWatch
		return false
	}
	return true
}
