package responder

import (
	"testing"
	"time"
	"unsafe"

	"linecrypt/ctrlplane/eno"
	"linecrypt/ctrlplane/resumption"
	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/flowtable"
)

// end is one gateway's control plane with what its workers see of the secrets.
type end struct {
	*Responder
	table *resumption.Table
	k     flowtable.Key
	flows uint32
}

func newEnd(t testing.TB, inside, outside byte, change func(*Terms)) *end {
	t.Helper()
	const capacity = 256
	words := make([]uint64, resumption.Size(capacity)/8)
	mem := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(words))), 8*len(words))
	if err := resumption.Format(mem, capacity); err != nil {
		t.Fatal(err)
	}
	table, err := resumption.Attach(mem, capacity)
	if err != nil {
		t.Fatal(err)
	}
	e := &end{Responder: newResponder(t, func(p *Terms) {
		p.Resume = true
		if change != nil {
			change(p)
		}
	}), table: table}
	e.k.Inside[15], e.k.Outside[15] = inside, outside
	e.restart()
	return e
}

// restart is another control plane on the same segment.
func (e *end) restart() {
	e.SetCache(resumption.NewCache(e.table, time.Hour), func() int64 { return 1e9 })
}

// fresh runs a key exchange that a opens and b answers.
func fresh(t testing.TB, a, b *end) (ka, kb shm.Reply) {
	t.Helper()
	h := negotiated(t, a.Responder, b.Responder)
	p := want(t, a.ask(t, h.answerRequest()), shm.Init1)
	h.secret, h.init1 = p.Secret, p.Init
	kb = want(t, b.ask(t, h.passiveRequest()), shm.Keys)
	h.init2 = kb.Init
	return want(t, a.ask(t, h.activeRequest()), shm.Keys), kb
}

// ask asks about the end's latest connection.
func (e *end) ask(t testing.TB, q shm.Request) shm.Reply {
	t.Helper()
	q.Tuple = e.k
	if q.Kind == shm.ActiveAnswer || q.Kind == shm.PassiveKeys {
		e.flows++
	}
	q.Ref = shm.FlowRef{Index: flowtable.Index(e.flows), Gen: 1}
	var p shm.Reply
	e.Handle(&q, &p)
	return p
}

// take claims what an end may open with, or answer a half with.
func (e *end) take(t testing.TB, half []byte) (resumption.Candidate, shm.FlowRef) {
	t.Helper()
	e.flows++
	c, ok := e.table.FindPair(&e.k, 2e9, func(tcpcrypt.TEP, tcpcrypt.AEAD) bool { return true })
	if half != nil {
		c, ok = e.table.FindHalf(half, 2e9)
	}
	ref := shm.FlowRef{Index: flowtable.Index(e.flows), Gen: 1}
	if !ok || !e.table.Claim(c.Handle, resumption.Flow(ref)) {
		t.Fatal("nothing to resume")
	}
	return c, ref
}

// handshakeOf makes the requests of a connection that a opens and b answers.
func handshakeOf(t testing.TB, a, b *end, nonces [2]int) (qa, qb shm.Request) {
	t.Helper()
	ca, ra := a.take(t, nil)
	cb, rb := b.take(t, ca.Ours[:])
	nonce := []byte("abcdefgh")
	enoA, err := eno.AppendOffer(nil, eno.Offer{TEPs: []eno.TEP{0x21}, Resume: tcpcrypt.AppendHalf(nil, ca.TEP, ca.Ours[:], nonce[:nonces[0]])})
	if err != nil {
		t.Fatal(err)
	}
	enoB, err := eno.Append(nil, eno.Global{Role: eno.B}, tcpcrypt.AppendHalf(nil, cb.TEP, cb.Ours[:], nonce[8-nonces[1]:]))
	if err != nil {
		t.Fatal(err)
	}
	qa = shm.Request{Kind: shm.ActiveResume, Ref: ra, Tuple: a.k, ENOA: enoA, ENOB: enoB, Resume: ca.Handle}
	qb = shm.Request{Kind: shm.PassiveResume, Ref: rb, Tuple: b.k, ENOA: enoA, ENOB: enoB, Resume: cb.Handle}
	return qa, qb
}

func handle(e *end, q shm.Request) (p shm.Reply) {
	e.Handle(&q, &p)
	return p
}

func TestResumedSessionsAgreeWhoeverOpensThem(t *testing.T) {
	for _, tep := range tcpcrypt.TEPs() {
		for _, aead := range tcpcrypt.AEADs() {
			a := newEnd(t, 1, 2, nil)
			b := newEnd(t, 2, 1, func(p *Terms) { p.TEPs, p.AEADs = []tcpcrypt.TEP{tep}, []tcpcrypt.AEAD{aead} })
			first, _ := fresh(t, a, b)
			seen := map[[33]byte]bool{first.Keys.SessionID: true}
			for i, n := range [][2]int{{8, 8}, {0, 8}, {8, 0}, {0, 0}, {3, 5}, {8, 8}} {
				opener, answerer := a, b
				if i%3 == 1 {
					opener, answerer = b, a
				}
				if i == 4 {
					a.restart()
					b.restart()
				}
				qo, qa := handshakeOf(t, opener, answerer, n)
				po, pa := want(t, handle(opener, qo), shm.Keys), want(t, handle(answerer, qa), shm.Keys)
				if po.Keys.Master != pa.Keys.Master || po.Keys.SessionID != pa.Keys.SessionID || po.Keys.SessionID[0] != byte(tep)|0x80 {
					t.Fatalf("%v, %v, connection %d: the ends do not agree", tep, aead, i)
				}
				if !po.Resumed || !pa.Resumed || po.Role != eno.A || pa.Role != eno.B || po.AEAD != uint16(aead) || po.SendsBA == pa.SendsBA {
					t.Fatalf("%v, %v, connection %d: %+v and %+v", tep, aead, i, po, pa)
				}
				// Which keys an end seals with depends on its role in the first session alone.
				if po.SendsBA != (opener == b) {
					t.Errorf("%v, %v, connection %d: its opener seals with k_ba: %v", tep, aead, i, po.SendsBA)
				}
				if seen[po.Keys.SessionID] {
					t.Fatal("a session ID comes twice")
				}
				seen[po.Keys.SessionID] = true
				again := want(t, handle(opener, qo), shm.Keys)
				if again.Keys != po.Keys {
					t.Error("a second answer has other keys")
				}
			}
			if n := a.Stats().Resumed(eno.A) + a.Stats().Resumed(eno.B); n < 6 {
				t.Errorf("%d are counted", n)
			}
		}
	}
}

func TestKeysOfTheSameSessionAskedAgainLeaveOneSecret(t *testing.T) {
	a, b := newEnd(t, 1, 2, nil), newEnd(t, 2, 1, nil)
	h := negotiated(t, a.Responder, b.Responder)
	p := want(t, a.ask(t, h.answerRequest()), shm.Init1)
	h.secret, h.init1 = p.Secret, p.Init
	h.init2 = want(t, b.ask(t, h.passiveRequest()), shm.Keys).Init
	q := h.activeRequest()
	want(t, a.ask(t, q), shm.Keys)
	a.take(t, nil)
	q.Again = true
	a.flows--
	want(t, a.ask(t, q), shm.Keys)
	if _, ok := a.table.FindPair(&a.k, 2e9, func(tcpcrypt.TEP, tcpcrypt.AEAD) bool { return true }); ok {
		t.Error("a secret that was claimed is on offer once more")
	}
}

func TestWhatCannotBeResumedIsAFallbackBeforeTheConfirmationAndAnAbortBehindIt(t *testing.T) {
	for name, change := range map[string]func(q *shm.Request){
		"another connection":       func(q *shm.Request) { q.Ref.Gen++ },
		"another secret":           func(q *shm.Request) { q.Resume += 1 << 12 },
		"an older secret":          func(q *shm.Request) { q.Resume-- },
		"no slot at all":           func(q *shm.Request) { q.Resume = 1<<31 | 1 },
		"host A's half is altered": func(q *shm.Request) { q.ENOA[6] ^= 1 },
		"host B's half is altered": func(q *shm.Request) { q.ENOB[6] ^= 1 },
		"host B wants a fresh one": func(q *shm.Request) { q.ENOB = []byte{eno.Kind, 4, 1, 0x23} },
	} {
		a, b := newEnd(t, 1, 2, nil), newEnd(t, 2, 1, nil)
		fresh(t, a, b)
		qa, qb := handshakeOf(t, a, b, [2]int{8, 8})
		for _, q := range []*shm.Request{&qa, &qb} {
			q.ENOA, q.ENOB = append([]byte(nil), q.ENOA...), append([]byte(nil), q.ENOB...)
			change(q)
		}
		if p := handle(a, qa); p.Kind != shm.Pass {
			t.Errorf("%s: host A is answered by %v", name, p.Kind)
		}
		if p := handle(b, qb); p.Kind != shm.Abort {
			t.Errorf("%s: host B is answered by %v", name, p.Kind)
		}
	}
}

func TestTermsThatResumeNothingKeepNothing(t *testing.T) {
	a, b := newEnd(t, 1, 2, func(p *Terms) { p.Resume = false }), newEnd(t, 2, 1, nil)
	fresh(t, a, b)
	if _, ok := a.table.FindPair(&a.k, 2e9, func(tcpcrypt.TEP, tcpcrypt.AEAD) bool { return true }); ok {
		t.Error("a secret is kept")
	}
}

// BenchmarkResumedHandshake measures what the control planes of both ends of one resumed connection do.
func BenchmarkResumedHandshake(b *testing.B) {
	x, y := newEnd(b, 1, 2, nil), newEnd(b, 2, 1, nil)
	fresh(b, x, y)
	b.ReportAllocs()
	for b.Loop() {
		qx, qy := handshakeOf(b, x, y, [2]int{8, 8})
		px, py := handle(x, qx), handle(y, qy)
		if px.Kind != shm.Keys || px.Keys.SessionID != py.Keys.SessionID {
			b.Fatal(px.Kind, py.Kind)
		}
		x.table.Spend(qx.Resume, resumption.Flow(qx.Ref))
		y.table.Spend(qy.Resume, resumption.Flow(qy.Ref))
	}
}
