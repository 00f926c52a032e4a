package responder

import (
	"bytes"
	"crypto/rand"
	"testing"

	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/flowtable"
)

func TestTwoGatewaysAgreeForEveryTEPAndAEAD(t *testing.T) {
	for _, tep := range tcpcrypt.TEPs() {
		for _, aead := range tcpcrypt.AEADs() {
			t.Run(tep.String()+"/"+aead.String(), func(t *testing.T) {
				a := newResponder(t, nil)
				b := newResponder(t, func(p *Terms) { p.TEPs, p.AEADs = []tcpcrypt.TEP{tep}, []tcpcrypt.AEAD{aead} })
				h, kb := untilInit2(t, a, b)
				ka := want(t, ask(t, a, h.activeRequest()), shm.Keys)
				checkMirrored(t, ka, kb)
				if ka.TEP != byte(tep) || ka.AEAD != uint16(aead) || h.tepByte != byte(tep) {
					t.Errorf("tep 0x%02x and 0x%02x, aead 0x%04x", ka.TEP, h.tepByte, ka.AEAD)
				}
				if n := sessions(a, flowtable.RoleA, tep, aead); n != 1 {
					t.Errorf("host A counts %d sessions", n)
				}
				if n := sessions(b, flowtable.RoleB, tep, aead); n != 1 {
					t.Errorf("host B counts %d sessions", n)
				}
			})
		}
	}
}

func checkMirrored(t *testing.T, a, b shm.Reply) {
	t.Helper()
	var zero [shm.TrafficKeySize]byte
	if a.Role != 1 || b.Role != 2 || a.TEP != b.TEP || a.AEAD != b.AEAD {
		t.Errorf("roles %d and %d, teps 0x%02x and 0x%02x, aeads %d and %d", a.Role, b.Role, a.TEP, b.TEP, a.AEAD, b.AEAD)
	}
	if a.Keys.Out != b.Keys.In || a.Keys.In != b.Keys.Out || a.Keys.Out == a.Keys.In || a.Keys.Out == zero || a.Keys.In == zero {
		t.Error("traffic keys are not mirrored")
	}
	if a.Keys.Master != b.Keys.Master || a.Keys.SessionID != b.Keys.SessionID || a.Keys.SessionID[0] != a.TEP {
		t.Error("master keys or session IDs differ")
	}
	if len(a.Init) != 0 || len(b.Init) == 0 {
		t.Errorf("init2 of %d and %d bytes", len(a.Init), len(b.Init))
	}
}

func sessions(r *Responder, role flowtable.Role, tep tcpcrypt.TEP, aead tcpcrypt.AEAD) uint64 {
	for _, c := range r.Stats().Sessions() {
		if c.Role == role && c.TEP == tep && c.AEAD == aead {
			return c.Count
		}
	}
	return 0
}

func TestKeysAreThoseOfTheKeySchedule(t *testing.T) {
	a, b := newResponder(t, nil), newResponder(t, nil)
	h, kb := untilInit2(t, a, b)
	key, reason := readSecret(h.secret, tcpcrypt.TEP(h.tepByte), h.init1)
	if reason != 0 {
		t.Fatal(reason)
	}
	s, err := tcpcrypt.AcceptInit2(key, h.tepByte, append(bytes.Clone(h.enoA), h.enoB...), h.init1, h.init2)
	if err != nil {
		t.Fatal(err)
	}
	k := s.Master.Traffic(s.AEAD, tcpcrypt.BA)
	if !bytes.Equal(kb.Keys.Out[:], append(bytes.Clone(k.Key[:]), k.NR[:]...)) || kb.Keys.SessionID != s.ID {
		t.Error("host B's sealing key or session ID is another")
	}
}

func TestEveryHandshakeStepCanBeDoneByAnotherControlPlane(t *testing.T) {
	fresh := func() *Responder { return newResponder(t, nil) }
	h := negotiated(t, fresh(), fresh())
	p := want(t, ask(t, fresh(), h.answerRequest()), shm.Init1)
	h.secret, h.init1 = p.Secret, p.Init
	kb := want(t, ask(t, fresh(), h.passiveRequest()), shm.Keys)
	h.init2 = kb.Init
	checkMirrored(t, want(t, ask(t, fresh(), h.activeRequest()), shm.Keys), kb)
}

func TestNoTwoHandshakesShareAKey(t *testing.T) {
	a, b := newResponder(t, nil), newResponder(t, nil)
	h1, k1 := untilInit2(t, a, b)
	h2, k2 := untilInit2(t, a, b)
	if bytes.Equal(h1.init1, h2.init1) || bytes.Equal(h1.secret, h2.secret) || k1.Keys.Master == k2.Keys.Master {
		t.Error("ephemeral keys are not fresh")
	}
}

func TestHandshakeUnderWayOutlivesAChangeOfPolicy(t *testing.T) {
	a, b := newResponder(t, nil), newResponder(t, nil)
	h, begun := untilInit1(t, a, b), negotiated(t, a, b)
	off := everything()
	off.Policy = flowtable.Disabled
	off.TEPs = []tcpcrypt.TEP{tcpcrypt.ECDHEP521}
	for _, r := range []*Responder{a, b} {
		if err := r.SetTerms(off); err != nil {
			t.Fatal(err)
		}
	}
	kb := want(t, ask(t, b, h.passiveRequest()), shm.Keys)
	h.init2 = kb.Init
	checkMirrored(t, want(t, ask(t, a, h.activeRequest()), shm.Keys), kb)
	want(t, ask(t, a, begun.answerRequest()), shm.Pass)
}

func TestABatchIsAnsweredInOrderAndClosedIsNot(t *testing.T) {
	r := newResponder(t, nil)
	h := untilInit1(t, r, r)
	reqs := []shm.Request{h.answerRequest(), {Kind: shm.Closed}, h.passiveRequest(), {Kind: 99}}
	for i := range reqs {
		reqs[i].Seq = uint32(i + 1)
	}
	replies := make([]shm.Reply, len(reqs))
	r.HandleBatch(reqs, replies)
	kinds := []shm.ReplyKind{shm.Init1, 0, shm.Keys, shm.Abort}
	for i, p := range replies {
		if p.Kind != kinds[i] || p.Kind != 0 && p.Seq != reqs[i].Seq {
			t.Errorf("request %d: %v, seq %d", i, p.Kind, p.Seq)
		}
	}
	if r.Stats().Requests(shm.Closed) != 1 || r.Stats().Requests(0) != 1 {
		t.Error("requests are not counted by kind")
	}
}

func TestWipedReplyHoldsNoSecret(t *testing.T) {
	a, b := newResponder(t, nil), newResponder(t, nil)
	h := untilInit1(t, a, b)
	q := h.passiveRequest()
	var p shm.Reply
	b.Handle(&q, &p)
	Wipe(&p)
	if p.Keys != (shm.KeyBlock{}) {
		t.Error("keys are left")
	}
	q = h.answerRequest()
	a.Handle(&q, &p)
	blob := p.Secret
	Wipe(&p)
	if !bytes.Equal(blob, make([]byte, len(blob))) {
		t.Error("private key is left")
	}
}

func benchmarkHandshake(b *testing.B, tep tcpcrypt.TEP) {
	p := everything()
	p.TEPs = []tcpcrypt.TEP{tep}
	r, err := New(p, rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	h := negotiated(b, r, r)
	b.ReportAllocs()
	for b.Loop() {
		var init1, kb, ka shm.Reply
		r.Handle(&shm.Request{Kind: shm.ActiveAnswer, ENOA: h.enoA, ENOB: h.enoB}, &init1)
		r.Handle(&shm.Request{Kind: shm.PassiveKeys, ENOA: h.enoA, ENOB: h.enoB, Init1: init1.Init}, &kb)
		r.Handle(&shm.Request{Kind: shm.ActiveKeys, ENOA: h.enoA, ENOB: h.enoB, Secret: init1.Secret, Init1: init1.Init, Init2: kb.Init}, &ka)
		if ka.Kind != shm.Keys {
			b.Fatal(ka.Kind, ka.Reason)
		}
	}
}

// BenchmarkHandshake measures what the control planes of both ends of one connection do.
func BenchmarkHandshake(b *testing.B) {
	for _, tep := range tcpcrypt.TEPs() {
		b.Run(tep.String(), func(b *testing.B) { benchmarkHandshake(b, tep) })
	}
}
