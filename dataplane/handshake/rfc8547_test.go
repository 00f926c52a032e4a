package handshake

import (
	"bytes"
	"testing"

	"linecrypt/ctrlplane/eno"
	"linecrypt/ctrlplane/shm"
	"linecrypt/flowtable"
)

func option(b ...byte) []byte { return append([]byte{eno.Kind, byte(2 + len(b))}, b...) }

// TestSection46 goes through the rules of RFC 8547 section 4.6, and those of the sections that it refers to.
func TestSection46(t *testing.T) {
	aware := testRules(flowtable.Opportunistic)
	aware.Answer.Aware, aware.Answer.RequireAware = true, true
	optional := testRules(flowtable.Opportunistic)
	optional.Answer.Aware = true
	syn4 := func(e ...byte) Segment {
		return Segment{From: flowtable.Outside, Flags: syn, Seq: peerISN, ENO: e, ENOs: 1}
	}
	reply := func(e ...byte) Segment {
		return Segment{From: flowtable.Outside, Flags: syn | ack, Seq: peerISN, Ack: hostISN + 1, ENO: e, ENOs: 1}
	}
	change := func(s Segment, f func(s *Segment)) Segment { f(&s); return s }
	for _, c := range []struct {
		rule  string
		rules *Rules
		seg   Segment
		want  Cause
	}{
		{rule: "a SYN with a valid TEP is answered", seg: syn4(option(0x23)...)},
		{rule: "rule 1: a SYN without ENO", seg: Segment{From: flowtable.Outside, Flags: syn, Seq: peerISN}, want: NoENOInSYN},
		{rule: "rule 1: an ill-formed option in a SYN, its length", seg: syn4(eno.Kind, 4, 0x23), want: BadENO},
		{rule: "rule 1: an ill-formed option in a SYN, data beyond its end", seg: syn4(option(0x85, 0xa3, 1)...), want: BadENO},
		{rule: "rule 1: an ill-formed option in a SYN, a length byte without TEP", seg: syn4(option(0x80, 0x23, 1)...), want: BadENO},
		{rule: "4.1: several options count as none", seg: change(syn4(option(0x23)...), func(s *Segment) { s.ENOs = 2 }), want: SeveralENO},
		{rule: "rule 2: no valid TEP in a SYN", seg: syn4(option(0x7f)...), want: NoCommonTEP},
		{rule: "rule 2: a vacuous option", seg: syn4(option()...), want: NoCommonTEP},
		{rule: "rule 2: a SYN that repeats its TEP", seg: syn4(option(0x23, 0x23)...), want: NoCommonTEP},
		{rule: "rule 2: a SYN with data that is no session's", seg: syn4(option(append([]byte{0xa3}, make([]byte, 18)...)...)...), want: NoCommonTEP},
		{rule: "4.2: reserved bits in a SYN are ignored", seg: syn4(option(0x1c, 0x23)...)},
		{rule: "rule 3: both set b = 1", seg: syn4(option(0x01, 0x23)...), want: SameRole},
		{rule: "rule 3: a = 0 where it is mandatory", rules: aware, seg: syn4(option(0x23)...), want: NotAware},
		{rule: "rule 3: a = 1 where it is mandatory", rules: aware, seg: syn4(option(0x02, 0x23)...)},
		{rule: "4.2: a = 0 where we set a = 1 but do not demand it", rules: optional, seg: syn4(option(0x23)...)},
		{rule: "options that cannot be walked", seg: change(syn4(option(0x23)...), func(s *Segment) { s.Malformed = true }), want: MalformedOptions},
		{rule: "options that bind the stream", seg: change(syn4(option(0x23)...), func(s *Segment) { s.Binding = true }), want: BindingOptions},

		{rule: "a SYN-ACK with a valid TEP goes on", seg: reply(option(0x01, 0x23)...)},
		{rule: "rule 1: a SYN-ACK without ENO", seg: change(reply(), func(s *Segment) { s.ENOs = 0 }), want: NoENOInSynAck},
		{rule: "rule 1: an ill-formed option in a SYN-ACK", seg: reply(eno.Kind, 9, 1, 0x23), want: BadENO},
		{rule: "rule 1: an ill-formed option in a SYN-ACK, data beyond its end", seg: reply(option(0x01, 0x80)...), want: BadENO},
		{rule: "4.1: several options in a SYN-ACK", seg: change(reply(option(0x01, 0x23)...), func(s *Segment) { s.ENOs = 3 }), want: SeveralENO},
		{rule: "rule 2: a SYN-ACK with a TEP that was not offered", seg: reply(option(0x01, 0x22)...), want: NoCommonTEP},
		{rule: "rule 2: a vacuous SYN-ACK", seg: reply(option(0x01)...), want: NoCommonTEP},
		{rule: "rule 2: a SYN-ACK that repeats its TEP", seg: reply(option(0x01, 0x23, 0x23)...), want: NoCommonTEP},
		{rule: "rule 2: a SYN-ACK that resumes what was not offered", seg: reply(option(0x01, 0xa3, 1, 2, 3, 4, 5, 6, 7, 8, 9)...), want: NoCommonTEP},
		{rule: "4.2: reserved bits in a SYN-ACK are ignored", seg: reply(option(0x1d, 0x23)...)},
		{rule: "rule 3: both set b = 0", seg: reply(option(0x23)...), want: SameRole},
		{rule: "rule 3: a SYN-ACK with a = 0", rules: aware, seg: reply(option(0x01, 0x23)...), want: NotAware},
		{rule: "rule 3: a SYN-ACK with a = 1", rules: aware, seg: reply(option(0x03, 0x23)...)},
		{rule: "our own option comes back (a middlebox that echoes)", seg: reply(offerA...), want: SameRole},
	} {
		t.Run(c.rule, func(t *testing.T) {
			r := c.rules
			if r == nil {
				r = testRules(flowtable.Opportunistic)
			}
			for range 2 { // the second time from memory
				got := Cause(0)
				if c.seg.opens() {
					var own flowtable.Option
					if own, got, _ = r.judgeSYN(&c.seg, new(Resumption)); got == CauseNone && (own.Len() < 4 || own.Bytes()[2]&1 != 1) {
						t.Errorf("the answer % x has no b = 1", own.Bytes())
					}
				} else {
					got, _ = r.judgeSynAck(offerA, &c.seg, new(Resumption))
				}
				if got != c.want {
					t.Errorf("%v, not %v", got.Plain(), c.want.Plain())
				}
			}
		})
	}
	for _, c := range []struct {
		rule string
		seg  Segment
		want ackMeans
	}{
		{"an ACK with ENO enables encryption", Segment{Flags: ack, Seq: peerISN + 1, ENO: bare, ENOs: 1}, ackConfirms},
		{"whatever the option's content", Segment{Flags: ack, Seq: peerISN + 1, ENO: option(1, 2, 3), ENOs: 1, Payload: 5}, ackConfirms},
		{"rule 1: the first ACK without ENO", Segment{Flags: ack, Seq: peerISN + 1}, ackWithout},
		{"rule 1: with data too", Segment{Flags: ack, Seq: peerISN + 1, Payload: 5}, ackWithout},
		{"an Init message without ENO", Segment{Flags: ack, Seq: peerISN + 1, Payload: 80, Init: true}, ackStripped},
		{"data that is not the first", Segment{Flags: ack, Seq: peerISN + 41, Payload: 40}, ackUnclear},
	} {
		if got := judgeACK(&c.seg, peerISN, false); got != c.want {
			t.Errorf("%s: %d, not %d", c.rule, got, c.want)
		}
	}
}

func TestHostsAreOfferedWhatTheirOptionsHaveRoomFor(t *testing.T) {
	r := testRules(flowtable.Opportunistic)
	for _, c := range []struct {
		seg         Segment
		syn, synAck Cause
	}{
		{Segment{Room: 3}, CauseNone, NoOptionRoom},
		{Segment{Room: 4}, CauseNone, CauseNone},
		{Segment{Room: 2}, NoOptionRoom, NoOptionRoom},
		{Segment{Room: 40, Binding: true}, BindingOptions, BindingOptions},
		{Segment{Room: 40, Malformed: true}, MalformedOptions, MalformedOptions},
		{Segment{Room: 40, ENOs: 1}, CauseNone, BindingOptions},
	} {
		if a, b := r.judgeHostSYN(&c.seg), judgeHostReply(answerB, &c.seg); a != c.syn || b != c.synAck {
			t.Errorf("%+v: %d and %d, not %d and %d", c.seg, a, b, c.syn, c.synAck)
		}
	}
}

func TestAnAnswerThatWasGivenBeforeCostsNoMemory(t *testing.T) {
	r := testRules(flowtable.Opportunistic)
	s := Segment{From: flowtable.Outside, Flags: syn, ENO: option(0x23, 0x21), ENOs: 1}
	var none Resumption
	first, _, _ := r.judgeSYN(&s, &none)
	if n := testing.AllocsPerRun(100, func() { r.judgeSYN(&s, &none) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	for i := range byte(40) { // others take the places
		r.judgeSYN(&Segment{From: flowtable.Outside, Flags: syn, ENO: option(0x23, 0x30+i), ENOs: 1}, &none)
	}
	if again, cause, _ := r.judgeSYN(&s, &none); cause != CauseNone || !bytes.Equal(first.Bytes(), again.Bytes()) {
		t.Error("another answer")
	}
}

func TestApplicationsBitGoesIntoBothRolesOptionsWhereThereIsRoom(t *testing.T) {
	m := NewMachine(testParams)
	for _, c := range []struct {
		name string
		seg  Segment
		role int
		want []byte
	}{
		{"opener", Segment{From: flowtable.Inside, Flags: syn, Seq: hostISN, Room: 40}, roleA, option(2, 0x23)},
		{"opener without room for it", Segment{From: flowtable.Inside, Flags: syn, Seq: hostISN, Room: 3}, roleA, offerA},
		{"listener", Segment{From: flowtable.Outside, Flags: syn, Seq: peerISN, ENO: offerA, ENOs: 1}, roleB, option(3, 0x23)},
	} {
		for _, aware := range []bool{false, true} {
			var conn Conn
			var out Actions
			m.Step(&conn, &Event{Kind: EventSegment, Seg: c.seg, Rules: testRules(flowtable.Opportunistic), Alive: true, Aware: aware}, 1, &out)
			want := c.want
			if !aware {
				want = [2][]byte{offerA, answerB}[c.role]
			}
			if got := conn.ENO[c.role].Bytes(); !bytes.Equal(got, want) {
				t.Errorf("%s, aware %t: % x, not % x", c.name, aware, got, want)
			}
		}
	}
}

func TestEveryCauseHasItsCounters(t *testing.T) {
	table := shm.NewTable()
	for c := NoENOInSYN; c < numCauses; c++ {
		plain, refused := table.Info(c.Plain()), table.Info(c.Refused())
		if plain.Kind != shm.KindPlain || refused.Kind != shm.KindRefusal || plain.Name[len("plain_"):] != refused.Name[len("refused_"):] {
			t.Errorf("cause %d is counted as %s and %s", c, plain.Name, refused.Name)
		}
	}
	if NoENOInSYN.Plain() != shm.PlainNoENOInSyn || LongHeaders.Plain() != shm.PlainLongHeaders || numCauses-1 != LongHeaders {
		t.Error("causes and counters are not in one order")
	}
}

func TestSYNsGoWithoutENOOnlyAsSection46Allows(t *testing.T) {
	for policy, want := range map[flowtable.Policy]bool{flowtable.Opportunistic: true, flowtable.Require: false} {
		if c := (&Conn{Policy: policy}); c.mayDrop() != want {
			t.Errorf("policy %v", policy)
		}
	}
	c := Conn{SendENO: true}
	for s := flowtable.Free; s < flowtable.NumStates; s++ {
		c.State = s
		if want := s == flowtable.ActiveInit || s == flowtable.ActiveKeys || s == flowtable.Encrypted; c.carriesENO() != want {
			t.Errorf("state %v: our segments carry ENO: %v", s, !want)
		}
	}
}
