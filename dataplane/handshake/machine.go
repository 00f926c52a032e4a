package handshake

import (
	"linecrypt/ctrlplane/eno"
	"linecrypt/ctrlplane/shm"
	"linecrypt/flowtable"
)

// Params are the times and bounds of set-up; times in ns.
type Params struct {
	Timeout    int64 // set-up as a whole, and the time that a connection which was left in the clear has to open
	AskTimeout int64 // an answer of the control plane, before it is asked whether it lives
	HostGrace  int64 // a host that was sent its SYN-ACK once more, at the end of set-up, has to answer
	HoldTime   int64 // a connection that is held until its far end is authenticated waits for that
	ENOTries   int   // SYNs sent with ENO before one goes without
}

// Bounds of the waiting for other things than the control plane, in ns.
const (
	ringRetry   = int64(50e6)  // a question that the ring had no room for
	bufferRetry = int64(100e6) // an Init message that no buffer was free for
	askLongest  = int64(2e9)   // between two repetitions of a question: one that waits longer at the control plane is given up there
	// replaceable is the age at which a SYN to a host is taken for lost, so that another one may have its place.
	replaceable = int64(1e9)
)

// Machine is the set-up of connections under the same parameters. It keeps nothing.
type Machine struct{ p Params }

// NewMachine returns a machine.
func NewMachine(p Params) *Machine { return &Machine{p: p} }

// step is one event at work.
type step struct {
	m   *Machine
	c   *Conn
	e   *Event
	s   *Segment
	now int64
	out *Actions
}

// Step changes the connection as the event wants it and says what is to be done, in order. A connection in state Free is one that
// the segment, a SYN, begins. Now is in ns of the monotonic clock.
func (m *Machine) Step(c *Conn, e *Event, now int64, out *Actions) {
	out.reset()
	t := step{m: m, c: c, e: e, s: &e.Seg, now: now, out: out}
	switch e.Kind {
	case EventSegment:
		t.segment()
	case EventReply:
		t.reply()
	case EventTimer:
		t.timer()
	case EventInit:
		t.init()
	case EventFailure:
		t.failure()
	case EventConfirm:
		t.authenticated()
	case EventRefused:
		t.refusedOnWay()
	}
}

// segment handles a segment by the connection's state.
func (t *step) segment() {
	switch t.c.State {
	case flowtable.Free:
		t.open()
	case flowtable.PlainSyn:
		t.plainOpening()
	case flowtable.Plain:
		t.plainWatched()
	case flowtable.ActiveSyn:
		t.activeSyn()
	case flowtable.ActiveAnswer:
		t.activeAnswer()
	case flowtable.ActiveInit, flowtable.ActiveKeys:
		t.activeExchange()
	case flowtable.PassiveSyn:
		t.passiveSyn()
	case flowtable.PassiveAck:
		t.passiveAck()
	case flowtable.PassiveInit, flowtable.PassiveKeys:
		t.passiveExchange()
	case flowtable.Encrypted:
		t.encrypted()
	default:
		t.out.drop(shm.DropHandshake)
	}
}

// open handles the SYN of a new connection: the verdict on it is made here, once.
func (t *step) open() {
	c, s, r := t.c, t.s, t.e.Rules
	c.Policy, c.Active = r.Policy, s.From == flowtable.Inside
	c.Since, c.End = t.now, t.now+t.m.p.Timeout
	t.learn()
	if c.Policy == flowtable.Disabled {
		// It is remembered all the same: another rule that comes later is none for it.
		c.State = flowtable.PlainSyn
		t.out.why(ActPlain, shm.PlainDisabled)
		t.out.add(ActForward)
		return
	}
	if t.e.Old && !c.Active {
		c.Flags |= flowtable.SetupOld
	}
	if c.Active {
		t.openActive()
		return
	}
	option, cause, resumed := r.judgeSYN(s, &t.e.Resume)
	if cause == CauseNone && !t.e.Alive {
		cause = ControlAway
	}
	if cause != CauseNone {
		t.leaveSYN(cause)
		return
	}
	if resumed {
		t.claim()
	}
	c.ENO[roleB] = option
	t.aware(roleB, eno.MaxOption)
	c.ENO[roleA].Set(s.ENO)
	c.State = flowtable.PassiveSyn
	t.out.add(ActForwardBare)
}

func (t *step) openActive() {
	c, s, r := t.c, t.s, t.e.Rules
	if s.ENOs > 0 && !s.Malformed {
		// The host negotiates encryption itself: the gateway keeps out of that, whatever the policy.
		c.State = flowtable.PlainSyn
		t.out.why(ActPlain, shm.PlainHostENO)
		t.out.add(ActForward)
		return
	}
	cause := r.judgeHostSYN(s)
	switch {
	case cause != CauseNone:
	case !t.e.Alive || len(r.Offer) == 0 || !c.ENO[roleA].Set(r.Offer):
		cause = ControlAway
	case t.e.Hates && c.mayDrop():
		cause = PathHatesENO
	}
	if cause != CauseNone {
		t.leaveSYN(cause)
		return
	}
	if option, ok := r.offerResuming(&t.e.Resume, t.e.Aware, s.Room); ok {
		c.ENO[roleA] = option
		t.claim()
		c.Flags &^= flowtable.SetupResume // the far end has to agree
	}
	t.aware(roleA, s.Room)
	c.State, c.Tries = flowtable.ActiveSyn, 1
	t.out.add(ActForwardENO)
}

// aware sets the application-aware bit in our own option where the application asked for it and the option may take that many bytes. A
// passive opener's does not grow by it, because it has a global suboption as it is.
func (t *step) aware(role int, room int) {
	if !t.e.Aware {
		return
	}
	var option [eno.MaxOption]byte
	t.c.ENO[role].Set(eno.AppendAware(option[:0], t.c.ENO[role].Bytes(), room))
}

// claim takes the secret to resume with. From here on no other connection does, whatever becomes of this one.
func (t *step) claim() {
	t.c.Resume = uint32(t.e.Resume.Handle)
	t.c.Flags |= flowtable.SetupResume
	t.out.add(ActClaim)
}

// learn takes from a SYN or SYN-ACK what it says of its sender.
func (t *step) learn() {
	c, s := t.c, t.s
	if s.From == flowtable.Inside {
		c.HostKnown, c.HostISN, c.HostWin = true, s.Seq, s.Win
	} else {
		c.PeerKnown, c.PeerISN = true, s.Seq
	}
	t.out.add(ActLearn)
}

// leaveSYN leaves the connection of a SYN in the clear, or refuses it as a closed port does.
func (t *step) leaveSYN(why Cause) {
	if t.c.Policy == flowtable.Require {
		t.out.why(ActRefuse, why.Refused())
		t.out.add(ActRefuseSYN)
		t.out.add(ActForget)
		return
	}
	t.plain(why, flowtable.PlainSyn)
	t.forward()
}

// forward passes a segment on of a connection that is in the clear.
func (t *step) forward() {
	if t.c.ofNoTEP(t.s) {
		t.out.add(ActForwardLean)
		return
	}
	t.out.add(ActForward)
}

// plain is the only way into the clear for a connection that set-up had begun with. The caller has seen to the policy.
func (t *step) plain(why Cause, s flowtable.State) {
	if t.c.State == flowtable.PassiveAck {
		t.c.Flags |= flowtable.SetupWatch
	}
	if t.c.State, t.c.Ask = s, 0; s == flowtable.Plain {
		t.c.End = 0
	}
	t.c.Flags &^= flowtable.SetupInit1 | flowtable.SetupUnsent
	t.out.why(ActPlain, why.Plain())
	if t.c.HasBlock {
		t.out.add(ActFreeBlock)
		t.c.HasBlock = false
	}
}

// refuse resets both ends of a connection that set-up had begun with, as far as they know of it.
func (t *step) refuse(why Cause) {
	t.out.why(ActRefuse, why.Refused())
	t.resetBoth()
	t.out.add(ActForget)
}

func (t *step) resetBoth() {
	t.out.add(ActResetHost)
	t.out.add(ActResetPeer)
}

// leave leaves a connection, whose opener is real if proven says so, in the clear and passes the segment that decided it; under policy
// require it refuses it.
func (t *step) leave(why Cause, proven bool) {
	if t.c.Policy == flowtable.Require {
		t.refuse(why)
		t.out.drop(shm.DropRefused)
		return
	}
	if !proven {
		t.plain(why, flowtable.PlainSyn)
		t.forward()
		return
	}
	t.out.add(ActEstablish)
	t.plain(why, flowtable.Plain)
	t.forward()
}

// abort ends a connection for which encryption is enabled, with RSTs to both ends.
func (t *step) abort(why shm.Counter) {
	t.out.why(ActAbort, why)
	t.out.add(ActAbortStream)
	t.out.add(ActClose)
	t.c.State, t.c.HasBlock = flowtable.Closing, false
}

// reply handles the control plane's answer to the open question.
func (t *step) reply() {
	c := t.c
	if c.Ask == 0 {
		t.out.why(ActCount, shm.RepliesStale)
		return
	}
	c.Ask = 0
	c.Flags &^= flowtable.SetupUnsent
	switch {
	case c.State == flowtable.ActiveAnswer && t.e.Reply == shm.Init1 && c.Flags&flowtable.SetupResume == 0:
		t.out.add(ActTakeInit1)
		t.startActive()
	case t.awaitsKeys() && t.e.Reply == shm.Keys:
		if c.State == flowtable.ActiveAnswer {
			t.startResumed()
		}
		keys := ActKeys
		if t.e.Hold {
			keys = ActHoldKeys
		}
		t.out.add(keys)
		if c.State == flowtable.ActiveKeys && c.Flags&flowtable.SetupResume != 0 {
			t.out.add(ActAckPeer) // with ENO: it confirms that
		}
		if t.e.Hold {
			t.hold()
			return
		}
		t.release()
	case c.State == flowtable.ActiveAnswer && (t.e.Reply == shm.Pass || t.e.Reply == shm.Refuse):
		// There is no encryption; what that means was settled when the connection began.
		t.leaveKept(ControlSaid)
	case t.e.Reply != shm.Pass && t.e.Reply != shm.Refuse && t.e.Reply != shm.Abort:
		t.out.why(ActCount, shm.RepliesBad)
		c.Ask = t.now + c.Wait
	case c.enabled():
		// Once ENO is confirmed there is no way back to plaintext (RFC 8547 section 4.6).
		t.abort(shm.AbortControlPlane)
	default:
		t.out.why(ActAbort, shm.AbortControlPlane)
		t.resetBoth()
		t.out.add(ActForget)
	}
}

// release lets the host know of a connection whose keys are in place.
func (t *step) release() {
	c := t.c
	if c.State == flowtable.ActiveKeys {
		t.out.add(ActSynAck)
		c.End = t.now + t.m.p.Timeout
	} else {
		t.out.add(ActAckHost)
		t.freeBlock()
		c.End = 0
	}
	c.State = flowtable.Encrypted
}

// freeBlock gives the block back, if there is one.
func (t *step) freeBlock() {
	if t.c.HasBlock {
		t.out.add(ActFreeBlock)
		t.c.HasBlock = false
	}
}

// hold keeps the host waiting although keys are in place: policy wants the far end authenticated first. The state stays that of set-up,
// so that segments of the host's wait and those of the far end go to the translator, which keeps what is for the host.
func (t *step) hold() {
	c := t.c
	if c.State == flowtable.PassiveKeys {
		t.freeBlock() // the last ACK needs none
	}
	c.Held, c.End = true, t.now+t.m.p.HoldTime
}

// authenticated goes on with a connection that was held.
func (t *step) authenticated() {
	if !t.c.Held {
		t.out.why(ActCount, shm.OrdersRefused)
		return
	}
	t.c.Held = false
	t.out.add(ActConfirm)
	t.release()
}

// awaitsKeys reports whether the open question is one that keys answer.
func (t *step) awaitsKeys() bool {
	switch t.c.State {
	case flowtable.ActiveKeys, flowtable.PassiveKeys:
		return true
	case flowtable.ActiveAnswer:
		return t.c.Flags&flowtable.SetupResume != 0
	}
	return false
}

// startResumed starts the translator of an active connection that resumes. There is no Init message: keys are at hand, and the ACK
// that confirms ENO is all that is sent before the host's data, which carries ENO until the far end's first non-SYN segment.
func (t *step) startResumed() {
	t.c.State, t.c.SendENO = flowtable.ActiveKeys, true
	t.out.add(ActStart)
}

// startActive sends ACK + ENO + Init1: from here on there is only encryption.
func (t *step) startActive() {
	c := t.c
	c.State, c.SendENO, c.Ask = flowtable.ActiveInit, true, 0
	c.Flags &^= flowtable.SetupInit1
	t.out.add(ActInit1)
}

// leaveKept leaves a connection in the clear whose SYN-ACK is kept, or refuses it.
func (t *step) leaveKept(why Cause) {
	if t.c.Policy == flowtable.Require {
		t.refuse(why)
		return
	}
	t.out.add(ActKept)
	t.plain(why, flowtable.Plain)
}

// init handles the far end's complete Init message.
func (t *step) init() {
	switch t.c.State {
	case flowtable.ActiveInit:
		t.c.State = flowtable.ActiveKeys
		t.ask(shm.ActiveKeys)
	case flowtable.PassiveInit:
		t.c.State = flowtable.PassiveKeys
		t.ask(shm.PassiveKeys)
	default:
		t.out.why(ActCount, shm.DropHandshake)
	}
}

// ask puts a new question.
func (t *step) ask(kind shm.RequestKind) {
	t.c.Wait = t.m.p.AskTimeout
	t.c.Ask = t.now + t.c.Wait
	t.out.ask(kind)
}

// question is the one that is open in a state.
func (c *Conn) question() shm.RequestKind {
	resumes := c.Flags&flowtable.SetupResume != 0
	switch {
	case resumes && c.State == flowtable.PassiveKeys:
		return shm.PassiveResume
	case resumes:
		return shm.ActiveResume
	case c.State == flowtable.ActiveKeys:
		return shm.ActiveKeys
	case c.State == flowtable.PassiveKeys:
		return shm.PassiveKeys
	}
	return shm.ActiveAnswer
}

// failure handles what the worker could not do for the last step.
func (t *step) failure() {
	c := t.c
	switch t.e.Failure {
	case FailRing:
		c.Flags |= flowtable.SetupUnsent
		c.Ask = t.now + ringRetry
	case FailBlock:
		// The segment comes again, and nobody has been told anything. A SYN that was answered, with ENO, did not go unanswered.
		if c.State == flowtable.ActiveSyn {
			c.Tries = 0
		}
		t.out.drop(shm.DropNoBlock)
	case FailEdit:
		if c.State == flowtable.Free {
			t.out.add(ActForget)
		}
		t.out.drop(shm.DropInternal)
	case FailPlace:
		t.noPlace()
	case FailBuffer:
		t.noBuffer()
	case FailKeys:
		// The translator has reset both ends, and counted that.
		t.out.why(ActClose, shm.AbortKeys)
		c.State, c.HasBlock = flowtable.Closing, false
	case FailLarge:
		t.giveUp(shm.AbortLargeInit)
	case FailBind:
		t.giveUp(shm.AbortShare)
	case FailClaim:
		t.e.Resume = Resumption{}
		t.out.why(ActCount, shm.ResumeLost)
		t.open()
	}
}

// noPlace handles a connection that is proven real and finds no place among the established ones.
func (t *step) noPlace() {
	c := t.c
	switch c.State {
	case flowtable.PassiveAck:
		if judgeACK(t.s, c.PeerISN, false) == ackConfirms {
			t.out.why(ActAbort, shm.AbortTableFull)
			t.resetBoth()
			t.out.add(ActForget)
			t.out.drop(shm.DropTableFull)
			return
		}
		t.unremembered(NoENOInACK)
	case flowtable.ActiveSyn:
		why, _ := t.e.Rules.judgeSynAck(c.ENO[roleA].Bytes(), t.s, &t.e.Resume)
		if why == CauseNone {
			why = TableFull
		}
		t.unremembered(why)
	default:
		// A plain connection needs no record to pass, unless policy requires one.
		if c.Policy == flowtable.Require || t.e.ByRecord {
			t.refuse(TableFull)
			t.out.drop(shm.DropRefused)
			return
		}
		t.out.add(ActForget)
		t.out.add(ActForward)
	}
}

// unremembered is leave without a record.
func (t *step) unremembered(why Cause) {
	if t.c.Policy == flowtable.Require || t.e.ByRecord {
		if t.c.Policy != flowtable.Require {
			why = TableFull
		}
		t.refuse(why)
		t.out.drop(shm.DropRefused)
		return
	}
	t.out.why(ActPlain, why.Plain())
	t.out.add(ActForget)
	t.forward()
}

// noBuffer handles an Init message that could not be sent: it is tried again until set-up is over.
func (t *step) noBuffer() {
	switch {
	case t.c.State == flowtable.ActiveAnswer && !t.awaitsKeys():
		t.c.Flags |= flowtable.SetupInit1
		t.c.Ask = t.now + bufferRetry
	case t.awaitsKeys():
		// The keys are gone with the reply: the question is put again.
		t.c.Flags |= flowtable.SetupUnsent
		t.c.Ask = t.now + bufferRetry
	}
}

// giveUp resets a connection that memory cannot be had for, or not any more.
func (t *step) giveUp(why shm.Counter) {
	if t.c.enabled() {
		t.abort(why)
		return
	}
	t.out.why(ActAbort, why)
	t.resetBoth()
	t.out.add(ActForget)
}
