package server

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"linecrypt/ctrlplane/eno"
	"linecrypt/ctrlplane/resumption"
	"linecrypt/ctrlplane/sessiontable"
	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/flowtable"
)

// site is a gateway of which a test plays the one worker: its control plane does something when it is told to.
type site struct {
	*plane
	s       *Server
	secrets *resumption.Table
}

func newSite(t testing.TB) *site {
	t.Helper()
	s, p := attached(t)
	table, err := p.seg.Resumption()
	if err != nil || table == nil {
		t.Fatalf("no table of secrets: %v", err)
	}
	return &site{p, s, table}
}

// ask has the control plane answer a request.
func (s *site) ask(t testing.TB, q *shm.Request, want shm.ReplyKind) (r shm.Reply) {
	t.Helper()
	s.post(t, q)
	s.s.round()
	return s.take(t, want)
}

func (s *site) post(t testing.TB, q *shm.Request) {
	t.Helper()
	if !s.lanes[0].requests.SendRequest(q) {
		t.Fatal("no room in the ring")
	}
}

func (s *site) take(t testing.TB, want shm.ReplyKind) (r shm.Reply) {
	t.Helper()
	c := s.lanes[0].replies
	msg, err := c.Peek()
	if err != nil || msg == nil || r.Decode(append([]byte(nil), msg...)) != nil || r.Kind != want {
		t.Fatalf("reply %v (%v), %v", r.Kind, r.Reason, err)
	}
	c.Release()
	return r
}

// couple is a pair of hosts behind two sites.
type couple struct {
	refs [2]shm.FlowRef
	keys [2]flowtable.Key
}

// newCouple makes a pair of hosts that had a session.
func newCouple(t testing.TB, a, b *site, n int) *couple {
	t.Helper()
	c := &couple{}
	ka := flowtable.Key{InsidePort: 1, OutsidePort: 2}
	copy(ka.Inside[10:], []byte{0xff, 0xff, 10, 1, byte(n >> 8), byte(n)})
	copy(ka.Outside[10:], []byte{0xff, 0xff, 10, 2, byte(n >> 8), byte(n)})
	c.keys = [2]flowtable.Key{ka, {Inside: ka.Outside, Outside: ka.Inside, InsidePort: 2, OutsidePort: 1}}
	for i, s := range []*site{a, b} {
		flows := s.lanes[0].flows
		at, _ := flows.Insert(&c.keys[i], flows.Hash(&c.keys[i]), 1)
		flows.SetState(at, [2]flowtable.State{flowtable.ActiveKeys, flowtable.PassiveKeys}[i])
		c.refs[i] = shm.FlowRef{Index: at, Gen: flows.Record(at).Gen}
	}
	rules := b.rules()
	q := shm.Request{Kind: shm.ActiveAnswer, Ref: c.refs[0], Seq: 1, Tuple: c.keys[0], ENOA: a.rules().Offer(), ENOB: answerTo(t, a.rules().Offer(), rules)}
	init1 := a.ask(t, &q, shm.Init1)
	q.Kind, q.Ref, q.Tuple, q.Init1 = shm.PassiveKeys, c.refs[1], c.keys[1], init1.Init
	init2 := b.ask(t, &q, shm.Keys)
	q.Kind, q.Ref, q.Tuple, q.Secret, q.Init2 = shm.ActiveKeys, c.refs[0], c.keys[0], init1.Secret, init2.Init
	a.ask(t, &q, shm.Keys)
	return c
}

func anything(tcpcrypt.TEP, tcpcrypt.AEAD) bool { return true }

// offer has the workers of both sites do what SYN and SYN-ACK take, and returns what they ask then.
func (c *couple) offer(t testing.TB, a, b *site) (qa, qb shm.Request) {
	t.Helper()
	now := monotonic()
	ca, ok := a.secrets.FindPair(&c.keys[0], now, anything)
	if !ok || !a.secrets.Claim(ca.Handle, resumption.Flow(c.refs[0])) {
		t.Fatal("nothing to offer")
	}
	cb, ok := b.secrets.FindHalf(ca.Ours[:], now)
	if !ok || !b.secrets.Claim(cb.Handle, resumption.Flow(c.refs[1])) {
		t.Fatal("the offer is not known")
	}
	nonce := []byte("nonsense")
	enoA, _ := eno.Append(nil, eno.Global{}, tcpcrypt.AppendHalf(nil, ca.TEP, ca.Ours[:], nonce))
	enoB, _ := eno.Append(nil, eno.Global{Role: eno.B}, tcpcrypt.AppendHalf(nil, cb.TEP, cb.Ours[:], nonce))
	qa = shm.Request{Kind: shm.ActiveResume, Ref: c.refs[0], Seq: 2, Tuple: c.keys[0], ENOA: enoA, ENOB: enoB, Resume: ca.Handle}
	qb = qa
	qb.Kind, qb.Ref, qb.Tuple, qb.Resume = shm.PassiveResume, c.refs[1], c.keys[1], cb.Handle
	return qa, qb
}

func TestResumedSessionsArePublishedAsSuch(t *testing.T) {
	a, b := newSite(t), newSite(t)
	c := newCouple(t, a, b, 1)
	qa, qb := c.offer(t, a, b)
	ra, rb := a.ask(t, &qa, shm.Keys), b.ask(t, &qb, shm.Keys)
	if ra.Keys.SessionID != rb.Keys.SessionID || !ra.Resumed || !rb.Resumed {
		t.Fatal("the ends do not agree")
	}
	for i, s := range []*site{a, b} {
		var e sessiontable.Entry
		if !s.s.sessions.Lookup(&c.keys[i], &e) || !e.Resumed || e.SessionID != ra.Keys.SessionID || e.Active != (i == 0) {
			t.Errorf("site %d publishes %+v", i, e)
		}
	}
}

func TestFateOfAClaimIsThatOfItsConnection(t *testing.T) {
	a, b := newSite(t), newSite(t)
	c := newCouple(t, a, b, 1)
	flows := a.lanes[0].flows
	r := flows.Record(c.refs[0].Index)
	f := resumption.Flow(c.refs[0])
	const h = resumption.Handle(1<<12 | 5)
	for _, x := range []struct {
		state  flowtable.State
		resume resumption.Handle
		want   resumption.Fate
	}{
		{flowtable.ActiveSyn, h, resumption.Pending}, {flowtable.PassiveAck, h, resumption.Pending}, {flowtable.ActiveAnswer, 0, resumption.Missed},
		{flowtable.Encrypted, h, resumption.Done}, {flowtable.Encrypted, 0, resumption.Missed}, {flowtable.PlainSyn, h, resumption.Failed},
		{flowtable.Plain, h, resumption.Failed}, {flowtable.Closing, 0, resumption.Failed},
	} {
		flows.SetState(c.refs[0].Index, x.state)
		r.Setup.Resume = uint32(x.resume)
		if got := a.s.fate(f, h); got != x.want {
			t.Errorf("%v, secret %x: %d, want %d", x.state, x.resume, got, x.want)
		}
	}
	flows.Remove(c.refs[0].Index)
	if got := a.s.fate(f, h); got != resumption.Failed {
		t.Errorf("a connection that is gone: %d", got)
	}
}

func TestSecretsAreFlushedByTheControlSocket(t *testing.T) {
	a, b := newSite(t), newSite(t)
	for n := range 4 {
		newCouple(t, a, b, n+1)
	}
	h := a.s.ControlHandler()
	flush := func(form url.Values) (int, Resumption, string) {
		q := httptest.NewRequest(http.MethodPost, "/resumption/flush", strings.NewReader(form.Encode()))
		q.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, q)
		var r Resumption
		_ = json.Unmarshal(w.Body.Bytes(), &r)
		return w.Code, r, w.Body.String()
	}
	for _, bad := range []url.Values{{"peer": {"x"}}, {"client": {"10.1.0.1:1"}}, {"client": {"10.1.0.1:1"}, "server": {"x"}}} {
		if code, _, _ := flush(bad); code != http.StatusBadRequest {
			t.Errorf("%v: status %d", bad, code)
		}
	}
	if code, _, text := flush(url.Values{"client": {"10.1.0.9:1"}, "server": {"10.2.0.9:2"}}); code != http.StatusNotFound {
		t.Errorf("an unknown connection: status %d, %s", code, text)
	}
	for _, step := range []struct {
		form          url.Values
		flushed, left int
	}{
		{url.Values{"client": {"10.1.0.1:1"}, "server": {"10.2.0.1:2"}}, 1, 3},
		{url.Values{"peer": {"10.2.0.2"}}, 1, 2},
		{url.Values{"peer": {"192.0.2.0/24"}}, 0, 2},
		{url.Values{}, 2, 0},
	} {
		code, r, text := flush(step.form)
		if code != http.StatusOK || r.Flushed != step.flushed || r.Secrets != step.left {
			t.Errorf("%v: status %d, %+v, %s", step.form, code, r, text)
		}
	}
	if n := a.s.FlushPeer(netip.MustParsePrefix("0.0.0.0/0")); n != 0 {
		t.Errorf("%d are left", n)
	}
}

// BenchmarkResumedHandshakes is what one core does for both control planes of resumed connections: requests taken off the rings of shared
// memory, secrets, keys, session tables, replies, and the ends of the connections, with what the two workers do about secrets.
func BenchmarkResumedHandshakes(b *testing.B) {
	x, y := newSite(b), newSite(b)
	couples := make([]*couple, 64)
	for i := range couples {
		couples[i] = newCouple(b, x, y, i+1)
	}
	var handles [64][2]resumption.Handle
	b.ResetTimer()
	begin := cpuTime(b)
	for done := 0; done < b.N; done += len(couples) {
		for i, c := range couples {
			qx, qy := c.offer(b, x, y)
			x.post(b, &qx)
			y.post(b, &qy)
			handles[i] = [2]resumption.Handle{qx.Resume, qy.Resume}
		}
		x.s.round()
		y.s.round()
		for i, c := range couples {
			rx, ry := x.take(b, shm.Keys), y.take(b, shm.Keys)
			if rx.Keys.SessionID != ry.Keys.SessionID || !rx.Resumed {
				b.Fatal("the ends do not agree")
			}
			x.secrets.Spend(handles[i][0], resumption.Flow(c.refs[0]))
			y.secrets.Spend(handles[i][1], resumption.Flow(c.refs[1]))
			x.post(b, &shm.Request{Kind: shm.Closed, Ref: c.refs[0], Tuple: c.keys[0]})
			y.post(b, &shm.Request{Kind: shm.Closed, Ref: c.refs[1], Tuple: c.keys[1]})
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "handshakes/s")
	b.ReportMetric(float64(b.N)/(cpuTime(b)-begin), "handshakes/core-s")
}

// cpuTime is what the process has had of all cores, in s: on a machine that others use too it tells more than the clock.
func cpuTime(b *testing.B) float64 {
	b.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}
