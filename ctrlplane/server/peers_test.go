package server

import (
	"crypto/ed25519"
	"io"
	"log/slog"
	"net"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"linecrypt/ctrlplane/config"
	"linecrypt/ctrlplane/peering/identity"
	"linecrypt/ctrlplane/policy"
	"linecrypt/ctrlplane/responder"
	"linecrypt/ctrlplane/sessiontable"
	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/flowtable"
)

// withPeer returns a configuration that lists a peer, with 198.51.0.0/16 behind it, which nobody is.
func withPeer(t *testing.T, more string) *config.Config {
	t.Helper()
	own := filepath.Join(t.TempDir(), "key")
	key, err := identity.Generate()
	if err == nil {
		err = identity.Write(own, key)
	}
	far, err2 := identity.Generate()
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	c, err := config.Parse("gw.yaml", []byte("peering: {key: "+own+", listen: '127.0.0.1:0'}\npeers: [{name: far, key: '"+
		identity.Public(far.Public().(ed25519.PublicKey))+"', prefixes: [198.51.0.0/16]}]\n"+more))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func peered(t *testing.T, c *config.Config, dir string) Options {
	t.Helper()
	n, err := NewPeering(c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	o := options(dir)
	o.Terms, o.Peering = responder.TermsOf(c), n
	return o
}

func TestKeysAreHeldWhereTheFarEndMustBeAuthenticated(t *testing.T) {
	for more, hold := range map[string]bool{"": false, "policy: require\nauthenticated: yes\n": true} {
		p := newPlane(t, t.TempDir(), 1)
		s, _ := run(t, peered(t, withPeer(t, more), p.dir))
		q := p.from(0, 1, 1, 1000, keysFor(t, tcpcrypt.ECDHECurve25519))
		if r := p.call(0, q, shm.Keys); r.Hold != hold {
			t.Errorf("%q: held %v", more, r.Hold)
		}
		var e sessiontable.Entry
		if !p.table().Lookup(&q.Tuple, &e) || e.Auth != sessiontable.AuthWaiting {
			t.Errorf("%q: the far end is %v", more, e.Auth)
		}
		if st := s.Peers(); len(st) != 1 || st[0].Sessions != 1 || st[0].Connected {
			t.Errorf("%q: %+v", more, st)
		}
		p.send(0, shm.Request{Kind: shm.Closed, Reason: shm.ReasonReset, Ref: q.Ref, Tuple: q.Tuple})
		eventually(t, "the peer hears of the end", func() bool { return s.Peers()[0].Sessions == 0 })
	}
}

func TestConnectionWithAFarEndBehindNoPeerIsAbortedWhereItMustBeAuthenticated(t *testing.T) {
	p := newPlane(t, t.TempDir(), 1)
	s, _ := run(t, peered(t, withPeer(t, "policy: require\nauthenticated: yes\n"), p.dir))
	q := p.from(0, 1, 1, 1000, keysFor(t, tcpcrypt.ECDHECurve25519))
	l := &p.lanes[0]
	l.flows.Remove(q.Ref.Index)
	q.Tuple.Outside[12] = 203
	i, _ := l.flows.Insert(&q.Tuple, l.flows.Hash(&q.Tuple), 1)
	l.flows.SetState(i, flowtable.PassiveKeys)
	q.Ref.Index, q.Ref.Gen = i, l.flows.Record(i).Gen
	if r := p.call(0, q, shm.Abort); r.Reason != shm.ReasonUnauthenticated {
		t.Errorf("aborted for %v", r.Reason)
	}
	var e sessiontable.Entry
	if p.table().Lookup(&q.Tuple, &e) {
		t.Error("it has an entry")
	}
	w := httptest.NewRecorder()
	s.ControlHandler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	body, _ := io.ReadAll(w.Result().Body)
	for _, want := range []string{"linecrypt_ctrlplane_peers_missing_total 1", "linecrypt_ctrlplane_peers_connected 0", "linecrypt_ctrlplane_session_mismatches_total 0"} {
		if !strings.Contains(string(body), want) {
			t.Errorf("no %q among the metrics", want)
		}
	}
}

func TestSessionsOfAnEarlierControlPlaneAreToldAgainAndItsWordIsKept(t *testing.T) {
	p := newPlane(t, t.TempDir(), 1)
	c := withPeer(t, "policy: require\nauthenticated: yes\n")
	_, stop := run(t, peered(t, c, p.dir))
	q := p.from(0, 1, 1, 1000, keysFor(t, tcpcrypt.ECDHECurve25519))
	p.call(0, q, shm.Keys)
	stop()
	// It had heard from the peer, and was killed before the data plane heard of it.
	seg, err := options(p.dir).Open()
	if err != nil {
		t.Fatal(err)
	}
	table, err := options(p.dir).OpenSessions(seg)
	if err != nil {
		t.Fatal(err)
	}
	if !table.SetAuth(&q.Tuple, 0, q.Ref.Index, q.Ref.Gen, sessiontable.Authenticated) {
		t.Fatal("no entry")
	}
	table.Close()
	seg.Close()
	p.lanes[0].flows.Record(q.Ref.Index).Flags |= flowtable.FlagHeld
	s, _ := run(t, peered(t, c, p.dir))
	if o := p.receiveOrder(0); o.Kind != shm.Confirm || o.Ref != q.Ref {
		t.Errorf("%+v", o)
	}
	if st := s.Peers(); st[0].Sessions != 1 || st[0].Authenticated != 1 {
		t.Errorf("%+v", st)
	}
}

func TestWhatAnEarlierControlPlaneDemandedIsKnownFromItsRules(t *testing.T) {
	r := &shm.Rules{Terms: policy.Terms{Policy: flowtable.Require, Authenticated: policy.AuthDemand, OnMismatch: policy.MismatchReset}}
	if c := config.Default().WithPublished(&r.Terms, nil); !c.Authenticated || c.OnMismatch != config.MismatchReset {
		t.Errorf("%v, %v", c.Authenticated, c.OnMismatch)
	}
	if errs := config.Default().Unsaid("gw.yaml", config.Weakened(config.Default().WithPublished(&r.Terms, nil), config.Default())); len(errs) < 3 {
		t.Errorf("%v", errs)
	}
}

func TestPeeringThatCannotBeginIsAMistakeOfTheConfiguration(t *testing.T) {
	c := withPeer(t, "")
	c.Peering.Key += "x"
	if _, err := NewPeering(c, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "gw.yaml:1: peering.key: key file: ") {
		t.Errorf("%v", err)
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	c = withPeer(t, "")
	c.Peering.Listen = taken.Addr().String()
	if _, err := NewPeering(c, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "gw.yaml:1: peering.listen: ") {
		t.Errorf("%v", err)
	}
	if n, err := NewPeering(config.Default(), nil); n != nil || err != nil {
		t.Errorf("without peers: %v, %v", n, err)
	}

}
