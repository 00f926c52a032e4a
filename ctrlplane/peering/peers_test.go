package peering

import (
	"errors"
	"net/netip"
	"testing"

	"linecrypt/ctrlplane/peering/book"
)

func site(name string, n byte, address string, prefixes ...string) Peer {
	p := Peer{Name: name, Key: public(n), Address: address}
	for _, x := range prefixes {
		p.Prefixes = append(p.Prefixes, netip.MustParsePrefix(x))
	}
	return p
}

// setPeers replaces a node's peers and returns how many sessions were released.
func setPeers(t *testing.T, n *Node, peers ...Peer) []book.Session {
	t.Helper()
	released, err := n.SetPeers(peers)
	if err != nil {
		t.Fatal(err)
	}
	return released
}

// behind opens a session with the peer behind which its far end lies.
func behind(t *testing.T, n *Node, s book.Session) {
	t.Helper()
	peer, ok := n.PeerFor(s.Tuple.Outside)
	if !ok {
		t.Fatal("the far end is behind nobody")
	}
	n.Open(s, peer)
}

func TestPeersMayComeAndGoWhileTheNodeRuns(t *testing.T) {
	la, lb, lc := port(t, "127.0.0.1:0"), port(t, "127.0.0.1:0"), port(t, "127.0.0.1:0")
	a, _ := run(t, Config{Key: key(1), Listener: la})
	b, _ := run(t, Config{Key: key(2), Listener: lb, Peers: peerA("")})
	c, _ := run(t, Config{Key: key(3), Listener: lc, Peers: peerA("")})
	siteB, siteC := site("b", 2, lb.Addr().String(), "10.0.0.2/32"), site("c", 3, lc.Addr().String(), "10.0.0.0/24")
	if _, ok := a.PeerFor(ofA(1).Tuple.Outside); ok || len(a.Status()) != 0 {
		t.Fatal("a has a peer")
	}
	setPeers(t, a, siteB)
	eventually(t, "a connection with b", connected(b))
	behind(t, b, ofB(1))
	behind(t, a, ofA(1))
	authenticated(t, a, 1)
	before := b.Stats().Connections

	// One more peer, and another name, address and prefix for the first: its connection and its sessions stay.
	siteB.Name, siteB.Address, siteB.Prefixes = "b2", "127.0.0.1:1", append(siteB.Prefixes, netip.MustParsePrefix("10.9.0.0/16"))
	if out := setPeers(t, a, siteC, siteB); len(out) != 0 {
		t.Errorf("released: %v", out)
	}
	eventually(t, "a connection with c", connected(c))
	if s := a.Status(); len(s) != 2 || s[0].Name != "b2" || !s[0].Connected || s[0].Authenticated != 1 || b.Stats().Connections != before {
		t.Errorf("%+v, connections of b %d", s, b.Stats().Connections)
	}

	// Without the first one its sessions are nobody's, its connection ends, and it is not let in again.
	out := setPeers(t, a, siteC)
	if len(out) != 1 || out[0].ID != id(1) || out[0].State != book.Authenticated {
		t.Errorf("released: %+v", out)
	}
	eventually(t, "no connection with b", func() bool { return !connected(b)() })
	setPeers(t, b, peerA(la.Addr().String())...)
	eventually(t, "b is refused", func() bool { return a.Stats().Refused > 0 })
	eventually(t, "a's connection with c alone", func() bool {
		s := a.Status()
		return len(s) == 1 && s[0].Name == "c" && s[0].Connected
	})
	// Its hosts lie behind the other one now, which is asked; b's word does not count.
	behind(t, a, ofA(1))
	behind(t, c, ofB(1))
	authenticated(t, c, 1)
	eventually(t, "c's word", func() bool { return a.Status()[0].Authenticated == 1 })

	setPeers(t, a, siteB, siteC) // it comes back, as a peer that nothing is known of
	eventually(t, "b again", func() bool { return connected(b)() && len(a.Status()) == 2 })
}

func TestPeerWithAnotherKeyIsAnotherPeer(t *testing.T) {
	l := port(t, "127.0.0.1:0")
	a, _ := run(t, Config{Key: key(1), Listener: l, Peers: peerB("")})
	b, stop := run(t, Config{Key: key(2), Peers: peerA(l.Addr().String())})
	eventually(t, "a connection", connected(b))
	behind(t, b, ofB(1))
	behind(t, a, ofA(1))
	authenticated(t, a, 1)
	if out := setPeers(t, a, site("b", 4, "", "10.0.0.2/32")); len(out) != 1 {
		t.Errorf("released: %v", out)
	}
	behind(t, a, ofA(1))
	eventually(t, "the old key is refused", func() bool { return a.Stats().Refused > 0 && !connected(b)() })
	if s := a.Status()[0]; s.Connected || s.Authenticated != 0 || s.Sessions != 1 {
		t.Errorf("%+v", s)
	}
	stop()
	// Its control plane is started again with the new key, and has the session still.
	b, _ = run(t, Config{Key: key(4), Peers: peerA(l.Addr().String())})
	behind(t, b, ofB(1))
	eventually(t, "the session is authenticated by the new key", func() bool { return a.Status()[0].Authenticated == 1 })
	if n := a.Stats().Mismatches; n != 0 {
		t.Errorf("%d mismatches", n)
	}
}

func TestSessionsOfAPrefixThatMovesGoWithItUnlessTheyAreAuthenticated(t *testing.T) {
	l := port(t, "127.0.0.1:0")
	a, _ := run(t, Config{Key: key(1), Listener: l, Peers: []Peer{site("b", 2, "", "10.0.0.2/32"), site("c", 3, "", "10.3.0.0/16")}})
	b, stop := run(t, Config{Key: key(2), Peers: peerA(l.Addr().String())})
	eventually(t, "a connection", connected(b))
	behind(t, b, ofB(1))
	behind(t, a, ofA(1))
	authenticated(t, a, 1)
	stop()
	behind(t, a, ofA(2)) // of which b has said nothing
	out := setPeers(t, a, site("b", 2, "", "10.4.0.0/16"), site("c", 3, "", "10.0.0.2/32"))
	if len(out) != 1 || out[0].ID != id(2) {
		t.Errorf("released: %+v", out)
	}
	// A prefix that is behind nobody any more leaves nothing.
	out = setPeers(t, a, site("b", 2, "", "10.4.0.0/16"))
	if len(out) != 1 || out[0].ID != id(1) || a.Stats().Open != 0 {
		t.Errorf("released: %+v, %d open", out, a.Stats().Open)
	}
}

func TestPeersThatMakeNoSenseChangeNothing(t *testing.T) {
	a, _ := run(t, Config{Key: key(1), Peers: peerB("")})
	for what, peers := range map[string][]Peer{
		"own key":    {site("a", 1, "", "10.0.0.0/8")},
		"one key":    {site("b", 2, "", "10.0.0.0/8"), site("c", 2, "", "10.1.0.0/16")},
		"one prefix": {site("b", 2, "", "10.0.0.0/8"), site("c", 3, "", "10.0.0.0/8")},
		"no prefix":  {site("c", 3, "")},
	} {
		if _, err := a.SetPeers(peers); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", what, err)
		}
		if s := a.Status(); len(s) != 1 || s[0].Name != "b" {
			t.Errorf("%s: %+v", what, s)
		}
	}
}
