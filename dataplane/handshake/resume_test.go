package handshake

import (
	"bytes"
	"testing"

	"linecrypt/ctrlplane/eno"
	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/flowtable"
)

// teps are all TEPs in the order of an offer, the best last.
var teps = []eno.TEP{0x22, 0x24, 0x21, 0x23}

func offering(t *testing.T, aware bool) *Rules {
	t.Helper()
	r := testRules(flowtable.Opportunistic)
	var err error
	if r.Offer, err = eno.AppendOffer(nil, eno.Offer{Global: eno.Global{Aware: aware}, TEPs: teps}); err != nil {
		t.Fatal(err)
	}
	return r
}

// TestOfferThatResumesFitsWhatAHostsSYNLeaves goes through all room there may be. A Linux SYN leaves 21 bytes, with a request for a Fast
// Open cookie 19.
func TestOfferThatResumesFitsWhatAHostsSYNLeaves(t *testing.T) {
	for _, aware := range []bool{false, true} {
		r := offering(t, aware)
		least := 12
		if aware {
			least++
		}
		for room := range 41 {
			option, ok := r.offerResuming(&testSecret, false, room)
			if ok != (room >= least+leastNonce) {
				t.Fatalf("aware %v, room %d: %v", aware, room, ok)
			}
			if !ok {
				continue
			}
			o, err := eno.Parse(option.Bytes())
			if err != nil || option.Len() > room || o.Aware() != aware || o.Role() != eno.A {
				t.Fatalf("aware %v, room %d: % x: %v", aware, room, option.Bytes(), err)
			}
			last := tcpcrypt.ReadSuboption(o.Suboptions[len(o.Suboptions)-1])
			if last.Proposal != tcpcrypt.Resume || !bytes.Equal(last.Half, testSecret.Ours[:]) || len(last.Nonce) != min(8, room-least) {
				t.Errorf("aware %v, room %d: last comes % x", aware, room, last)
			}
			if others := len(o.Suboptions) - 1; others != max(0, min(3, room-least-8)) {
				t.Errorf("aware %v, room %d: %d other TEPs are offered", aware, room, others)
			}
			if len(o.Suboptions) == 2 && o.Suboptions[0].TEP() != 0x21 {
				t.Errorf("of the others %#x is offered first, and not the best", o.Suboptions[0].TEP())
			}
		}
	}
}

// answering runs a connection of a far end's SYN with an option up to the host's SYN-ACK that leaves some room.
func answering(t *testing.T, r *Rules, option []byte, secret Resumption, room int) (Conn, *Actions) {
	t.Helper()
	var c Conn
	var out Actions
	m := NewMachine(testParams)
	m.Step(&c, &Event{Rules: r, Alive: true, Resume: secret, Seg: Segment{From: flowtable.Outside, Flags: syn, Seq: peerISN, ENO: option, ENOs: 1, Win: 60000}}, 1, &out)
	if c.State != flowtable.PassiveSyn {
		t.Fatalf("state %v behind a SYN with % x", c.State, option)
	}
	c.HostKnown, c.PeerKnown, c.HostISN, c.PeerISN, c.HostWin = true, true, hostISN, peerISN, 60000
	m.Step(&c, &Event{Rules: r, Alive: true, Seg: Segment{From: flowtable.Inside, Flags: syn | ack, Seq: hostISN, Ack: peerISN + 1, Room: room}}, 2, &out)
	return c, &out
}

// TestAnswerThatResumesFitsWhatAHostsSYNACKLeaves: a Linux SYN-ACK leaves 21 bytes, which is what the answer takes.
func TestAnswerThatResumesFitsWhatAHostsSYNACKLeaves(t *testing.T) {
	for room := range 41 {
		c, _ := answering(t, testRules(flowtable.Opportunistic), resumeA, testSecret, room)
		own := c.ENO[roleB].Bytes()
		switch {
		case room < 4:
			if c.State != flowtable.PlainSyn {
				t.Errorf("room %d: state %v", room, c.State)
			}
		case room < 13+leastNonce:
			if c.State != flowtable.PassiveAck || c.Resume != 0 || c.Flags&flowtable.SetupResume != 0 || !bytes.Equal(own, answerB) {
				t.Errorf("room %d: % x in state %v, secret %x", room, own, c.State, c.Resume)
			}
		default:
			want, _ := eno.Append(nil, eno.Global{Role: eno.B}, testSecret.suboption(min(8, room-13)))
			if c.State != flowtable.PassiveAck || c.Resume == 0 || c.Flags&flowtable.SetupResume == 0 || !bytes.Equal(own, want) {
				t.Errorf("room %d: % x in state %v", room, own, c.State)
			}
		}
	}
}

func TestWhatIsNotKnownIsAnsweredByAFreshKeyExchange(t *testing.T) {
	other := testSecret
	other.Theirs[0]++
	otherTEP, _ := eno.Append(nil, eno.Global{}, eno.Suboption{byte(testSecret.TEP)}, tcpcrypt.AppendHalf(nil, tcpcrypt.ECDHEP256, testSecret.Theirs[:], nil))
	for name, c := range map[string]struct {
		option []byte
		secret Resumption
	}{
		"nothing known":            {resumeA, Resumption{}},
		"another secret":           {resumeA, other},
		"data shorter than a half": {[]byte{eno.Kind, 8, 0xa3, 1, 2, 3, 4, 5}, testSecret},
		"no offer to resume":       {offerA, testSecret},
		"its half by another TEP":  {otherTEP, testSecret},
		"v = 1 and no data":        {[]byte{eno.Kind, 3, 0xa3}, testSecret},
	} {
		got, _ := answering(t, testRules(flowtable.Opportunistic), c.option, c.secret, 40)
		if got.Resume != 0 || got.Flags&flowtable.SetupResume != 0 || !bytes.Equal(got.ENO[roleB].Bytes(), answerB) {
			t.Errorf("%s: answered by % x, secret %x", name, got.ENO[roleB].Bytes(), got.Resume)
		}
	}
}

// offeringSYN runs a connection up to a SYN that offers to resume.
func offeringSYN(t *testing.T, m *Machine, r *Rules) Conn {
	t.Helper()
	var c Conn
	var out Actions
	m.Step(&c, &Event{Rules: r, Alive: true, Resume: testSecret, Seg: Segment{From: flowtable.Inside, Flags: syn, Seq: hostISN, Room: 21}}, 1, &out)
	if c.State != flowtable.ActiveSyn || c.Resume != uint32(testSecret.Handle) || out.All()[1].Kind != ActClaim {
		t.Fatalf("state %v, secret %x, actions %v", c.State, c.Resume, out.All())
	}
	c.HostKnown, c.HostISN, c.HostWin = true, hostISN, 60000
	return c
}

func TestFarEndsAnswerToAnOfferDecides(t *testing.T) {
	wrongTEP, _ := eno.Append(nil, eno.Global{Role: eno.B}, tcpcrypt.AppendHalf(nil, tcpcrypt.ECDHEP256, testSecret.Theirs[:], nil))
	for name, c := range map[string]struct {
		option []byte
		state  flowtable.State
		asks   shm.RequestKind
		missed bool
	}{
		"the other half":                    {resumeB, flowtable.ActiveAnswer, shm.ActiveResume, false},
		"a fresh key exchange":              {answerB, flowtable.ActiveAnswer, shm.ActiveAnswer, true},
		"a half of another secret (3.5)":    {resumeWrongB, flowtable.Plain, 0, false},
		"another TEP":                       {wrongTEP, flowtable.Plain, 0, false},
		"no option":                         {nil, flowtable.Plain, 0, false},
		"our own option comes back":         {resumeA, flowtable.Plain, 0, false},
		"v = 1 and no data: a fresh (3.5)":  {[]byte{eno.Kind, 4, 1, 0xa3}, flowtable.ActiveAnswer, shm.ActiveAnswer, true},
		"v = 1 and less than a half: fresh": {[]byte{eno.Kind, 7, 1, 0xa3, 1, 2, 3}, flowtable.ActiveAnswer, shm.ActiveAnswer, true},
	} {
		m, r := NewMachine(testParams), offering(t, false)
		conn := offeringSYN(t, m, r)
		var out Actions
		s := Segment{From: flowtable.Outside, Flags: syn | ack, Seq: peerISN, Ack: hostISN + 1, ENO: c.option, ENOs: uint8(min(len(c.option), 1)), Win: 60000}
		m.Step(&conn, &Event{Rules: r, Alive: true, Resume: testSecret, Seg: s}, 2, &out)
		asks, missed, disowned := shm.RequestKind(0), false, false
		for _, a := range out.All() {
			if a.Kind == ActAsk {
				asks = a.Ask
			}
			missed = missed || a.Kind == ActCount && a.Why == shm.ResumeMissed
			disowned = disowned || a.Kind == ActDisown
		}
		if conn.State != c.state || asks != c.asks || missed != c.missed {
			t.Errorf("%s: state %v, asks %v, missed %v", name, conn.State, asks, missed)
		}
		if disowned != (c.state == flowtable.Plain || c.missed) {
			t.Errorf("%s: disowned %v in state %v", name, disowned, conn.State)
		}
	}
}

func TestResumedConnectionSendsAllSegmentsWithENOUntilOneComesBack(t *testing.T) {
	m, r := NewMachine(testParams), offering(t, false)
	c := offeringSYN(t, m, r)
	var out Actions
	step := func(e Event) {
		e.Rules, e.Alive, e.Resume = r, true, testSecret
		m.Step(&c, &e, 3, &out)
	}
	step(Event{Seg: Segment{From: flowtable.Outside, Flags: syn | ack, Seq: peerISN, Ack: hostISN + 1, ENO: resumeB, ENOs: 1, Win: 60000}})
	c.PeerKnown, c.PeerISN = true, peerISN
	step(Event{Kind: EventReply, Reply: shm.Keys})
	kinds := []ActionKind{ActStart, ActKeys, ActAckPeer, ActSynAck}
	for i, a := range out.All() {
		if i >= len(kinds) || a.Kind != kinds[i] {
			t.Fatalf("keys lead to %v", out.All())
		}
	}
	if c.State != flowtable.Encrypted || !c.carriesENO() {
		t.Fatalf("state %v, ENO %v", c.State, c.carriesENO())
	}
	for name, s := range map[string]Segment{
		"a SYN-ACK again":         {From: flowtable.Outside, Flags: syn | ack, Seq: peerISN, Ack: hostISN + 1, ENO: resumeB, ENOs: 1},
		"the host's data":         {From: flowtable.Inside, Flags: ack, Seq: hostISN + 1, Ack: peerISN + 1, Payload: 9},
		"an older acknowledgment": {From: flowtable.Outside, Flags: ack, Seq: peerISN + 1, Ack: hostISN},
		"one out of the window":   {From: flowtable.Outside, Flags: ack, Seq: peerISN - 5, Ack: hostISN + 1},
	} {
		if step(Event{Seg: s}); !c.carriesENO() {
			t.Errorf("%s takes ENO off", name)
		}
	}
	if step(Event{Seg: Segment{From: flowtable.Outside, Flags: ack, Seq: peerISN + 1, Ack: hostISN + 1}}); c.carriesENO() {
		t.Error("a segment without SYN does not")
	}
}

func TestFramesWithoutTheirENOOptionNeverReachTheHost(t *testing.T) {
	for name, s := range map[string]Segment{
		"in the first ACK":   {From: flowtable.Outside, Flags: ack, Seq: peerISN + 1, Ack: hostISN + 1, Payload: 40, Frames: true},
		"behind a plain ACK": {From: flowtable.Outside, Flags: ack, Seq: peerISN + 1, Ack: hostISN + 1},
	} {
		c, out := answering(t, testRules(flowtable.Opportunistic), resumeA, testSecret, 40)
		m := NewMachine(testParams)
		m.Step(&c, &Event{Rules: testRules(flowtable.Opportunistic), Alive: true, Seg: s}, 3, out)
		if s.Payload == 0 {
			if c.State != flowtable.Plain {
				t.Fatalf("state %v behind an ACK without ENO", c.State)
			}
			m.Step(&c, &Event{Rules: testRules(flowtable.Opportunistic), Alive: true, Seg: Segment{
				From: flowtable.Outside, Flags: ack, Seq: peerISN + 1, Ack: hostISN + 1, Payload: 40, Frames: true}}, 4, out)
		}
		if c.State != flowtable.Closing || out.All()[0].Why != shm.AbortInitWithoutENO {
			t.Errorf("%s: state %v, actions %v", name, c.State, out.All())
		}
	}
}

// Who configures less than the least nonce has the whole of it, or none.
func TestNonceThatIsConfiguredToBeShortNeedsLittleRoom(t *testing.T) {
	short := testSecret
	short.Length = 1
	for room := range 20 {
		option, ok := offering(t, false).offerResuming(&short, false, room)
		if ok != (room >= resumeLeast+1) {
			t.Fatalf("room %d: %v", room, ok)
		}
		if !ok {
			continue
		}
		o, err := eno.Parse(option.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if last := tcpcrypt.ReadSuboption(o.Suboptions[len(o.Suboptions)-1]); len(last.Nonce) != 1 {
			t.Errorf("room %d: the nonce is % x", room, last.Nonce)
		}
	}
}
