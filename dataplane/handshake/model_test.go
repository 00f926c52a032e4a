package handshake

import (
	"fmt"
	"slices"

	"linecrypt/ctrlplane/eno"
	"linecrypt/ctrlplane/resumption"
	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/flowtable"
)

const (
	hostISN = uint32(1000)
)

// peerISN is such that sequence numbers wrap in the first window.
var peerISN = ^uint32(0xfff)

const (
	second = int64(1e9)
)

var testParams = Params{Timeout: 30 * second, AskTimeout: second / 2, HostGrace: 3 * second, HoldTime: 10 * second, ENOTries: 2}

var (
	offerA  = []byte{eno.Kind, 3, byte(tcpcrypt.ECDHECurve25519)}
	answerB = []byte{eno.Kind, 4, 1, byte(tcpcrypt.ECDHECurve25519)}
	bare    = []byte{eno.Kind, 2}

	// testSecret is what the connection may resume, and what the far end says to it.
	testSecret = Resumption{
		Handle: 1<<12 | 1, TEP: tcpcrypt.ECDHECurve25519, Ours: resumption.Half{1, 2, 3}, Theirs: resumption.Half{4, 5, 6},
		Nonce: [8]byte{9, 9, 9, 9, 9, 9, 9, 9}, Length: 8,
	}
	resumeA      = resumeOption(testSecret.Theirs, false)
	resumeB      = resumeOption(testSecret.Theirs, true)
	resumeWrongB = resumeOption(testSecret.Ours, true)
)

// resumeOption returns a far end's option with a half and a nonce.
func resumeOption(half resumption.Half, answers bool) []byte {
	g := eno.Global{}
	if answers {
		g.Role = eno.B
	}
	b, _ := eno.Append(nil, g, tcpcrypt.AppendHalf(nil, tcpcrypt.ECDHECurve25519, half[:], []byte{7, 7, 7}))
	return b
}

func testRules(p flowtable.Policy) *Rules {
	return &Rules{
		Policy: p, Offer: offerA,
		Answer: eno.AnswerRules{Prefer: []eno.TEP{eno.TEP(tcpcrypt.ECDHECurve25519)}, Valid: Resumable},
	}
}

// model is one connection with what the world would see of it, and the rules that must hold whatever happens.
type model struct {
	c   Conn
	now int64

	enabled bool // an ACK with ENO was sent or taken
	offered bool // our SYN-ACK with ENO is out: the far end may send an Init message
	plain   int  // ActPlain so far, and so on
	refused int
	aborted int
	resets  bool // both ends were reset, as far as they know of the connection
	over    bool // the record is gone or stays only for stragglers
	started bool
	block   bool
	place   bool
	hostENO bool
	held    bool // keys are in place and the host must not know
	claimed bool // the secret to resume with is this connection's
	agreed  bool // both ends have named it
	sent    [2]flowtable.Option
}

func disposes(k ActionKind) bool { return k >= ActForward && k <= ActKeep }

// apply makes an event happen. Fails says which failures the worker meets, by action; an error is a rule that was broken.
func (m *model) apply(mach *Machine, e Event, fails map[ActionKind]Failure) error {
	var out Actions
	before, old := m.c, *m
	mach.Step(&m.c, &e, m.now, &out)
	disposed := 0
	for tries := 0; ; tries++ {
		failed := FailNone
		for _, a := range out.All() {
			if f := fails[a.Kind]; f != FailNone && f != FailRing || f == FailRing && tries == 0 && a.Kind == ActAsk {
				failed = f
				m.resets = m.resets || f == FailKeys
				break
			}
			if err := m.act(a, &before, &e); err != nil {
				return fmt.Errorf("%w: %+v from %+v led to %v", err, e.Seg, before, out.All())
			}
			if disposes(a.Kind) {
				disposed++
			}
		}
		if failed == FailNone {
			break
		}
		if tries > 2 {
			return fmt.Errorf("failure %d leads to another one for ever", failed)
		}
		if failed != FailRing {
			c := before
			*m = model{now: m.now, c: c, resets: failed == FailKeys, enabled: old.enabled, offered: old.offered, plain: m.plain, refused: m.refused, aborted: m.aborted,
				started: old.started, block: old.block, place: old.place, hostENO: old.hostENO, held: old.held,
				claimed: old.claimed, agreed: old.agreed, sent: old.sent}
			fails = nil
		}
		fe := e
		fe.Kind, fe.Failure = EventFailure, failed
		mach.Step(&m.c, &fe, m.now, &out)
	}
	if err := m.check(&before, &e, disposed); err != nil {
		return fmt.Errorf("%w: %v from %v led to %v", err, e, before, out.All())
	}
	return nil
}

// act carries an action out as far as the model goes.
func (m *model) act(a Action, before *Conn, e *Event) error {
	require := m.c.Policy == flowtable.Require
	switch a.Kind {
	case ActForwardLean:
		if s := &e.Seg; m.enabled || s.From != flowtable.Outside || s.Flags&syn == 0 || s.ENOs == 0 || m.hostENO {
			return fmt.Errorf("data is taken from a segment that is none with ENO")
		}
	case ActForward:
		if e.Kind == EventRefused {
			break // no segment, but an error about one
		}
		s := &e.Seg
		if s.From == flowtable.Outside && s.Flags&syn != 0 && s.ENOs == 1 && !s.Malformed && s.Payload > 0 && m.c.Policy != flowtable.Disabled &&
			(!m.c.Active || m.c.ENO[roleA].Len() > 0) && before.State != flowtable.Plain { // where it is open, nobody takes a SYN's data
			return fmt.Errorf("data of a SYN with ENO passes")
		}
		if m.enabled {
			return fmt.Errorf("a segment passes although encryption is enabled")
		}
		if s.From == flowtable.Inside && s.Payload > 0 && require && !m.hostENO {
			return fmt.Errorf("data of the host's passes under policy require")
		}
		if s.From == flowtable.Outside && s.Init && s.Payload > 0 && m.offered && s.Seq == m.c.PeerISN+1 && s.Flags&(syn|rst) == 0 {
			return fmt.Errorf("an Init message passes to the host")
		}
		if s.From == flowtable.Outside && s.Frames && s.Payload > 0 && m.agreed && m.offered && s.Seq == m.c.PeerISN+1 && s.Flags&(syn|rst) == 0 {
			return fmt.Errorf("frames pass to the host")
		}
		if s.From == flowtable.Outside && !s.Init && s.Payload > 0 && s.Seq == m.c.PeerISN+1 && s.Flags&(syn|rst) == 0 {
			m.offered = false // the host has other bytes in the place of one
		}
	case ActClaim:
		if m.claimed || e.Resume.Handle == 0 {
			return fmt.Errorf("a second secret is claimed, or one that nobody has seen")
		}
		m.claimed = true
	case ActForwardENO:
		m.offered = m.offered || e.Seg.synAck()
		role := roleA
		if e.Seg.synAck() {
			role = roleB
			m.agreed = m.c.Flags&flowtable.SetupResume != 0
		}
		return m.leaves(role, &e.Seg)
	case ActTranslate:
		if e.Seg.From == flowtable.Inside && m.c.State != flowtable.Encrypted {
			return fmt.Errorf("data of the host's is framed before there are keys")
		}
	case ActStart, ActInit1:
		m.started, m.enabled = true, true
	case ActBlock:
		if m.block {
			return fmt.Errorf("a second block is taken")
		}
		m.block = true
	case ActFreeBlock:
		m.block = false
	case ActEstablish:
		m.place = true
	case ActHoldKeys:
		m.held = true
		if !m.block || !e.Hold {
			return fmt.Errorf("keys are held")
		}
	case ActConfirm:
		if !m.held || e.Kind != EventConfirm {
			return fmt.Errorf("a connection that nobody has authenticated goes on")
		}
		m.held = false
	case ActAckHost:
		if m.held && !before.Active {
			return fmt.Errorf("the host gets its last ACK while it is to wait")
		}
	case ActTakeInit1, ActKeys, ActAsk, ActKeep, ActSynAck, ActKept:
		if m.held && (a.Kind == ActSynAck || a.Kind == ActKept || a.Kind == ActKeys) {
			return fmt.Errorf("action %d while the host is to wait", a.Kind)
		}
		if !m.block {
			return fmt.Errorf("action %d without a block", a.Kind)
		}
	case ActPlain:
		m.plain++
		if m.enabled || before.enabled() {
			return fmt.Errorf("plain after ENO was confirmed")
		}
		if require && a.Why != shm.PlainHostENO {
			return fmt.Errorf("plain under policy require, for %v", a.Why)
		}
		m.hostENO = a.Why == shm.PlainHostENO
	case ActRefuse:
		m.refused++
		if !require {
			return fmt.Errorf("refused although policy does not require encryption")
		}
	case ActAbort:
		m.aborted++
	case ActAbortStream:
		if !m.started {
			return fmt.Errorf("the translator aborts and was never started")
		}
		m.resets = true
	case ActResetHost, ActRefuseSYN:
		m.resets = true
	case ActForget, ActReopen:
		m.over, m.block = true, false
	case ActClose:
		m.over, m.block = true, false
	}
	return nil
}

// leaves demands of an option that goes on a host's SYN or SYN-ACK that it has room, is the same each time (RFC 8547 section 4.6), and
// names a secret only if it is this connection's.
func (m *model) leaves(role int, s *Segment) error {
	own := &m.c.ENO[role]
	if own.Len() > s.Room {
		return fmt.Errorf("an option of %d bytes in a room of %d", own.Len(), s.Room)
	}
	if m.sent[role].Len() > 0 && m.sent[role] != *own {
		return fmt.Errorf("an option that was sent is altered")
	}
	m.sent[role] = *own
	o, err := eno.Parse(own.Bytes())
	if err != nil {
		return fmt.Errorf("an option that is none: % x", own.Bytes())
	}
	for _, sub := range o.Suboptions {
		if tcpcrypt.ReadSuboption(sub).Proposal == tcpcrypt.Resume && (!m.claimed || m.c.Resume == 0) {
			return fmt.Errorf("a secret that is not claimed is named")
		}
	}
	return nil
}

// check demands what must be true after each event.
func (m *model) check(before *Conn, e *Event, disposed int) error {
	segment := e.Kind == EventSegment || e.Kind == EventRefused || e.Kind == EventFailure && disposed > 0
	if want := 1; segment && disposed != want || !segment && disposed != 0 {
		return fmt.Errorf("the segment is disposed of %d times", disposed)
	}
	if m.plain > 1 || m.refused > 1 || m.aborted > 1 || m.refused+m.aborted > 1 {
		return fmt.Errorf("%d times plain, %d refused, %d aborted", m.plain, m.refused, m.aborted)
	}
	if m.over {
		if before.enabled() && before.State != flowtable.Encrypted && !m.resets {
			return fmt.Errorf("a connection with ENO confirmed ends without a RST")
		}
		return nil
	}
	if m.block != m.c.HasBlock {
		return fmt.Errorf("block %v, and set-up believes %v", m.block, m.c.HasBlock)
	}
	if m.held != m.c.Held {
		return fmt.Errorf("held %v, and set-up believes %v", m.held, m.c.Held)
	}
	switch s := m.c.State; {
	case m.held && s != flowtable.ActiveKeys && s != flowtable.PassiveKeys:
		return fmt.Errorf("held in state %v", s)
	case s == flowtable.Free || s == flowtable.Closing:
		return fmt.Errorf("state %v, and nobody was told", s)
	case m.enabled && !m.c.enabled():
		return fmt.Errorf("ENO is confirmed, and the state is %v", s)
	case !m.c.halfOpen() && !m.place && s != flowtable.Plain:
		return fmt.Errorf("state %v without a place", s)
	case s != flowtable.Plain && (s != flowtable.Encrypted || m.c.HasBlock) && Deadline(&m.c.Setup) == 0:
		return fmt.Errorf("no timer in state %v", s)
	}
	return nil
}

// ends demands that time alone ends set-up.
func (m model) ends(mach *Machine, rules *Rules) error {
	limit := m.now + 2*testParams.Timeout + testParams.HostGrace
	for steps := 0; m.c.State != flowtable.Plain && (m.c.State != flowtable.Encrypted || m.c.HasBlock) && !m.over; steps++ {
		if m.now > limit || steps > 500 {
			return fmt.Errorf("state %v lasts for ever: %+v at %d", m.c.State, m.c, m.now)
		}
		m.now = max(m.now+1, Deadline(&m.c.Setup))
		if err := m.apply(mach, Event{Kind: EventTimer, Rules: rules, Alive: m.now%3 != 0}, nil); err != nil {
			return err
		}
	}
	return nil
}

// key is the model without absolute times, so that states can be told apart.
func (m *model) key() model {
	k := *m
	for _, t := range []*int64{&k.c.End, &k.c.Ask, &k.c.Since} {
		if *t != 0 {
			*t -= m.now
		}
	}
	k.now = 0
	return k
}

// segments is the alphabet of segments: what hosts, networks and attackers send in set-up.
func segments() []Segment {
	var all []Segment
	const room, none = 40, 0
	add := func(s Segment) {
		if len(s.ENO) > 0 && s.ENOs == 0 {
			s.ENOs = 1
		}
		if s.Win == 0 {
			s.Win = 60000
		}
		all = append(all, s)
	}
	in, out := flowtable.Inside, flowtable.Outside
	const other = uint32(777777)
	// From the host.
	add(Segment{From: in, Flags: syn, Seq: hostISN, Room: room})
	add(Segment{From: in, Flags: syn, Seq: hostISN, Room: none})
	add(Segment{From: in, Flags: syn, Seq: hostISN + other, Room: room})
	add(Segment{From: in, Flags: syn, Seq: hostISN, Room: room, Malformed: true})
	add(Segment{From: in, Flags: syn, Seq: hostISN, Room: room, Binding: true})
	add(Segment{From: in, Flags: syn, Seq: hostISN, Room: room, ENO: offerA})
	add(Segment{From: in, Flags: syn | ack, Seq: hostISN, Ack: peerISN + 1, Room: room})
	add(Segment{From: in, Flags: syn | ack, Seq: hostISN, Ack: peerISN + 1, Room: none})
	add(Segment{From: in, Flags: syn | ack, Seq: hostISN, Ack: peerISN + 1, Room: room, Binding: true})
	add(Segment{From: in, Flags: syn | ack, Seq: hostISN, Ack: peerISN + other, Room: room})
	add(Segment{From: in, Flags: ack, Seq: hostISN + 1, Ack: peerISN + 1})
	add(Segment{From: in, Flags: ack, Seq: hostISN + 1, Ack: peerISN + 1, Payload: 5})
	add(Segment{From: in, Flags: ack | fin, Seq: hostISN + other, Ack: peerISN + other, Payload: 5})
	add(Segment{From: in, Flags: rst, Seq: hostISN + 1})
	add(Segment{From: in, Flags: rst | ack, Seq: 0, Ack: peerISN + 1})
	add(Segment{From: in, Flags: rst, Seq: hostISN + other})
	add(Segment{From: in, Flags: 0, Seq: hostISN + 1, Payload: 5})
	// From the far end.
	add(Segment{From: out, Flags: syn, Seq: peerISN, ENO: offerA})
	add(Segment{From: out, Flags: syn, Seq: peerISN})
	add(Segment{From: out, Flags: syn, Seq: peerISN + other, ENO: offerA})
	add(Segment{From: out, Flags: syn, Seq: peerISN, ENO: answerB})
	add(Segment{From: out, Flags: syn, Seq: peerISN, ENO: answerB, Payload: 5})
	add(Segment{From: out, Flags: syn | ack, Seq: peerISN, Ack: hostISN + 1, ENO: offerA, Payload: 5})
	add(Segment{From: out, Flags: syn, Seq: peerISN, ENO: resumeA})
	add(Segment{From: out, Flags: syn | ack, Seq: peerISN, Ack: hostISN + 1, ENO: resumeB})
	add(Segment{From: out, Flags: syn | ack, Seq: peerISN, Ack: hostISN + 1, ENO: resumeWrongB})
	add(Segment{From: out, Flags: ack, Seq: peerISN + 1, Ack: hostISN + 1, Payload: 40, Frames: true})
	add(Segment{From: out, Flags: ack, Seq: peerISN + 1, Ack: hostISN + 1, ENO: bare, Payload: 40, Frames: true})
	add(Segment{From: in, Flags: syn, Seq: hostISN, Room: 15})
	add(Segment{From: in, Flags: syn | ack, Seq: hostISN, Ack: peerISN + 1, Room: 15})
	add(Segment{From: in, Flags: syn | ack, Seq: hostISN, Ack: peerISN + 1, Room: 10})
	add(Segment{From: out, Flags: syn, Seq: peerISN, ENO: offerA, ENOs: 2})
	add(Segment{From: out, Flags: syn, Seq: peerISN, ENO: offerA, Malformed: true})
	add(Segment{From: out, Flags: syn | ack, Seq: peerISN, Ack: hostISN + 1, ENO: answerB})
	add(Segment{From: out, Flags: syn | ack, Seq: peerISN, Ack: hostISN + 1})
	add(Segment{From: out, Flags: syn | ack, Seq: peerISN, Ack: hostISN + 1, ENO: offerA})
	add(Segment{From: out, Flags: syn | ack, Seq: peerISN, Ack: hostISN + 1, ENO: answerB, Long: true})
	add(Segment{From: out, Flags: syn | ack, Seq: peerISN + other, Ack: hostISN + other, ENO: answerB})
	add(Segment{From: out, Flags: ack, Seq: peerISN + 1, Ack: hostISN + 1})
	add(Segment{From: out, Flags: ack, Seq: peerISN + 1, Ack: hostISN + 1, ENO: bare})
	add(Segment{From: out, Flags: ack, Seq: peerISN + 1, Ack: hostISN + 1, ENO: bare, Payload: 80, Init: true})
	add(Segment{From: out, Flags: ack, Seq: peerISN + 1, Ack: hostISN + 1, Payload: 80, Init: true})
	add(Segment{From: out, Flags: ack, Seq: peerISN + 1, Ack: hostISN + 1, Payload: 80})
	add(Segment{From: out, Flags: ack, Seq: peerISN + 41, Ack: hostISN + 1, Payload: 40})
	add(Segment{From: out, Flags: ack, Seq: peerISN + other, Ack: hostISN + 1, Payload: 40})
	add(Segment{From: out, Flags: ack, Seq: peerISN + 1, Ack: hostISN + other})
	add(Segment{From: out, Flags: rst, Seq: peerISN + 1})
	add(Segment{From: out, Flags: rst | ack, Seq: 0, Ack: hostISN + 1})
	add(Segment{From: out, Flags: rst, Seq: peerISN + 40})
	add(Segment{From: out, Flags: rst, Seq: peerISN + other})
	add(Segment{From: out, Flags: fin, Seq: peerISN + 1})
	return all
}

// events is the alphabet of the exhaustive test in a state.
func events(m *model, rules *Rules, segs []Segment) []Event {
	var all []Event
	expect := [2]uint32{peerISN + 1, peerISN + 1}
	for _, s := range segs {
		e := Event{Kind: EventSegment, Seg: s, Rules: rules, Alive: true, Expect: expect}
		if m.c.Resume != 0 {
			e.Resume = testSecret
		}
		all = append(all, e)
	}
	if m.c.State == flowtable.Free {
		starts := slices.DeleteFunc(slices.Clone(all), func(e Event) bool { return !e.Seg.opens() })
		for _, e := range slices.Clone(starts) {
			e.Alive = false
			starts = append(starts, e)
			e.Alive, e.Hates, e.Old = true, true, true
			starts = append(starts, e)
			e.Hates, e.Old, e.Resume = false, false, testSecret
			starts = append(starts, e)
		}
		return starts
	}
	for _, k := range []shm.ReplyKind{shm.Init1, shm.Keys, shm.Pass, shm.Refuse, shm.Abort} {
		all = append(all, Event{Kind: EventReply, Reply: k, Rules: rules, Alive: true})
	}
	all = append(all, Event{Kind: EventReply, Reply: shm.Keys, Hold: true, Rules: rules, Alive: true}, Event{Kind: EventConfirm, Rules: rules, Alive: true})
	all = append(all, Event{Kind: EventInit, Rules: rules, Alive: true})
	for _, seq := range []uint32{hostISN, hostISN + 1} {
		all = append(all, Event{Kind: EventRefused, Seg: Segment{From: flowtable.Outside, Seq: seq}, Rules: rules, Alive: true})
	}
	for _, alive := range []bool{true, false} {
		all = append(all, Event{Kind: EventTimer, Rules: rules, Alive: alive})
	}
	if m.c.HasBlock {
		all = append(all, Event{Kind: EventFailure, Failure: FailBind, Rules: rules}, Event{Kind: EventFailure, Failure: FailLarge, Rules: rules})
	}
	return all
}
