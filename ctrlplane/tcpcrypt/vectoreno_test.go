package tcpcrypt_test

import (
	"bytes"
	"testing"

	"linecrypt/ctrlplane/eno"
	. "linecrypt/ctrlplane/tcpcrypt"
)

// rebuilt builds a SYN-form option anew from what Parse told of it.
func rebuilt(t *testing.T, raw []byte, subs ...eno.Suboption) []byte {
	t.Helper()
	o := must[eno.Option](t)(eno.Parse(raw))
	g := eno.Global{Role: o.Role(), Aware: o.Aware(), Explicit: o.Explicit}
	return must[[]byte](t)(eno.Append(nil, g, subs...))
}

func TestVectorENOOptionsNegotiateTheTEP(t *testing.T) {
	forEachVector(t, func(t *testing.T, c vectorCase) {
		tep := eno.TEP(*c.TEP)
		for _, raw := range [][]byte{c.ENOA, c.ENOB} {
			o := must[eno.Option](t)(eno.Parse(raw))
			equal(t, "option built anew", rebuilt(t, raw, o.Suboptions...), raw)
			equal(t, "option found", must[[]byte](t)(eno.FindSYN(append([]byte{2, 4, 5, 180, 1}, raw...))), raw)
		}
		valid := func(a, b []byte) bool { return ValidSuboptions(a, b, nil) }
		atA, err := eno.Negotiate(c.ENOA, c.ENOB, eno.Rules{Opener: eno.Active, Valid: valid})
		if err != nil || atA.TEP != tep || atA.Role != eno.A || atA.B[0] != c.SessionID[0] {
			t.Errorf("at A: %+v, %v", atA, err)
		}
		atB, err := eno.Negotiate(c.ENOB, c.ENOA, eno.Rules{Opener: eno.Passive, Valid: valid})
		if err != nil || atB.TEP != tep || atB.Role != eno.B {
			t.Errorf("at B: %+v, %v", atB, err)
		}
		equal(t, "transcript at A", eno.AppendTranscript(nil, atA.Role, c.ENOA, c.ENOB), c.Transcript)
		equal(t, "transcript at B", eno.AppendTranscript(nil, atB.Role, c.ENOB, c.ENOA), c.Transcript)
		answer, n, err := eno.Answer(nil, c.ENOA, eno.AnswerRules{Prefer: []eno.TEP{tep}, Valid: valid})
		if err != nil || n.TEP != tep || !bytes.Equal(answer, c.ENOB) {
			t.Errorf("answered %x, %+v, %v, want %x", answer, n, err, []byte(c.ENOB))
		}
	})
}

func TestVectorResumptionSuboptionsNegotiateResumption(t *testing.T) {
	forEachVector(t, func(t *testing.T, c vectorCase) {
		for _, v := range c.Resumed {
			id := [ResumeIDLen]byte(v.Resume)
			fromA := AppendResume(nil, TEP(*c.TEP), id, AB, v.NonceA)
			fromB := AppendResume(nil, TEP(*c.TEP), id, BA, v.NonceB)
			equal(t, "option from original A", rebuilt(t, v.FromA, fromA), v.FromA)
			equal(t, "option from original B", rebuilt(t, v.FromB, fromB), v.FromB)
			resumes := func(a, b Suboption) bool {
				first, second := id[:ResumeHalfLen], id[ResumeHalfLen:]
				return bytes.Equal(a.Half, first) && bytes.Equal(b.Half, second) || bytes.Equal(a.Half, second) && bytes.Equal(b.Half, first)
			}
			rules := eno.Rules{Valid: func(a, b []byte) bool { return ValidSuboptions(a, b, resumes) }}
			for _, pair := range [][2][]byte{{v.FromA, v.FromB}, {v.FromB, v.FromA}} {
				n, err := eno.Negotiate(pair[0], pair[1], rules)
				if err != nil || n.TEP != eno.TEP(*c.TEP) || !n.B.V() || n.B[0] != v.SessionID[0] {
					t.Errorf("negotiated %+v, %v", n, err)
				}
			}
			if _, err := eno.Negotiate(v.FromA, v.FromB, eno.Rules{Valid: func(a, b []byte) bool { return ValidSuboptions(a, b, nil) }}); eno.ReasonOf(err) != eno.InvalidData {
				t.Errorf("resumed without the secret: %v", err)
			}
		}
	})
}
