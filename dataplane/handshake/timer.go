package handshake

import (
	"linecrypt/ctrlplane/shm"
	"linecrypt/flowtable"
)

// timer does what time brought about.
func (t *step) timer() {
	c := t.c
	if c.End != 0 && t.now >= c.End {
		t.over()
		return
	}
	if c.Ask == 0 || t.now < c.Ask {
		return
	}
	switch {
	case c.Flags&flowtable.SetupInit1 != 0:
		t.startActive()
	case c.Flags&flowtable.SetupUnsent != 0:
		c.Flags &^= flowtable.SetupUnsent
		t.again()
	case c.enabled():
		// There is only waiting for a control plane to come back, until the end. Only the answer to the latest question counts,
		// because two answers may hold different keys and the control plane publishes those it gave last.
		t.again()
	case !t.e.Alive:
		t.leaveKept(ControlAway)
	default:
		// It is only busy, or gave the question up as one too many of its peer's.
		t.again()
	}
}

// again puts the open question again.
func (t *step) again() {
	c := t.c
	c.Wait = min(2*c.Wait, askLongest)
	c.Ask = t.now + c.Wait
	t.out.ask(c.question())
}

// over ends what has taken too long.
func (t *step) over() {
	c := t.c
	switch c.State {
	case flowtable.PlainSyn:
		t.out.add(ActForget)
	case flowtable.ActiveSyn, flowtable.PassiveSyn:
		// Nobody answered, with or without ENO: nothing to reset, but for a host that must not go on.
		if c.Policy == flowtable.Require {
			t.out.why(ActAbort, shm.AbortUnanswered)
			t.resetBoth()
		} else {
			t.out.why(ActCount, shm.SetupUnanswered)
		}
		t.out.add(ActForget)
	case flowtable.PassiveAck:
		t.out.why(ActAbort, shm.AbortUnconfirmed)
		t.resetBoth()
		t.out.add(ActForget)
	case flowtable.ActiveAnswer:
		t.leaveKept(ControlLate)
	case flowtable.Encrypted:
		t.hostSilent()
	case flowtable.ActiveInit, flowtable.ActiveKeys, flowtable.PassiveInit, flowtable.PassiveKeys:
		why := shm.AbortSetupTimeout
		if c.Held {
			t.abort(shm.AbortUnauthenticated)
			return
		}
		if c.carriesENO() && c.mayDrop() {
			why = shm.AbortAckUnanswered
			t.out.why(ActHates, why)
		}
		t.abort(why)
	default:
		c.End = 0
	}
}

// hostSilent sends a host that has not answered its SYN-ACK for the whole time of set-up that SYN-ACK once more: if it has the
// connection it acknowledges.
func (t *step) hostSilent() {
	c := t.c
	if !c.HasBlock {
		c.End = 0
		return
	}
	if c.Flags&flowtable.SetupAsked == 0 {
		c.Flags |= flowtable.SetupAsked
		c.End = t.now + t.m.p.HostGrace
		t.out.add(ActSynAck)
		return
	}
	t.abort(shm.AbortHostSilent)
}
