package book

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"linecrypt/ctrlplane/peering/message"
	"linecrypt/ctrlplane/shm"
	"linecrypt/flowtable"
)

const (
	roleA = flowtable.RoleA
	roleB = flowtable.RoleB
	ms    = int64(1e6)
)

// site is a gateway with its book; its only peer is the other site.
type site struct {
	*Book
	t     *testing.T
	found map[message.ID]Verdict
}

func newSite(t *testing.T, p Params) *site {
	return &site{Book: New(1, p), t: t, found: map[message.ID]Verdict{}}
}

// pair is two sites, connected.
type pair struct {
	a, b *site
	now  int64
	lost func(to *site, m *message.Message) bool // messages that do not arrive
}

func newPair(t *testing.T) *pair {
	p := &pair{a: newSite(t, DefaultParams()), b: newSite(t, DefaultParams()), now: 1e9}
	p.connect()
	return p
}

func (p *pair) connect() {
	p.a.Connect(0, p.now)
	p.b.Connect(0, p.now)
}

// run carries messages both ways until there are none, and lets both sites tell what they found.
func (p *pair) run() {
	for busy := true; busy; {
		busy = p.carry(p.a, p.b)
		busy = p.carry(p.b, p.a) || busy
	}
	for _, s := range []*site{p.a, p.b} {
		for _, v := range s.Verdicts() {
			s.found[v.Session.ID] = v
		}
	}
}

func (p *pair) carry(from, to *site) bool {
	var m message.Message
	n := 0
	for ; from.Next(0, p.now, &m); n++ {
		if p.lost == nil || !p.lost(to, &m) {
			to.Receive(0, &m, p.now)
		}
	}
	return n > 0
}

// later lets time pass.
func (p *pair) later(d int64) {
	for end := p.now + d; p.now < end; {
		p.now = min(p.now+100*ms, end)
		p.a.Tick(p.now)
		p.b.Tick(p.now)
		p.run()
	}
}

func id(n int) message.ID {
	i := message.ID{0: 0x23}
	binary.BigEndian.PutUint64(i[1:], uint64(n))
	return i
}

func tuple(port uint16) flowtable.Key {
	return flowtable.Key{Inside: [16]byte{10: 0xff, 11: 0xff, 12: 10, 15: 1}, Outside: [16]byte{10: 0xff, 11: 0xff, 12: 10, 15: 2}, InsidePort: port, OutsidePort: 443, VLAN: 7}
}

func other(k flowtable.Key) flowtable.Key {
	return flowtable.Key{Inside: k.Outside, Outside: k.Inside, InsidePort: k.OutsidePort, OutsidePort: k.InsidePort}
}

// sessionA is site a's end of a session, which opened it, and sessionB site b's.
func sessionA(n int, port uint16) Session {
	return Session{ID: id(n), Role: roleA, Tuple: tuple(port), Ref: shm.FlowRef{Gen: uint32(n)}}
}

func sessionB(n int, port uint16) Session {
	return Session{ID: id(n), Role: roleB, Tuple: other(tuple(port)), Ref: shm.FlowRef{Gen: uint32(n)}}
}

func (s *site) want(n int, state State) {
	s.t.Helper()
	o := s.sessions[id(n)]
	if o == nil {
		s.t.Fatalf("session %d is not open", n)
	}
	if o.State != state {
		s.t.Errorf("session %d is in state %d, not %d", n, o.State, state)
	}
}

func TestSessionThatBothEndsTellIsAuthenticatedWhoeverIsFirst(t *testing.T) {
	for name, order := range map[string]func(p *pair){
		"role B first": func(p *pair) {
			p.b.Open(sessionB(1, 1), 0, p.now)
			p.run()
			if p.a.Open(sessionA(1, 1), 0, p.now) != Authenticated {
				t.Error("what the peer has told is not known at once")
			}
		},
		"role A first": func(p *pair) {
			p.a.Open(sessionA(1, 1), 0, p.now)
			p.run()
			p.later(1000 * ms)
			p.b.Open(sessionB(1, 1), 0, p.now)
		},
		"both at once": func(p *pair) {
			p.b.Open(sessionB(1, 1), 0, p.now)
			p.a.Open(sessionA(1, 1), 0, p.now)
		},
	} {
		p := newPair(t)
		order(p)
		p.run()
		p.a.want(1, Authenticated)
		p.b.want(1, Authenticated)
		for _, s := range []*site{p.a, p.b} {
			if v, ok := s.found[id(1)]; !ok || v.Session.State != Authenticated || v.Session.Ref.Gen != 1 {
				t.Errorf("%s: verdict %+v", name, v)
			}
			if st := s.Stats(); st.Authenticated != 1 || st.Mismatches != 0 || st.Waiting != 0 || st.Open != 1 || st.Heldup != 0 {
				t.Errorf("%s: %+v", name, st)
			}
		}
		p.later(60_000 * ms)
		p.a.want(1, Authenticated)
	}
}

func TestSomebodyInTheMiddleIsFoundByTheAddresses(t *testing.T) {
	for _, first := range []string{"a", "b"} {
		p := newPair(t)
		if first == "a" {
			p.a.Open(sessionA(1, 1), 0, p.now)
			p.run()
		}
		p.b.Open(sessionB(2, 1), 0, p.now)
		p.run()
		if first == "b" {
			p.a.Open(sessionA(1, 1), 0, p.now)
			p.run()
		}
		p.a.want(1, Waiting)
		p.later(700 * ms)
		p.a.want(1, Mismatch)
		p.b.want(2, Mismatch)
		if p.a.found[id(1)].Other != id(2) && p.b.found[id(2)].Other != id(1) {
			t.Errorf("%s first: nobody tells the other ID: %+v, %+v", first, p.a.found, p.b.found)
		}
	}
}

func TestSomebodyInTheMiddleIsFoundWhereTheAddressesAreTranslated(t *testing.T) {
	p := newPair(t)
	p.a.Open(sessionA(1, 1), 0, p.now)
	p.b.Open(sessionB(2, 99), 0, p.now)
	p.later(3000 * ms)
	p.a.want(1, Mismatch)
	p.later(30_000 * ms)
	p.b.want(2, Mismatch)
	if v := p.a.found[id(1)]; v.Other != (message.ID{}) {
		t.Errorf("%+v", v)
	}
}

func TestTranslatedAddressesAreNoMismatch(t *testing.T) {
	p := newPair(t)
	p.b.Open(sessionB(1, 99), 0, p.now)
	p.a.Open(sessionA(1, 1), 0, p.now)
	p.run()
	p.a.want(1, Authenticated)
	p.b.want(1, Authenticated)
}

func TestPortThatIsUsedAgainIsNoMismatch(t *testing.T) {
	p := newPair(t)
	p.b.Open(sessionB(1, 1), 0, p.now) // its other end never came up
	p.run()
	p.a.Open(sessionA(2, 1), 0, p.now) // a's control plane is faster than b's word
	p.run()
	p.later(300 * ms)
	p.b.Open(sessionB(2, 1), 0, p.now)
	p.later(40_000 * ms)
	p.a.want(2, Authenticated)
	p.b.want(2, Authenticated)
	if n := p.a.Stats().Mismatches + p.b.Stats().Mismatches; n != 0 {
		t.Errorf("%d mismatches", n)
	}
}

func TestSessionThatIsOverWhenItIsToldWasTheSameAllTheSame(t *testing.T) {
	p := newPair(t)
	p.b.Open(sessionB(1, 1), 0, p.now)
	p.b.Close(id(1), p.now)
	p.run()
	p.a.Open(sessionA(1, 1), 0, p.now)
	p.run()
	p.a.want(1, Authenticated)
	p.later(31_000 * ms)
	if len(p.b.recent.was) != 0 || len(p.b.recent.order.list) != 0 {
		t.Error("it is remembered for ever")
	}
}

func TestMismatchIsTakenBackWhenTheIDComesAfterAll(t *testing.T) {
	p := newPair(t)
	p.a.Open(sessionA(1, 1), 0, p.now)
	p.later(3000 * ms)
	p.a.want(1, Mismatch)
	p.b.Open(sessionB(1, 1), 0, p.now)
	p.run()
	p.a.want(1, Authenticated)
	p.b.want(1, Authenticated)
}

func TestOpenSessionsAreToldAgainAfterAReconnection(t *testing.T) {
	p := newPair(t)
	p.a.Disconnect(0)
	p.b.Disconnect(0)
	for n := range 100 {
		p.b.Open(sessionB(n, uint16(n)), 0, p.now)
		p.a.Open(sessionA(n, uint16(n)), 0, p.now)
	}
	for n := range 10 {
		p.a.Close(id(n), p.now)
		p.b.Close(id(n), p.now)
	}
	p.later(20_000 * ms)
	p.a.want(50, Waiting)
	p.connect()
	p.run()
	for n := 10; n < 100; n++ {
		p.a.want(n, Authenticated)
		p.b.want(n, Authenticated)
	}
	told := p.a.Stats().Told + p.b.Stats().Told
	p.connect()
	p.run()
	if again := p.a.Stats().Told + p.b.Stats().Told; again != told {
		t.Errorf("%d messages about what is known", again-told)
	}
}

func TestControlPlaneThatIsStartedAgainLearnsAndIsAnswered(t *testing.T) {
	p := newPair(t)
	p.b.Open(sessionB(1, 1), 0, p.now)
	p.a.Open(sessionA(1, 1), 0, p.now)
	p.run()
	p.b = newSite(t, DefaultParams())
	p.b.Open(sessionB(1, 1), 0, p.now) // as from its session table, without what was found out
	p.connect()
	p.run()
	p.b.want(1, Authenticated)
	known := sessionB(2, 2)
	known.State = Authenticated
	p.b.Open(known, 0, p.now)
	p.a.Open(sessionA(2, 2), 0, p.now)
	p.run()
	p.a.want(2, Authenticated)
}

func TestTellThatIsLostIsToldAgain(t *testing.T) {
	p := newPair(t)
	p.lost = func(to *site, m *message.Message) bool { return to == p.b && m.Kind != message.Ping }
	p.b.Open(sessionB(1, 1), 0, p.now)
	p.a.Open(sessionA(1, 1), 0, p.now)
	p.run()
	p.b.want(1, Waiting)
	p.lost = nil
	p.later(6000 * ms)
	p.b.want(1, Authenticated)
}

func TestEndedSessionLeavesNothingBehind(t *testing.T) {
	p := newPair(t)
	p.b.Open(sessionB(1, 1), 0, p.now)
	p.run()
	if p.a.Stats().Heldup != 1 {
		t.Fatal("the Tell does not wait")
	}
	p.b.Close(id(1), p.now)
	p.run()
	if s := p.a.Stats(); s.Heldup != 0 || len(p.a.peers[0].at) != 0 {
		t.Errorf("%+v", s)
	}
	p.later(60_000 * ms)
	if q := p.a.peers[0]; len(q.byRole[1].list) != 0 || len(q.conflicts.list) != 0 || len(p.b.sessions)+len(p.b.at)+len(p.b.peers[0].unheard.list) != 0 {
		t.Error("something is left")
	}
}

func TestFloodOfTellsIsBoundedAndHonestSessionsAreAuthenticatedBesideIt(t *testing.T) {
	p := newPair(t)
	flood := DefaultParams().Pending * 3
	for n := range flood {
		m := message.Message{Kind: message.Tell, ID: id(1_000_000 + n), Role: roleB, Tuple: other(tuple(9))}
		p.a.Receive(0, &m, p.now)
		if n%2 == 0 {
			m.Kind = message.Gone
			p.a.Receive(0, &m, p.now)
		}
	}
	q := p.a.peers[0]
	if s := p.a.Stats(); s.Heldup > DefaultParams().Pending || len(q.at) > s.Heldup || len(q.byRole[1].list) > 2*DefaultParams().Pending || s.PendingDropped == 0 {
		t.Errorf("%+v, %d", s, len(q.byRole[1].list))
	}
	p.b.Open(sessionB(1, 1), 0, p.now)
	p.run()
	p.a.Open(sessionA(1, 1), 0, p.now)
	p.run()
	p.a.want(1, Authenticated)
	p.b.want(1, Authenticated)
	p.later(61_000 * ms)
	if s := p.a.Stats(); s.Heldup != 0 {
		t.Errorf("%d are kept for ever", s.Heldup)
	}
}

func TestRepliesThatAreNotReadAreBounded(t *testing.T) {
	p := newPair(t)
	for n := range 20_000 {
		p.a.Open(sessionA(n, uint16(n)), 0, p.now)
		p.a.Receive(0, &message.Message{Kind: message.Tell, ID: id(n), Role: roleB}, p.now)
	}
	if q := p.a.peers[0]; len(q.replies) > DefaultParams().Replies || p.a.Stats().RepliesDropped == 0 {
		t.Errorf("%d replies wait", len(q.replies))
	}
}

func TestRecentSessionsAreBounded(t *testing.T) {
	params := DefaultParams()
	params.Recent = 10
	s := newSite(t, params)
	for n := range 100 {
		s.Open(sessionA(n, uint16(n)), 0, 1)
		s.Close(id(n), 1)
	}
	if len(s.recent.was) != 10 || len(s.recent.order.list) != 10 {
		t.Errorf("%d", len(s.recent.was))
	}
	if _, ok := s.recent.find(id(99)); !ok {
		t.Error("the latest is forgotten")
	}
}

func TestPeerMaySpeakOnlyAboutSessionsBehindIt(t *testing.T) {
	b := New(2, DefaultParams())
	b.Connect(0, 1)
	b.Connect(1, 1)
	b.Open(sessionA(1, 1), 0, 1)
	var m message.Message
	for b.Next(0, 1, &m) {
	}
	for _, k := range []message.Kind{message.Tell, message.Have, message.Lack} {
		b.Receive(1, &message.Message{Kind: k, ID: id(1), Role: roleB, Tuple: other(tuple(1))}, 1)
	}
	b.Receive(1, &message.Message{Kind: message.Tell, ID: id(2), Role: roleB, Tuple: other(tuple(1))}, 1)
	b.Tick(int64(1e9))
	if o := b.sessions[id(1)]; o.State != Waiting || b.Stats().Foreign != 3 || len(b.Verdicts()) != 0 {
		t.Errorf("state %d, %+v", o.State, b.Stats())
	}
}

func TestPeerThatTellsWhatItWasToldAuthenticatesNothing(t *testing.T) {
	p := newPair(t)
	p.a.Open(sessionA(1, 1), 0, p.now)
	p.a.Receive(0, &message.Message{Kind: message.Tell, ID: id(1), Role: roleA, Tuple: tuple(1)}, p.now)
	p.a.want(1, Waiting)
	if p.a.Stats().Reflected != 1 {
		t.Errorf("%+v", p.a.Stats())
	}
	p.a.Receive(0, &message.Message{Kind: message.Have, ID: id(5)}, p.now)
	if p.a.Stats().Unexpected != 1 {
		t.Errorf("%+v", p.a.Stats())
	}
}

func TestLongestPrefixDecides(t *testing.T) {
	prefix := func(s ...string) (list []netip.Prefix) {
		for _, x := range s {
			list = append(list, netip.MustParsePrefix(x))
		}
		return list
	}
	p, err := NewPrefixes([][]netip.Prefix{prefix("10.0.0.0/8", "fd00::/16"), prefix("10.1.0.0/16", "10.2.3.4/32"), prefix("fd00:1::/32")})
	if err != nil {
		t.Fatal(err)
	}
	for addr, want := range map[string]int{"10.9.9.9": 0, "10.1.2.3": 1, "10.2.3.4": 1, "10.2.3.5": 0, "fd00:2::1": 0, "fd00:1::1": 2, "192.0.2.1": -1, "::1": -1} {
		got, ok := p.Find(netip.MustParseAddr(addr).As16())
		if !ok {
			got = -1
		}
		if got != want {
			t.Errorf("%s is behind %d, not %d", addr, got, want)
		}
	}
	if _, err := NewPrefixes([][]netip.Prefix{prefix("10.0.0.0/8"), prefix("10.1.2.3/8")}); err == nil {
		t.Error("one prefix of two peers")
	}
}

// FuzzBook has a hostile peer say anything in any order: what it may do is bounded.
func FuzzBook(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10})
	f.Add([]byte{0x20, 0x01, 0x81, 0x41, 0x22, 0xe2, 0x07, 0x13})
	f.Fuzz(func(t *testing.T, script []byte) {
		params := DefaultParams()
		params.Pending, params.Replies, params.Recent = 4, 4, 4
		b := New(2, params)
		b.Connect(0, 1)
		b.Connect(1, 1)
		now := int64(1)
		for _, c := range script {
			n := int(c & 7)
			switch c >> 5 {
			case 0:
				b.Open(sessionA(n, uint16(n)), 0, now)
			case 1:
				b.Close(id(n), now)
			case 2, 3, 4:
				kinds := []message.Kind{message.Tell, message.Have, message.Lack, message.Gone}
				role := roleA + flowtable.Role(c>>5&1)
				b.Receive((int(c>>5)-1)&1, &message.Message{Kind: kinds[c>>3&3], ID: id(n), Role: role, Tuple: other(tuple(uint16(c & 3)))}, now)
			case 5:
				var m message.Message
				for b.Next(0, now, &m) {
				}
			case 6:
				now += int64(n) * 1000 * ms
				b.Tick(now)
			case 7:
				b.Connect(n&1, now)
			}
			for _, v := range b.Verdicts() {
				if v.Peer != 0 || v.Session.State == Waiting {
					t.Fatalf("verdict %+v", v)
				}
			}
			s := b.Stats()
			if len(b.sessions) > 8 || s.Open != len(b.sessions) || s.Waiting < 0 || s.Waiting > s.Open || len(b.recent.was) > 4 || len(b.at) > len(b.sessions) {
				t.Fatalf("%+v", s)
			}
			for _, p := range b.peers {
				if len(p.pending) > 4 || len(p.at) > len(p.pending) || len(p.replies) > 4 {
					t.Fatalf("%d pending, %d replies", len(p.pending), len(p.replies))
				}
			}
		}
	})
}

func TestSessionsWithTheSameAddressesInTwoVLANsAreBothAuthenticated(t *testing.T) {
	p := newPair(t)
	first, second := sessionA(1, 1), sessionA(2, 1)
	second.Tuple.VLAN++
	p.a.Open(first, 0, p.now)
	p.a.Open(second, 0, p.now)
	far, far2 := sessionB(1, 1), sessionB(2, 1)
	far2.Tuple.VLAN++
	p.b.Open(far, 0, p.now)
	p.b.Open(far2, 0, p.now)
	p.later(40_000 * ms)
	for n := 1; n <= 2; n++ {
		p.a.want(n, Authenticated)
		p.b.want(n, Authenticated)
	}
}

func TestSessionOfAnotherVLANHidesNoMismatch(t *testing.T) {
	p := newPair(t)
	p.a.Open(sessionA(1, 1), 0, p.now) // somebody is in the middle of it
	beside := sessionA(2, 1)
	beside.Tuple.VLAN++
	p.a.Open(beside, 0, p.now)
	p.later(40_000 * ms)
	p.a.want(1, Mismatch)
}

func TestWhatIsAskedOfAPeerDoesNotLookAtTheSessionsOfOthers(t *testing.T) {
	const peers, sessions = 512, 1 << 16
	b := New(peers, DefaultParams())
	for n := range sessions {
		s := sessionA(n, uint16(n))
		b.Open(s, 0, 1)
	}
	begin := time.Now()
	for n := 1; n < peers; n++ {
		b.Connect(n, 1)
		b.Disconnect(n)
		if open, _ := b.Of(n); open != 0 || len(b.Release(n, func(*Session) bool { return false })) != 0 {
			t.Fatalf("peer %d has %d sessions", n, open)
		}
	}
	took := time.Since(begin)
	begin = time.Now()
	if open, authenticated := b.Of(0); open != sessions || authenticated != 0 {
		t.Errorf("peer 0 has %d sessions, %d authenticated", open, authenticated)
	}
	if one := time.Since(begin); took > 10*one+200*time.Millisecond {
		t.Errorf("%d peers without a session took %v, the one with %d of them %v", peers-1, took, sessions, one)
	}
}
