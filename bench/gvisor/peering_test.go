package gvisor

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"net"
	"path/filepath"
	"testing"
	"time"

	"linecrypt/bench/hosts"
	"linecrypt/bench/pattern"
	"linecrypt/ctrlplane/peering/identity"
	"linecrypt/ctrlplane/sessiontable"
)

// peers returns settings with which gateways a and b, whose control planes meet on the loopback interface, are peers. Both dial.
func peers(t *testing.T, a, b hosts.Settings) hosts.Options {
	t.Helper()
	type site struct{ key, public, address, prefixes string }
	var sites [2]site
	for i := range sites {
		key, err := identity.Generate()
		if err != nil {
			t.Fatal(err)
		}
		l, err := net.Listen("tcp", "127.77.0.1:0") // no connection's own address: a control plane that begins again finds its port free
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		s := site{filepath.Join(t.TempDir(), "key"), identity.Public(key.Public().(ed25519.PublicKey)), l.Addr().String(), fmt.Sprintf("10.0.0.%d, fd00::%d", i+1, i+1)}
		if err := identity.Write(s.key, key); err != nil {
			t.Fatal(err)
		}
		sites[i] = s
	}
	settings := func(own, peer site, more hosts.Settings) hosts.Settings {
		s := hosts.Settings{
			"peering.key": own.key, "peering.listen": own.address,
			"peers": fmt.Sprintf("[{name: peer, key: %q, prefixes: [%s], address: %q}]", peer.public, peer.prefixes, peer.address),
		}
		for k, v := range more {
			s[k] = v
		}
		return s
	}
	return hosts.Options{A: settings(sites[0], sites[1], a), B: settings(sites[1], sites[0], b)}
}

// demanding are the settings of a gateway that wants far ends authenticated.
var demanding = hosts.Settings{"policy": "require", "authenticated": "yes", "peering.timeout": "2s"}

// set changes a gateway's configuration and starts its control plane again.
func set(t *testing.T, g *hosts.Gateway, key, value string) {
	t.Helper()
	g.StopControl()
	if err := g.Config.Set("test", key, value); err != nil {
		t.Fatal(err)
	}
	g.StartControl(t)
}

func awaitPeers(t *testing.T, gs ...*hosts.Gateway) {
	t.Helper()
	for _, g := range gs {
		await(t, "gateway "+g.Config.Name+" is connected with its peer", func() bool { return g.Control().Peers()[0].Connected })
	}
}

func await(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(hosts.Patience); !f(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

// auth returns what a gateway knows of the far end of its own host's connection.
func auth(g *hosts.Gateway, host, peer *hosts.Conn) sessiontable.Auth {
	var e sessiontable.Entry
	if peer == nil {
		e, _ = g.Session(host.Local(), host.Remote())
	} else {
		e, _ = g.Session(peer.Remote(), peer.Local())
	}
	return e.Auth
}

func awaitAuth(t *testing.T, n *hosts.Network, client *hosts.Conn, want sessiontable.Auth) {
	t.Helper()
	await(t, fmt.Sprintf("both gateways say %v", want), func() bool { return auth(n.A, client, nil) == want && auth(n.B, nil, client) == want })
}

func TestSessionsBetweenPeersAreShownAsAuthenticated(t *testing.T) {
	n := hosts.New(t, peers(t, nil, nil))
	awaitPeers(t, n.A, n.B)
	for _, family := range []hosts.Family{hosts.IPv4, hosts.IPv6} {
		client, server := n.Connect(t, n.Listen(t, family))
		awaitAuth(t, n, client, sessiontable.Authenticated)
		mustExchange(t, client, server, 50_000, 50_000, 3000)
	}
	if s := n.A.Control().Peers()[0]; !s.Connected || s.Authenticated > s.Sessions {
		t.Errorf("%+v", s)
	}
}

func TestConnectionWhoseFarEndMustBeAuthenticatedBeginsWithThat(t *testing.T) {
	for name, o := range map[string]hosts.Options{
		"at the opener": peers(t, demanding, nil), "at the listener": peers(t, nil, demanding), "at both": peers(t, demanding, demanding),
	} {
		t.Run(name, func(t *testing.T) {
			n := hosts.New(t, o)
			awaitPeers(t, n.A, n.B)
			for range 10 {
				client, server := n.Connect(t, n.Listen(t, hosts.IPv4))
				if name != "at the listener" && auth(n.A, client, nil) != sessiontable.Authenticated {
					t.Errorf("the opener goes on while the far end is %v", auth(n.A, client, nil))
				}
				if name != "at the opener" && auth(n.B, nil, client) != sessiontable.Authenticated {
					t.Errorf("the listener goes on while the far end is %v", auth(n.B, nil, client))
				}
				mustExchange(t, client, server, 20_000, 20_000, 3000)
			}
		})
	}
}

func TestPeerThatIsAwayRefusesOnlyWhatDemandsIt(t *testing.T) {
	n := hosts.New(t, peers(t, demanding, nil))
	l := n.Listen(t, hosts.IPv4)
	awaitPeers(t, n.A, n.B)
	old, oldServer := n.Connect(t, l)
	list := n.B.Config.Peers
	set(t, n.B, "peers", "[]")
	began := time.Now()
	if c, err := dial(n, l); err == nil {
		c.Close()
		t.Fatal("a connection is made that nobody has authenticated")
	}
	if d := time.Since(began); d < time.Second {
		t.Errorf("it is refused after %v already", d)
	}
	if k := n.A.Count(t, "abort_unauthenticated"); k != 1 {
		t.Errorf("%d connections are counted", k)
	}
	mustExchange(t, old, oldServer, 100_000, 100_000, 3000)
	n.B.StopControl()
	n.B.Config.Peers = list
	n.B.StartControl(t)
	awaitPeers(t, n.A, n.B)
	client, server := n.Connect(t, n.Listen(t, hosts.IPv4))
	mustExchange(t, client, server, 1000, 1000, 500)
}

func TestConnectionThatWaitsGoesOnWhenItsPeerComes(t *testing.T) {
	patient := hosts.Settings{"policy": "require", "authenticated": "yes", "peering.timeout": "60s"}
	n := hosts.New(t, peers(t, patient, nil))
	l := n.Listen(t, hosts.IPv4)
	awaitPeers(t, n.A, n.B)
	list := n.B.Config.Peers
	set(t, n.B, "peers", "[]")
	type result struct {
		c   *hosts.Conn
		err error
	}
	done := make(chan result, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), hosts.Patience)
		defer cancel()
		c, err := n.Client.Dial(ctx, l.Addr)
		done <- result{c, err}
	}()
	await(t, "the connection waits", func() bool { return n.A.Count(t, "handshakes_held") == 1 })
	n.A.StopControl() // what it waits for outlives a control plane
	n.A.StartControl(t)
	n.B.StopControl()
	n.B.Config.Peers = list
	n.B.StartControl(t)
	r := <-done
	if r.err != nil {
		t.Fatal(r.err)
	}
	server, err := l.AcceptWithin(hosts.Patience)
	if err != nil {
		t.Fatal(err)
	}
	awaitAuth(t, n, r.c, sessiontable.Authenticated)
	mustExchange(t, r.c, server, 1000, 1000, 500)
}

func TestFarEndBehindNoPeerIsRefusedWhereItMustBeAuthenticated(t *testing.T) {
	o := peers(t, demanding, nil)
	o.A["peers"] = o.A["peers"][:len(o.A["peers"])-2] + "}]"
	n := hosts.New(t, o)
	if err := n.A.Config.Set("test", "peers", o.A["peers"]); err != nil {
		t.Fatal(err)
	}
	n.A.Config.Peers[0].Prefixes = n.A.Config.Peers[0].Prefixes[1:] // IPv6 alone
	n.A.Config.Peering.Timeout = hosts.Patience / 2                 // after which a peer is not waited for any more
	n.A.StopControl()
	n.A.StartControl(t)
	began := time.Now()
	if c, err := dial(n, n.Listen(t, hosts.IPv4)); err == nil {
		c.Close()
		t.Fatal("a connection is made that nobody can authenticate")
	}
	if d := time.Since(began); d > n.A.Config.Peering.Timeout {
		t.Errorf("that takes %v", d)
	}
}

// inTheMiddle returns a network with somebody in the middle, and what he sees in plaintext.
func inTheMiddle(t *testing.T, o hosts.Options) (*hosts.Network, *wireWatch) {
	o.Middle = true
	n := hosts.New(t, o)
	awaitPeers(t, n.A, n.B)
	return n, watch(n.Middle)
}

func TestNoByteReachesSomebodyInTheMiddleWhereFarEndsMustBeAuthenticated(t *testing.T) {
	n, middle := inTheMiddle(t, peers(t, demanding, demanding))
	l := n.Listen(t, hosts.IPv4)
	for range 3 {
		if c, err := dial(n, l); err == nil {
			_ = send(c, up, 1000, 1000)
			t.Fatal("a connection is made with somebody in the middle of it")
		}
	}
	if s, err := l.AcceptWithin(100 * time.Millisecond); err == nil {
		s.Close()
		t.Error("the server has got a connection")
	}
	if k, first := middle.plaintext(); k > 0 {
		t.Errorf("%d frames of plaintext reach him, the first %s", k, first)
	}
	if sa, sb := middle.count(func(s seen) bool { return s.syn }), n.ToA.Count(t, "handshakes_done"); sa == 0 || sb == 0 {
		t.Errorf("%d SYNs came to him and %d connections with A: the test shows nothing", sa, sb)
	}
	// One gateway is first to know, and its RST may reach the other one before that knows.
	ended := func(g *hosts.Gateway) uint64 {
		return g.Count(t, "abort_mismatch") + g.Count(t, "abort_unauthenticated")
	}
	if a, b := ended(n.A), ended(n.B); a+b < 3 || a > 3 || b > 3 {
		t.Errorf("%d connections are counted by A and %d by B", a, b)
	}
}

func TestNothingFromSomebodyInTheMiddleReachesAHostWhoseFarEndMustBeAuthenticated(t *testing.T) {
	n, _ := inTheMiddle(t, peers(t, demanding, nil))
	near := watch(n.Near)
	l := n.Listen(t, hosts.IPv4)
	greeted := make(chan struct{})
	go func() {
		defer close(greeted)
		if s, err := l.AcceptWithin(hosts.Patience); err == nil { // its gateway demands nothing
			greeting := make([]byte, 1000)
			pattern.Fill(greeting, down, 0)
			_, _ = s.Write(greeting)
			s.Close()
		}
	}()
	if c, err := dial(n, l); err == nil {
		c.Close()
		t.Fatal("a connection is made with somebody in the middle of it")
	}
	if k, first := near.plaintext(); k > 0 {
		t.Errorf("%d frames of plaintext reach the host, the first %s", k, first)
	}
	<-greeted
}

func TestConnectionWithSomebodyInTheMiddleIsResetWhereTheRuleSaysSo(t *testing.T) {
	o := peers(t, hosts.Settings{"on_mismatch": "reset"}, nil)
	n, _ := inTheMiddle(t, o)
	client, server := n.Connect(t, n.Listen(t, hosts.IPv4))
	if err := client.SetDeadline(time.Now().Add(hosts.Patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Read(make([]byte, 1)); err == nil {
		t.Error("the connection goes on")
	}
	if k := n.A.Count(t, "abort_mismatch"); k != 1 {
		t.Errorf("%d connections are counted", k)
	}
	server.Close()
}

func TestSomebodyInTheMiddleIsAnAlarmElsewhere(t *testing.T) {
	n, middle := inTheMiddle(t, peers(t, nil, nil))
	client, server := n.Connect(t, n.Listen(t, hosts.IPv4))
	a, _ := n.A.Session(client.Local(), client.Remote())
	b, _ := n.B.Session(client.Remote(), client.Local())
	if a.SessionID == b.SessionID {
		t.Fatal("nobody is in the middle: the test shows nothing")
	}
	awaitAuth(t, n, client, sessiontable.AuthMismatch)
	for _, g := range []*hosts.Gateway{n.A, n.B} {
		if m := g.Control().PeeringStats().Mismatches; m != 1 {
			t.Errorf("gateway %s counts %d mismatches", g.Config.Name, m)
		}
	}
	mustExchange(t, client, server, 20_000, 20_000, 3000)
	if k, _ := middle.plaintext(); k == 0 {
		t.Error("he sees no plaintext: the test shows nothing")
	}
}
