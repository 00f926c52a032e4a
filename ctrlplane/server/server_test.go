package server

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"linecrypt/ctrlplane/config"
	"linecrypt/ctrlplane/connections"
	"linecrypt/ctrlplane/eno"
	"linecrypt/ctrlplane/responder"
	"linecrypt/ctrlplane/sessiontable"
	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/flowtable"
)

// passive runs a handshake as host B up to Init1 of the peer, and returns the request for keys.
func passive(t *testing.T, p *plane, ref shm.FlowRef, k flowtable.Key) shm.Request {
	t.Helper()
	a := peer(t)
	rules := a.Rules()
	offer, answer := rules.Offer(), answerTo(t, rules.Offer(), p.rules())
	var init1 shm.Reply
	a.Handle(&shm.Request{Kind: shm.ActiveAnswer, ENOA: offer, ENOB: answer}, &init1)
	return shm.Request{Kind: shm.PassiveKeys, Ref: ref, Seq: 1, Tuple: k, ENOA: offer, ENOB: answer, Init1: init1.Init}
}

func TestKeysAndSessionIDOfBothGatewaysAgreeOverTheRings(t *testing.T) {
	pa, pb := newPlane(t, t.TempDir(), 1), newPlane(t, t.TempDir(), 1)
	run(t, options(pa.dir))
	aware := options(pb.dir)
	aware.Terms.Aware = config.AwareOn
	run(t, aware)
	refA, keyA := pa.flow(0, 1000, flowtable.ActiveKeys)
	refB, keyB := pb.flow(0, 2000, flowtable.PassiveKeys)
	offer := pa.rules().Offer()
	answer := answerTo(t, offer, pb.rules())
	init1 := pa.call(0, shm.Request{Kind: shm.ActiveAnswer, Ref: refA, Seq: 1, Tuple: keyA, ENOA: offer, ENOB: answer}, shm.Init1)
	kb := pb.call(0, shm.Request{Kind: shm.PassiveKeys, Ref: refB, Seq: 1, Tuple: keyB, ENOA: offer, ENOB: answer, Init1: init1.Init}, shm.Keys)
	var e sessiontable.Entry
	if !pb.table().Lookup(&keyB, &e) || e.SessionID != kb.Keys.SessionID || e.Active || e.Role != 2 || e.Gen != refB.Gen || !e.OwnAware || e.PeerAware {
		t.Errorf("host B's entry is %+v", e)
	}
	ka := pa.call(0, shm.Request{Kind: shm.ActiveKeys, Ref: refA, Seq: 2, Tuple: keyA, ENOA: offer, ENOB: answer, Secret: init1.Secret, Init1: init1.Init, Init2: kb.Init}, shm.Keys)
	if ka.Keys.SessionID != kb.Keys.SessionID || ka.Keys.Out != kb.Keys.In || ka.Keys.In != kb.Keys.Out {
		t.Error("keys or session IDs differ")
	}
	if !pa.table().Lookup(&keyA, &e) || e.SessionID != ka.Keys.SessionID || !e.Active || e.Role != 1 || e.OwnAware || !e.PeerAware {
		t.Errorf("host A's entry is %+v", e)
	}
	if !bytes.Equal(e.ENOA.Bytes(), offer) || !bytes.Equal(e.ENOB.Bytes(), answer) {
		t.Errorf("published options % x and % x", e.ENOA.Bytes(), e.ENOB.Bytes())
	}
}

func TestAnotherControlPlaneGoesOnWithAHandshake(t *testing.T) {
	p := newPlane(t, t.TempDir(), 1)
	ref, key := p.flow(0, 1, flowtable.ActiveKeys)
	b := peer(t)
	_, stop := run(t, options(p.dir))
	offer, far := p.rules().Offer(), b.Rules()
	answer := answerTo(t, offer, &far)
	stop()
	var kb shm.Reply
	_, stop = run(t, options(p.dir))
	init1 := p.call(0, shm.Request{Kind: shm.ActiveAnswer, Ref: ref, Tuple: key, ENOA: offer, ENOB: answer}, shm.Init1)
	stop()
	b.Handle(&shm.Request{Kind: shm.PassiveKeys, ENOA: offer, ENOB: answer, Init1: init1.Init}, &kb)
	q := shm.Request{Kind: shm.ActiveKeys, Ref: ref, Tuple: key, ENOA: offer, ENOB: answer, Secret: init1.Secret, Init1: init1.Init, Init2: kb.Init}
	p.send(0, q) // asked while nobody is there
	run(t, options(p.dir))
	if ka := p.receive(0); ka.Kind != shm.Keys || ka.Keys.SessionID != kb.Keys.SessionID {
		t.Errorf("%v (%v)", ka.Kind, ka.Reason)
	}
}

func TestRequestForKeysThatIsAskedAgainDoesNotChangeTheSessionID(t *testing.T) {
	p := newPlane(t, t.TempDir(), 1)
	ref, key := p.flow(0, 1, flowtable.PassiveKeys)
	run(t, options(p.dir))
	q := passive(t, p, ref, key)
	p.send(0, q)
	p.send(0, q)
	first := p.receive(0)
	p.lanes[0].flows.SetState(ref.Index, flowtable.Encrypted)
	p.send(0, q)
	p.call(0, futile(ref, 9), shm.Pass)
	var e sessiontable.Entry
	if !p.table().Lookup(&key, &e) || e.SessionID != first.Keys.SessionID {
		t.Error("the published session ID is not that of the keys that were sent first")
	}
	if n := p.counter(shm.KeysAnswered) + p.counter(shm.KeysAskedAgain); n != 2 {
		t.Errorf("%d duplicates are counted", n)
	}
}

func TestKeysThatWereNeverSentAreMadeAgain(t *testing.T) {
	p := newPlane(t, t.TempDir(), 1)
	ref, key := p.flow(0, 1, flowtable.PassiveKeys)
	_, stop := run(t, options(p.dir))
	q := passive(t, p, ref, key)
	stop()
	w, err := options(p.dir).OpenSessions(p.seg)
	if err != nil {
		t.Fatal(err)
	}
	// A control plane that was killed between entry and reply.
	if err := w.Insert(&sessiontable.Entry{Tuple: key, Index: ref.Index, Gen: ref.Gen, Start: time.Now().UnixNano(), Role: 2}); err != nil {
		t.Fatal(err)
	}
	w.Close()
	run(t, options(p.dir))
	again := p.call(0, q, shm.Keys)
	var e sessiontable.Entry
	if !p.table().Lookup(&key, &e) || e.SessionID != again.Keys.SessionID {
		t.Error("the published session ID is not that of the keys")
	}
}

func TestFullReplyRingHoldsUpItsWorkerOnlyAndLosesNothing(t *testing.T) {
	p := newPlane(t, t.TempDir(), 2)
	s, _ := run(t, options(p.dir))
	ref, _ := p.flow(0, 1, flowtable.ActiveAnswer)
	for s.events.kept.Load() == 0 {
		for range 32 {
			p.send(0, futile(ref, 7))
		}
		eventually(t, "answers or kept ones", func() bool {
			return p.lanes[0].w.Requests.Used() == 0 || s.events.kept.Load() > 0
		})
	}
	const more = 100
	for i := range uint32(more) {
		p.send(0, futile(ref, 1000+i))
	}
	p.mustBegin(1)
	if p.lanes[0].w.Requests.Used() == 0 {
		t.Error("requests are taken although there is no room for replies")
	}
	next := uint32(1000)
	for next < 1000+more {
		r := p.receive(0)
		if r.Seq == 7 {
			continue
		}
		if r.Seq != next {
			t.Fatalf("reply %d comes in place of %d", r.Seq, next)
		}
		next++
	}
}

func TestClosedConnectionLosesItsEntry(t *testing.T) {
	p := newPlane(t, t.TempDir(), 1)
	run(t, options(p.dir))
	ref, key := p.flow(0, 1, flowtable.PassiveKeys)
	p.call(0, passive(t, p, ref, key), shm.Keys)
	table := p.table()
	var e sessiontable.Entry
	old := ref
	old.Gen--
	p.send(0, shm.Request{Kind: shm.Closed, Reason: shm.ReasonFinished, Ref: old, Tuple: key})
	p.call(0, futile(shm.FlowRef{}, 1), shm.Pass)
	if !table.Lookup(&key, &e) {
		t.Fatal("the end of an earlier connection removes the entry of this one")
	}
	p.send(0, shm.Request{Kind: shm.Closed, Reason: shm.ReasonFinished, Ref: ref, Tuple: key})
	eventually(t, "entry removed", func() bool { return !table.Lookup(&key, &e) })
}

func TestEntriesOfConnectionsThatEndedMeanwhileGoAtTheStart(t *testing.T) {
	p := newPlane(t, t.TempDir(), 1)
	_, stop := run(t, options(p.dir))
	refs, keys := make([]shm.FlowRef, 4), make([]flowtable.Key, 4)
	for i := range refs {
		refs[i], keys[i] = p.flow(0, uint16(i+1), flowtable.PassiveKeys)
		p.call(0, passive(t, p, refs[i], keys[i]), shm.Keys)
		p.lanes[0].flows.SetState(refs[i].Index, flowtable.Encrypted)
	}
	stop()
	flows := p.lanes[0].flows
	flows.Remove(refs[0].Index)                      // gone
	flows.Remove(refs[1].Index)                      // gone, and its record is another connection's
	p.flow(0, 99, flowtable.Encrypted)               //
	flows.SetState(refs[2].Index, flowtable.Plain)   // not encrypted
	flows.SetState(refs[3].Index, flowtable.Closing) // still there
	s, _ := run(t, options(p.dir))
	var e sessiontable.Entry
	table := p.table()
	for i, want := range []bool{false, false, false, true} {
		if table.Lookup(&keys[i], &e) != want {
			t.Errorf("connection %d: entry is there: %v", i, !want)
		}
	}
	if n := s.events.reconciled.Load(); n != 3 {
		t.Errorf("%d entries are counted as removed", n)
	}
}

func TestNewSegmentOfARestartedDataPlaneIsServed(t *testing.T) {
	dir := t.TempDir()
	p := newPlane(t, dir, 1)
	s, _ := run(t, options(dir))
	p.call(0, futile(shm.FlowRef{}, 1), shm.Pass)
	p.end()
	q := newPlane(t, dir, 2)
	q.mustBegin(1)
	if s.Status().Workers != 2 || s.events.attached.Load() != 2 {
		t.Errorf("%+v after %d attachments", s.Status(), s.events.attached.Load())
	}
}

func TestSegmentThatAnotherDataPlaneTakesOverIsServedOn(t *testing.T) {
	dir := t.TempDir()
	p := newPlane(t, dir, 1)
	s, _ := run(t, options(dir))
	p.end()
	eventually(t, "the end of the data plane is seen", func() bool { return !s.Status().DataPlane.Running })
	seg, err := shm.Adopt(dir, params(t, 1))
	if err != nil {
		t.Fatal(err)
	}
	p.seg = seg
	w := seg.Worker(0)
	p.lanes[0] = testLane{w, nil, shm.NewProducer(w.Requests), shm.NewConsumer(w.Replies)}
	p.call(0, futile(shm.FlowRef{}, 1), shm.Pass)
	if n := s.events.attached.Load(); n != 1 {
		t.Errorf("%d attachments", n)
	}
}

func TestHeartbeatAndPolicyArePublishedAndEndWithTheProcess(t *testing.T) {
	p := newPlane(t, t.TempDir(), 1)
	o := options(p.dir)
	o.Terms.Policy = flowtable.Require
	s, stop := run(t, o)
	if p.seg.Policy() != flowtable.Require || p.seg.ControlPlane().PID == 0 || !p.seg.ControlPlaneRuns() {
		t.Errorf("policy %v, %+v", p.seg.Policy(), p.seg.ControlPlane())
	}
	first := p.seg.ControlPlane().Beat
	eventually(t, "another heartbeat", func() bool { return p.seg.ControlPlane().Beat > first })
	o.Terms.Policy = flowtable.Disabled
	if err := s.SetTerms(o.Terms); err != nil || p.seg.Policy() != flowtable.Disabled {
		t.Errorf("policy %v, %v", p.seg.Policy(), err)
	}
	if r := p.call(0, futile(shm.FlowRef{}, 1), shm.Pass); r.Reason != shm.ReasonPolicy {
		t.Errorf("passed for %v", r.Reason)
	}
	if err := s.SetTerms(responder.Terms{}); err == nil || p.seg.Policy() != flowtable.Disabled {
		t.Errorf("policy %v after a bad one, %v", p.seg.Policy(), err)
	}
	stop()
	if p.seg.ControlPlane().Alive(monotonic(), int64(time.Hour)) || p.seg.ControlPlaneRuns() {
		t.Error("a control plane that stopped seems to live")
	}
}

func TestGarbageInARequestRingIsCountedAndSurvived(t *testing.T) {
	p := newPlane(t, t.TempDir(), 1)
	s, _ := run(t, options(p.dir))
	for n := 1; n < 200; n += 7 {
		room := p.lanes[0].requests.Reserve(n)
		copy(room, bytes.Repeat([]byte{byte(n)}, n))
		p.lanes[0].requests.Commit(n)
	}
	p.call(0, futile(shm.FlowRef{}, 1), shm.Pass)
	if n := s.Stats().Requests(0); n != 29 {
		t.Errorf("%d malformed requests are counted", n)
	}
}

func TestControlPlaneWaitsForTheDataPlane(t *testing.T) {
	dir := t.TempDir()
	o := options(dir)
	o.Wait = 50 * time.Millisecond
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Run(context.Background()); !errors.Is(err, ErrNoDataPlane) {
		t.Errorf("without a data plane: %v", err)
	}
	p := newPlane(t, dir, 1)
	p.end() // killed: its file is left
	if err := s.Run(context.Background()); !errors.Is(err, ErrNoDataPlane) || !errors.Is(err, errDataPlaneGone) {
		t.Errorf("with a dead data plane: %v", err)
	}
	late, err := New(options(dir))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- late.Run(ctx) }()
	time.Sleep(50 * time.Millisecond)
	newPlane(t, dir, 1).call(0, futile(shm.FlowRef{}, 1), shm.Pass)
	cancel()
	if err := <-done; err != nil {
		t.Errorf("with a late data plane: %v", err)
	}
}

func TestControlSocketTellsStatusSessionsAndMetrics(t *testing.T) {
	p := newPlane(t, t.TempDir(), 1)
	s, _ := run(t, options(p.dir))
	ref, key := p.flow(0, 4321, flowtable.PassiveKeys)
	keys := p.call(0, passive(t, p, ref, key), shm.Keys)
	get := func(path string) string {
		w := httptest.NewRecorder()
		s.ControlHandler().ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		return w.Body.String()
	}
	var st Status
	if err := json.Unmarshal([]byte(get("/status")), &st); err != nil || st.Name != "gw" || st.Policy != "opportunistic" || !st.DataPlane.Running {
		t.Errorf("status %+v, %v", st, err)
	}
	rec := p.lanes[0].flows.Record(ref.Index) // as the worker writes it once it has the keys
	rec.Role, rec.TEP, rec.AEAD = keys.Role, keys.TEP, keys.AEAD
	p.lanes[0].flows.SetState(ref.Index, flowtable.Encrypted)
	var list []connections.Connection
	if err := json.Unmarshal([]byte(get("/sessions")), &list); err != nil || len(list) != 1 {
		t.Fatalf("sessions %+v, %v", list, err)
	}
	if e := list[0]; e.Client != "10.0.0.2:80" || e.Server != "10.0.0.1:4321" || e.Role != "B" || e.TEP != "0x23" || e.SessionID != hex.EncodeToString(keys.Keys.SessionID[:]) {
		t.Errorf("session %+v", e)
	}
	if m := get("/metrics"); !strings.Contains(m, "linecrypt_ctrlplane_sessions_total{aead=\"AES_128_GCM\",role=\"B\",tep=\"ECDHE_Curve25519\"} 1") {
		t.Errorf("metrics lack the session")
	}
	w := httptest.NewRecorder()
	if s.MetricsHandler().ServeHTTP(w, httptest.NewRequest("GET", "/sessions", nil)); w.Code != 404 {
		t.Errorf("the metrics address tells sessions: %d", w.Code)
	}
}

func TestIdleServerSleepsLongerAndLongerUpToABound(t *testing.T) {
	var i idler
	now := int64(1)
	begin := time.Now()
	i.wait(now)
	if d := time.Since(begin); d > 50*time.Millisecond {
		t.Errorf("first look takes %v", d)
	}
	i.wait(now + spinFor)
	if i.sleep != shortest {
		t.Errorf("first sleep of %d ns", i.sleep)
	}
	for range 20 {
		i.wait(now + restFor + 1)
	}
	if i.sleep != longest {
		t.Errorf("sleeps grow to %d ns", i.sleep)
	}
	if i.reset(); i != (idler{}) {
		t.Error("work does not wake it")
	}
}

func TestDataPlaneIsToldWhatToDecideOnENOBy(t *testing.T) {
	p := newPlane(t, t.TempDir(), 1)
	o := options(p.dir)
	o.Terms.Aware = config.AwareMandatory
	s, stop := run(t, o)
	var r shm.Rules
	if !p.seg.Rules(&r) || r.Policy != flowtable.Opportunistic || !r.Usable || !r.Aware || !r.Mandatory {
		t.Errorf("rules %+v", r)
	}
	if want := []byte{69, 7, 2, 0x22, 0x24, 0x21, 0x23}; !bytes.Equal(r.Offer(), want) {
		t.Errorf("offer % x, want % x", r.Offer(), want)
	}
	if !slices.Equal(r.TEPs(), []eno.TEP{0x23, 0x21, 0x24, 0x22}) || !slices.Equal(r.AEADs(), []uint16{1, 2, 0x10}) {
		t.Errorf("teps % x, ciphers % x", r.TEPs(), r.AEADs())
	}
	o.Terms.Policy, o.Terms.Aware, o.Terms.TEPs = flowtable.Require, config.AwareOff, []tcpcrypt.TEP{tcpcrypt.ECDHEP521}
	if err := s.SetTerms(o.Terms); err != nil {
		t.Fatal(err)
	}
	stop()
	if !p.seg.Rules(&r) || r.Policy != flowtable.Require || r.Aware || r.Mandatory || !bytes.Equal(r.Offer(), []byte{69, 3, 0x22}) {
		t.Errorf("rules after the control plane's end %+v, offer % x", r, r.Offer())
	}
}

// brittle is a source of randomness that works while it is told to.
type brittle struct{ works atomic.Bool }

func (b *brittle) Read(p []byte) (int, error) {
	if !b.works.Load() {
		return 0, errors.New("device failed")
	}
	return zeroFree{}.Read(p)
}

func TestDataPlaneIsToldWhenRandomnessFailsAndWhenItIsBack(t *testing.T) {
	p := newPlane(t, t.TempDir(), 1)
	o := options(p.dir)
	source := new(brittle)
	o.Rand = source
	run(t, o)
	usable := func() bool {
		var r shm.Rules
		return p.seg.Rules(&r) && r.Usable
	}
	if usable() {
		t.Error("ENO counts as usable without randomness")
	}
	source.works.Store(true)
	eventually(t, "usable", usable)
	source.works.Store(false)
	eventually(t, "unusable", func() bool { return !usable() })
}

func TestKeysOfADataPlaneThatWasKilledDoNotOutliveTheControlPlane(t *testing.T) {
	p := newPlane(t, t.TempDir(), 1)
	secret := []byte("THIS IS A SECRET OF A CONNECTION")
	ref, _ := p.flow(0, 1, flowtable.Encrypted)
	copy(p.lanes[0].flows.Record(ref.Index).Rare.Seal.Master[:], secret)
	_, stop := run(t, options(p.dir))
	left := func() bool {
		b, err := os.ReadFile(shm.Path(p.dir, "gw"))
		if err != nil {
			t.Fatal(err)
		}
		return bytes.Contains(b, secret)
	}
	stop()
	if !left() {
		t.Fatal("a control plane that ends takes keys from a data plane that runs")
	}
	s, end := run(t, options(p.dir))
	p.end()
	eventually(t, "the end of the data plane is seen", func() bool { return !s.Status().DataPlane.Running })
	if !left() {
		t.Error("the next data plane has no time to take the connections over")
	}
	end()
	if left() {
		t.Error("keys are left")
	}
}

func TestKeysOfADataPlaneThatWasKilledAreKeptForAWhileOnly(t *testing.T) {
	s, p := attached(t)
	secret := []byte("THIS IS A SECRET OF A CONNECTION")
	ref, _ := p.flow(0, 1, flowtable.Encrypted)
	copy(p.lanes[0].flows.Record(ref.Index).Rare.Seal.Master[:], secret)
	p.end()
	now := monotonic()
	for _, c := range []struct {
		after int64
		left  bool
	}{{0, true}, {keepKeys - 1, true}, {keepKeys, false}} {
		s.watch(now+c.after, true)
		b, err := os.ReadFile(shm.Path(p.dir, "gw"))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(b, secret) != c.left {
			t.Errorf("after %d ns keys are left: %v", c.after, !c.left)
		}
	}
}
