package server

import (
	"strings"
	"testing"

	"linecrypt/ctrlplane/config"
	"linecrypt/ctrlplane/sessiontable"
	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/flowtable"
)

// auth returns what the session table says of a connection's far end.
func (p *plane) auth(q *shm.Request) sessiontable.Auth {
	var e sessiontable.Entry
	p.table().Lookup(&q.Tuple, &e)
	return e.Auth
}

func TestHostThatWaitsForAPeerIsResetWhenThePeerIsTakenOut(t *testing.T) {
	p := newPlane(t, t.TempDir(), 1)
	c := withPeer(t, "policy: require\nauthenticated: yes\n")
	s, _ := run(t, peered(t, c, p.dir))
	held := p.from(0, 1, 1, 1000, keysFor(t, tcpcrypt.ECDHECurve25519))
	p.call(0, held, shm.Keys)
	p.lanes[0].flows.Record(held.Ref.Index).Flags |= flowtable.FlagHeld
	lives := p.from(0, 1, 2, 2000, keysFor(t, tcpcrypt.ECDHECurve25519))
	p.call(0, lives, shm.Keys)
	if err := s.do(func() {
		s.sessions.SetAuth(&lives.Tuple, 0, lives.Ref.Index, lives.Ref.Gen, sessiontable.Authenticated)
	}); err != nil {
		t.Fatal(err)
	}
	fresh := *c
	fresh.Peers = nil
	if err := s.SetPeers(&fresh); err != nil {
		t.Fatal(err)
	}
	if o := p.receiveOrder(0); o.Kind != shm.Kill || o.Reason != shm.ReasonUnauthenticated || o.Ref != held.Ref {
		t.Errorf("%+v", o)
	}
	if a, b := p.auth(&held), p.auth(&lives); a != sessiontable.AuthNone || b != sessiontable.AuthNone {
		t.Errorf("shown as %v and %v", a, b)
	}
	if len(s.Peers()) != 0 || s.PeeringStats().Open != 0 {
		t.Errorf("%+v", s.Peers())
	}
	// It comes back, and is asked about both.
	if err := s.SetPeers(c); err != nil {
		t.Fatal(err)
	}
	if a, b := p.auth(&held), p.auth(&lives); a != sessiontable.AuthWaiting || b != sessiontable.AuthWaiting || s.Peers()[0].Sessions != 2 {
		t.Errorf("shown as %v and %v; %+v", a, b, s.Peers())
	}
}

func TestPeeringMayBeginWhileTheControlPlaneRuns(t *testing.T) {
	p := newPlane(t, t.TempDir(), 1)
	s, _ := run(t, options(p.dir))
	q := p.from(0, 1, 1, 1000, keysFor(t, tcpcrypt.ECDHECurve25519))
	p.call(0, q, shm.Keys)
	if p.auth(&q) != sessiontable.AuthNone {
		t.Fatal("somebody is asked")
	}
	c := withPeer(t, "")
	bad := *c
	bad.Peering.Key += "x"
	if err := s.SetPeers(&bad); err == nil || !strings.Contains(err.Error(), "peering.key") || len(s.Peers()) != 0 {
		t.Errorf("a key that is not there: %v, %+v", err, s.Peers())
	}
	if err := s.SetPeers(c); err != nil {
		t.Fatal(err)
	}
	if p.auth(&q) != sessiontable.AuthWaiting || len(s.Peers()) != 1 || s.Peers()[0].Sessions != 1 {
		t.Errorf("%v, %+v", p.auth(&q), s.Peers())
	}
	twice := *c
	twice.Peers = append(twice.Peers[:1:1], config.Peer{Name: "again", Key: c.Peers[0].Key, Prefixes: c.Peers[0].Prefixes})
	if err := s.SetPeers(&twice); err == nil || !strings.Contains(err.Error(), "peers") || len(s.Peers()) != 1 {
		t.Errorf("one peer twice: %v, %+v", err, s.Peers())
	}
}
