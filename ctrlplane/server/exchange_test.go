package server

import (
	"slices"
	"testing"
	"time"

	"linecrypt/ctrlplane/responder"
	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/flowtable"
)

// keysFor returns a request for keys that a passive gateway makes after Init1 of a far end with that key agreement.
func keysFor(t *testing.T, tep tcpcrypt.TEP) shm.Request {
	t.Helper()
	terms := options("").Terms
	terms.TEPs = []tcpcrypt.TEP{tep}
	far, err := responder.New(terms, zeroFree{})
	if err != nil {
		t.Fatal(err)
	}
	rules := far.Rules()
	offer, answer := rules.Offer(), answerTo(t, rules.Offer(), &rules)
	var init1 shm.Reply
	far.Handle(&shm.Request{Kind: shm.ActiveAnswer, ENOA: offer, ENOB: answer}, &init1)
	return shm.Request{Kind: shm.PassiveKeys, ENOA: offer, ENOB: answer, Init1: init1.Init}
}

// from makes a connection of a far end, 198.51.net.host, that waits for keys, and its request.
func (p *plane) from(worker int, net, host byte, port uint16, q shm.Request) shm.Request {
	l := &p.lanes[worker]
	k := flowtable.Key{InsidePort: 80, OutsidePort: port}
	copy(k.Inside[10:], []byte{0xff, 0xff, 10, 0, 0, 1})
	copy(k.Outside[10:], []byte{0xff, 0xff, 198, 51, net, host})
	i, _ := l.flows.Insert(&k, l.flows.Hash(&k), 1)
	l.flows.SetState(i, flowtable.PassiveKeys)
	q.Tuple, q.Ref, q.Seq = k, shm.FlowRef{Worker: uint16(worker), Index: i, Gen: l.flows.Record(i).Gen}, 1
	return q
}

// sessions returns how many sessions of a key agreement the server has agreed on.
func sessions(s *Server, tep tcpcrypt.TEP) (n uint64) {
	for _, c := range s.Stats().Sessions() {
		if c.TEP == tep {
			n += c.Count
		}
	}
	return n
}

// attached is a server that serves a data plane of two workers but does nothing by itself.
func attached(t testing.TB) (*Server, *plane) {
	t.Helper()
	p := newPlane(t, t.TempDir(), 2)
	s, err := New(options(p.dir))
	if err != nil {
		t.Fatal(err)
	}
	seg, err := options(p.dir).Open()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.attach(seg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.detach)
	return s, p
}

func TestOnePeersDearExchangesDelayAnotherPeersCheapOneByAFew(t *testing.T) {
	p := newPlane(t, t.TempDir(), 2)
	s, _ := run(t, options(p.dir))
	dear, cheap := keysFor(t, tcpcrypt.ECDHEP521), keysFor(t, tcpcrypt.ECDHECurve25519)
	for port := range uint16(200) {
		p.send(0, p.from(0, 1, byte(port), port, dear))
	}
	eventually(t, "exchanges of the flood", func() bool { return sessions(s, tcpcrypt.ECDHEP521) > 0 })
	var delays []int
	for port := range uint16(10) {
		before := sessions(s, tcpcrypt.ECDHEP521)
		q := p.from(1, 2, 1, port, cheap)
		p.call(1, q, shm.Keys)
		delays = append(delays, int(sessions(s, tcpcrypt.ECDHEP521)-before))
	}
	slices.Sort(delays)
	if delays[len(delays)/2] > 3 { // where the machine does something else now and then, a few wait longer
		t.Errorf("%v exchanges of the flood come before honest ones", delays)
	}
	if sessions(s, tcpcrypt.ECDHEP521) == 200 {
		t.Fatal("the flood was over: the test shows nothing")
	}
}

func TestRoundEndsInTimeForTheHeartbeatHoweverManyDearExchangesWait(t *testing.T) {
	s, p := attached(t)
	dear := keysFor(t, tcpcrypt.ECDHEP521)
	for port := range uint16(100) {
		p.send(0, p.from(0, 1, 1, port, dear))
	}
	for range 5 {
		before := sessions(s, tcpcrypt.ECDHEP521)
		if !s.round() {
			t.Fatal("nothing was done")
		}
		if n := sessions(s, tcpcrypt.ECDHEP521) - before; n > 2 {
			t.Errorf("a round works %d exchanges of P-521", n)
		}
	}
	if s.events.waiting.Load() < 90 || s.events.waitingPeers.Load() != 1 {
		t.Errorf("%d requests of %d peers wait", s.events.waiting.Load(), s.events.waitingPeers.Load())
	}
}

func TestFloodIsCountedAndHonestRequestsBesideItAreAnswered(t *testing.T) {
	s, p := attached(t)
	dear, cheap := keysFor(t, tcpcrypt.ECDHEP521), keysFor(t, tcpcrypt.ECDHECurve25519)
	const floods = 1000
	for port := range uint16(floods) {
		p.send(0, p.from(0, 1, byte(port), port, dear))
		if port%100 == 99 {
			s.round()
		}
	}
	for port := range uint16(5) {
		p.send(1, p.from(1, 2, 1, port, cheap))
	}
	begin := time.Now()
	for got := 0; got < 5; {
		s.round()
		if r, ok := p.receiveWithin(1, time.Millisecond); ok {
			if got++; r.Kind != shm.Keys {
				t.Errorf("an honest request is answered by %v (%v)", r.Kind, r.Reason)
			}
		}
		if time.Since(begin) > patience {
			t.Fatal("an honest request is not answered")
		}
	}
	work, _ := responder.WorkFor(&dear)
	kept := uint64(keyLimits.PeerCost / work.Micros)
	worked := sessions(s, tcpcrypt.ECDHEP521) // each leaves its place to another
	if n := p.counter(shm.OverloadKeysPeer); n < floods-kept-worked || n > floods-kept {
		t.Errorf("%d of %d requests are counted as beyond their peer's share, which is %d; %d were worked", n, floods, kept, worked)
	}
	replies := uint64(0)
	for _, ok := p.receiveWithin(0, time.Millisecond); ok; _, ok = p.receiveWithin(0, time.Millisecond) {
		replies++
	}
	if replies != worked {
		t.Errorf("%d replies for %d exchanges", replies, worked)
	}
}

func TestRequestNobodyWaitsForAnyMoreIsNotWorked(t *testing.T) {
	s, p := attached(t)
	cheap := keysFor(t, tcpcrypt.ECDHECurve25519)
	gone, plain, late := p.from(0, 1, 1, 1, cheap), p.from(0, 1, 1, 2, cheap), p.from(0, 1, 1, 3, cheap)
	p.send(0, gone)
	p.send(0, plain)
	p.lanes[0].flows.Remove(gone.Ref.Index)
	p.lanes[0].flows.SetState(plain.Ref.Index, flowtable.Plain)
	for s.round() {
	}
	p.send(0, late)
	s.gather(0)
	if s.exchange(monotonic() + keyPatience + 1e9) {
		t.Error("a request is worked after its time")
	}
	if a, b := p.counter(shm.KeysNotAwaited), p.counter(shm.OverloadKeysLate); a != 2 || b != 1 {
		t.Errorf("%d are counted as not awaited, %d as late", a, b)
	}
	if n := sessions(s, tcpcrypt.ECDHECurve25519); n != 0 {
		t.Errorf("%d exchanges were worked", n)
	}
}

func TestRequestAskedAgainIsAnsweredOnceByItsLatestNumber(t *testing.T) {
	s, p := attached(t)
	q := p.from(0, 1, 1, 1, keysFor(t, tcpcrypt.ECDHECurve25519))
	for q.Seq = 1; q.Seq < 6; q.Seq++ {
		p.send(0, q)
	}
	for s.round() {
	}
	if r := p.receive(0); r.Kind != shm.Keys || r.Seq != 5 {
		t.Errorf("%v for number %d", r.Kind, r.Seq)
	}
	if _, ok := p.receiveWithin(0, time.Millisecond); ok || p.counter(shm.KeysAskedAgain) != 4 {
		t.Errorf("%d are counted as asked again", p.counter(shm.KeysAskedAgain))
	}
}

func TestWorkerThatTakesNoRepliesCostsNoExchanges(t *testing.T) {
	s, p := attached(t)
	cheap := keysFor(t, tcpcrypt.ECDHECurve25519)
	for port := range uint16(50) {
		p.send(0, p.from(0, 1, 1, port, cheap))
	}
	s.gather(0)
	s.lanes[0].kept = append(s.lanes[0].kept, shm.Reply{})
	for s.exchange(monotonic()) {
	}
	if n := p.counter(shm.OverloadKeysReplies); n != 50 || sessions(s, tcpcrypt.ECDHECurve25519) != 0 {
		t.Errorf("%d are counted", n)
	}
}
