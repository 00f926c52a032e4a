package peering

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"linecrypt/ctrlplane/peering/book"
	"linecrypt/ctrlplane/peering/message"
	"linecrypt/flowtable"
)

const patience = 20 * time.Second

func key(n byte) ed25519.PrivateKey { return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, 32)) }

func public(n byte) ed25519.PublicKey { return key(n).Public().(ed25519.PublicKey) }

// only accepts one key.
func only(n byte) func(ed25519.PublicKey) bool {
	return func(k ed25519.PublicKey) bool { return k.Equal(public(n)) }
}

// quick are the times of nodes that are to find each other at once. On a busy machine somebody may say nothing for seconds.
var quick = Times{Handshake: patience, Ping: 50 * time.Millisecond, Silence: patience, FirstRetry: 10 * time.Millisecond, LastRetry: 50 * time.Millisecond, Tick: 10 * time.Millisecond}

// port is a listener, whose address others can be told before there is a node.
func port(t *testing.T, address string) net.Listener {
	t.Helper()
	var l net.Listener
	eventually(t, "listen on "+address, func() bool {
		var err error
		l, err = net.Listen("tcp", address)
		return err == nil
	})
	t.Cleanup(func() { l.Close() })
	return l
}

func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !f(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

// run starts a node, which stop ends.
func run(t *testing.T, c Config) (n *Node, stop func()) {
	t.Helper()
	if c.Times == (Times{}) {
		c.Times = quick
	}
	n, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { n.Run(ctx) })
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			wg.Wait()
		})
	}
	t.Cleanup(stop)
	return n, stop
}

func connected(n *Node) func() bool { return func() bool { return n.Status()[0].Connected } }

// peerA is the site of key 1 as others list it, with 10.0.0.1 behind it, and peerB that of key 2 with 10.0.0.2.
func peerA(address string) []Peer {
	return []Peer{{Name: "a", Key: public(1), Prefixes: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/32")}, Address: address}}
}

func peerB(address string) []Peer {
	return []Peer{{Name: "b", Key: public(2), Prefixes: []netip.Prefix{netip.MustParsePrefix("10.0.0.2/32")}, Address: address}}
}

func id(n int) message.ID {
	i := message.ID{0: 0x23}
	binary.BigEndian.PutUint64(i[1:], uint64(n))
	return i
}

func tuple(port int) flowtable.Key {
	return flowtable.Key{Inside: netip.MustParseAddr("10.0.0.1").As16(), Outside: netip.MustParseAddr("10.0.0.2").As16(), InsidePort: uint16(port), OutsidePort: 443}
}

func ofA(n int) book.Session {
	return book.Session{ID: id(n), Role: flowtable.RoleA, Tuple: tuple(n)}
}

func ofB(n int) book.Session {
	k := tuple(n)
	k.Inside, k.Outside, k.InsidePort, k.OutsidePort = k.Outside, k.Inside, k.OutsidePort, k.InsidePort
	return book.Session{ID: id(n), Role: flowtable.RoleB, Tuple: k}
}

// authenticated demands that a node has found that of so many sessions.
func authenticated(t *testing.T, n *Node, want uint64) {
	t.Helper()
	eventually(t, "authenticated sessions", func() bool { return n.Stats().Authenticated >= want })
	if s := n.Stats(); s.Authenticated != want || s.Mismatches != 0 {
		t.Errorf("%d are authenticated, %d are not: want %d, 0", s.Authenticated, s.Mismatches, want)
	}
}

func TestPeersAuthenticateTheirSessions(t *testing.T) {
	l := port(t, "127.0.0.1:0")
	a, _ := run(t, Config{Key: key(1), Listener: l, Peers: peerB("")})
	b, _ := run(t, Config{Key: key(2), Peers: peerA(l.Addr().String())})
	const sessions = 500
	for n := range sessions {
		peer, ok := b.PeerFor(ofB(n).Tuple.Outside)
		if !ok || b.Name(peer) != "a" {
			t.Fatal("10.0.0.1 is behind nobody")
		}
		b.Open(ofB(n), peer)
		a.Open(ofA(n), 0)
	}
	authenticated(t, a, sessions)
	authenticated(t, b, sessions)
	if v := a.Verdicts(); len(v) != sessions || v[0].Session.State != book.Authenticated {
		t.Errorf("%d verdicts", len(v))
	}
	if s := a.Status()[0]; !s.Connected || s.Sessions != sessions || s.Authenticated != sessions || s.Since.IsZero() {
		t.Errorf("%+v", s)
	}
}

func TestSessionOfWhoeverIsInTheMiddleIsAMismatchAtBothEnds(t *testing.T) {
	l := port(t, "127.0.0.1:0")
	a, _ := run(t, Config{Key: key(1), Listener: l, Peers: peerB("")})
	b, _ := run(t, Config{Key: key(2), Peers: peerA(l.Addr().String())})
	a.Open(ofA(1), 0)
	other := ofB(1)
	other.ID = id(2)
	b.Open(other, 0)
	for _, n := range []*Node{a, b} {
		eventually(t, "a mismatch", func() bool { return n.Stats().Mismatches == 1 })
	}
}

func TestWhereBothDialOneConnectionStays(t *testing.T) {
	for range 10 {
		la, lb := port(t, "127.0.0.1:0"), port(t, "127.0.0.1:0")
		a, stopA := run(t, Config{Key: key(1), Listener: la, Peers: peerB(lb.Addr().String())})
		b, stopB := run(t, Config{Key: key(2), Listener: lb, Peers: peerA(la.Addr().String())})
		eventually(t, "connections", func() bool { return connected(a)() && connected(b)() })
		// On a busy machine the second one comes late, and not a third.
		var before [2]uint64
		eventually(t, "nothing more to come", func() bool {
			before = [2]uint64{a.Stats().Connections, b.Stats().Connections}
			time.Sleep(200 * time.Millisecond)
			return before == [2]uint64{a.Stats().Connections, b.Stats().Connections}
		})
		if before[0] > 2 || before[1] > 2 {
			t.Errorf("connections come and go: %v", before)
		}
		a.mu.Lock()
		dialedA := a.peers[0].link.dialed
		a.mu.Unlock()
		b.mu.Lock()
		dialedB := b.peers[0].link.dialed
		b.mu.Unlock()
		if dialedA == dialedB {
			t.Error("the ends use different connections")
		}
		b.Open(ofB(1), 0)
		a.Open(ofA(1), 0)
		authenticated(t, a, 1)
		authenticated(t, b, 1)
		stopA()
		stopB()
	}
}

func TestPeerThatWasAwayHearsWhatIsOpen(t *testing.T) {
	l := port(t, "127.0.0.1:0")
	a, stop := run(t, Config{Key: key(1), Listener: l, Peers: peerB("")})
	b, _ := run(t, Config{Key: key(2), Peers: peerA(l.Addr().String())})
	eventually(t, "a connection", connected(b))
	stop()
	eventually(t, "its end", func() bool { return !connected(b)() })
	if s := b.Status()[0]; s.Why == "" || a.Status()[0].Connected {
		t.Errorf("%+v", s)
	}
	b.Open(ofB(1), 0)
	b.Open(ofB(2), 0)
	b.Close(id(2))
	a2, _ := run(t, Config{Key: key(1), Listener: port(t, l.Addr().String()), Peers: peerB("")})
	a2.Open(ofA(1), 0)
	authenticated(t, a2, 1)
	authenticated(t, b, 1)
}

func TestPeerThatWasStartedAnewReplacesItsConnectionAtOnce(t *testing.T) {
	slow := quick
	slow.Silence, slow.Ping = time.Hour, time.Hour // nobody notices an end by silence
	l := port(t, "127.0.0.1:0")
	a, _ := run(t, Config{Key: key(1), Listener: l, Peers: peerB(""), Times: slow})
	b, stop := run(t, Config{Key: key(2), Peers: peerA(l.Addr().String()), Dial: func(ctx context.Context, address string) (net.Conn, error) {
		c, err := dialTCP(ctx, address)
		return &stubborn{c}, err
	}})
	eventually(t, "a connection", connected(b))
	go stop()
	b2, _ := run(t, Config{Key: key(2), Peers: peerA(l.Addr().String())})
	eventually(t, "a connection of the new one", connected(b2))
	b2.Open(ofB(1), 0)
	a.Open(ofA(1), 0)
	authenticated(t, a, 1)
}

// stubborn is a connection whose end the other side does not notice.
type stubborn struct{ net.Conn }

func (s *stubborn) Close() error { return s.Conn.SetDeadline(time.Unix(1, 0)) }

func TestSilentPeerIsGone(t *testing.T) {
	mute := quick
	mute.Ping, mute.Silence = time.Hour, time.Hour
	impatient := quick
	impatient.Silence = 300 * time.Millisecond
	l := port(t, "127.0.0.1:0")
	a, _ := run(t, Config{Key: key(1), Listener: l, Peers: peerB(""), Times: impatient})
	b, _ := run(t, Config{Key: key(2), Peers: peerA(l.Addr().String()), Times: mute})
	eventually(t, "a connection", connected(b))
	eventually(t, "its end", func() bool { return a.Stats().Connections >= 2 })
}

func TestStrangersAreRefused(t *testing.T) {
	l := port(t, "127.0.0.1:0")
	a, _ := run(t, Config{Key: key(1), Listener: l, Peers: peerB("")})
	t.Run("unknown key", func(t *testing.T) {
		c, _ := run(t, Config{Key: key(3), Peers: peerA(l.Addr().String())})
		eventually(t, "refusal", func() bool { return c.Status()[0].Why != "not dialled yet" })
		if connected(c)() || connected(a)() {
			t.Error("a stranger is connected")
		}
	})
	t.Run("wrong key of the server", func(t *testing.T) {
		wrong := peerA(l.Addr().String())
		wrong[0].Key = public(4)
		b, _ := run(t, Config{Key: key(2), Peers: wrong})
		eventually(t, "refusal", func() bool { return b.Status()[0].Why != "not dialled yet" })
		if err := b.peers[0].why; !errors.Is(err, ErrPeer) || connected(a)() {
			t.Errorf("%v", err)
		}
	})
	t.Run("no key at all", func(t *testing.T) {
		config := baseTLS(tls.Certificate{})
		config.Certificates, config.InsecureSkipVerify = nil, true
		conn, err := tls.Dial("tcp", l.Addr().String(), config)
		if err == nil { // TLS 1.3: the client hears of it later
			_, err = conn.Read(make([]byte, 1))
			conn.Close()
		}
		if err == nil {
			t.Error("a client without a certificate is served")
		}
	})
	t.Run("garbage", func(t *testing.T) {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, _ = conn.Write(bytes.Repeat([]byte("garbage "), 100))
		_ = conn.SetReadDeadline(time.Now().Add(patience))
		_, err = conn.Read(make([]byte, 1<<10))
		for err == nil {
			_, err = conn.Read(make([]byte, 1<<10))
		}
		if errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
	if s := a.Stats(); s.Connections != 0 || s.Refused == 0 {
		t.Errorf("%+v", s)
	}
}

func TestSilentStrangersDoNotKeepPeersOut(t *testing.T) {
	l := port(t, "127.0.0.1:0")
	impatient := quick
	impatient.Handshake = 300 * time.Millisecond
	a, _ := run(t, Config{Key: key(1), Listener: l, Peers: peerB(""), Times: impatient})
	for range 3 * maxStrangersSource {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	eventually(t, "refusals", func() bool { return a.Stats().Refused >= 2*maxStrangersSource })
	_, _ = run(t, Config{Key: key(2), Peers: peerA(l.Addr().String())})
	eventually(t, "a connection", connected(a))
}

func TestStrangersOfManyNetworksDoNotKeepPeersOut(t *testing.T) {
	l := port(t, "127.0.0.1:0")
	patient := quick
	patient.Handshake = 3 * patience
	a, _ := run(t, Config{Key: key(1), Listener: l, Peers: peerB(""), Times: patient})
	for n := range maxStrangers {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, byte(1+n/maxStrangersSource), 1)}}
		conn, err := d.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	_, _ = run(t, Config{Key: key(2), Peers: peerA(l.Addr().String())})
	eventually(t, "a connection", connected(a))
}

// hostile is a peer with the right key that a test plays.
func hostile(t *testing.T, address string) *tls.Conn {
	t.Helper()
	cert, err := certificate(key(2))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := tls.Dial("tcp", address, clientTLS(cert, only(1)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	return conn
}

func TestPeerThatConnectsAgainAndAgainIsUsedAtABoundedRate(t *testing.T) {
	l := port(t, "127.0.0.1:0")
	slow := quick
	slow.FirstRetry = 10 * patience
	a, _ := run(t, Config{Key: key(1), Listener: l, Peers: peerB(""), Times: slow})
	for n := range 4 * connectsAtOnce {
		conn := hostile(t, l.Addr().String())
		hello := message.Message{Kind: message.Hello, Version: message.Version, Nonce: [16]byte{byte(n)}}
		_, _ = conn.Write(hello.Append(nil))
	}
	eventually(t, "all of them are used or refused", func() bool { s := a.Stats(); return s.Connections+s.Refused == 4*connectsAtOnce })
	if n := a.Stats().Connections; n != connectsAtOnce {
		t.Errorf("%d connections were used, want %d", n, connectsAtOnce)
	}
}

func TestPeerThatSpeaksGarbageIsDisconnected(t *testing.T) {
	hello := (&message.Message{Kind: message.Hello, Version: message.Version}).Append(nil)
	newer := (&message.Message{Kind: message.Hello, Version: message.Version + 1}).Append(nil)
	ping := (&message.Message{Kind: message.Ping}).Append(nil)
	for name, say := range map[string][]byte{
		"no hello": ping, "another version": newer, "no message": []byte("GET / HTTP/1.1\r\n\r\n"),
		"garbage behind hello": append(bytes.Clone(hello), 0xff, 0xff, 0), "two hellos": append(bytes.Clone(hello), hello...),
	} {
		t.Run(name, func(t *testing.T) {
			l := port(t, "127.0.0.1:0")
			a, _ := run(t, Config{Key: key(1), Listener: l, Peers: peerB("")})
			conn := hostile(t, l.Addr().String())
			if _, err := conn.Write(say); err != nil {
				t.Fatal(err)
			}
			var err error
			for b := make([]byte, 1<<10); err == nil; {
				_, err = conn.Read(b)
			}
			var timeout net.Error
			if errors.As(err, &timeout) && timeout.Timeout() {
				t.Error("it is still connected")
			}
			eventually(t, "the end", func() bool { return !connected(a)() })
			_, _ = run(t, Config{Key: key(2), Peers: peerA(l.Addr().String())})
			eventually(t, "a connection of the true peer", connected(a))
		})
	}
}

func TestFloodOfTellsIsPacedAndBounded(t *testing.T) {
	l := port(t, "127.0.0.1:0")
	a, _ := run(t, Config{Key: key(1), Listener: l, Peers: peerB("")})
	conn := hostile(t, l.Addr().String())
	b := (&message.Message{Kind: message.Hello, Version: message.Version}).Append(nil)
	for n := range readBurst + 20_000 {
		m := message.Message{Kind: message.Tell, ID: id(n), Role: flowtable.RoleB}
		if b = m.Append(b); len(b) > 64<<10 {
			if _, err := conn.Write(b); err != nil {
				t.Fatal(err)
			}
			b = b[:0]
		}
	}
	if _, err := conn.Write(b); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the flood to be heard", func() bool { return a.Stats().Heard == readBurst+20_000 })
	if s := a.Stats(); s.Heldup != book.DefaultParams().Pending || s.PendingDropped == 0 {
		t.Errorf("%+v", s)
	}
	if s := a.Stats(); s.Paced == 0 {
		t.Log("this machine is slower than the bound on the rate")
	}
}

func TestPeersNeedNoClock(t *testing.T) {
	cert, err := certificate(key(1))
	if err != nil {
		t.Fatal(err)
	}
	server := serverTLS(cert, only(2))
	server.Time = func() time.Time { return time.Unix(0, 0).Add(-50 * 365 * 24 * time.Hour) }
	l := tls.NewListener(port(t, "127.0.0.1:0"), server)
	go func() {
		conn, err := l.Accept()
		if err == nil {
			_, _ = conn.Write([]byte("x"))
		}
	}()
	cert2, err := certificate(key(2))
	if err != nil {
		t.Fatal(err)
	}
	client := clientTLS(cert2, only(1))
	client.Time = func() time.Time { return time.Date(12000, 1, 1, 0, 0, 0, 0, time.UTC) }
	conn, err := tls.Dial("tcp", l.Addr().String(), client)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		t.Error(err)
	}
}

func TestPeersThatMakeNoSenseAreRefused(t *testing.T) {
	two := append(peerB(""), peerB("")...)
	sameName, samePrefix := append([]Peer(nil), two...), append([]Peer(nil), two...)
	sameName[1].Key = public(3)
	samePrefix[1].Key, samePrefix[1].Name = public(3), "c"
	bare := peerB("")
	bare[0].Prefixes = nil
	for name, c := range map[string]Config{
		"no key": {Peers: peerB("")}, "itself": {Key: key(2), Peers: peerB("")}, "twice": {Key: key(1), Peers: two},
		"same name": {Key: key(1), Peers: sameName}, "same prefix": {Key: key(1), Peers: samePrefix}, "no prefix": {Key: key(1), Peers: bare},
		"no key of a peer": {Key: key(1), Peers: []Peer{{Name: "x"}}},
	} {
		if _, err := New(c); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
