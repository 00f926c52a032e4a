package gvisor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"linecrypt/bench/hosts"
	"linecrypt/ctrlplane/sessiontable"
)

// resumed demands that both gateways publish a connection under one ID, as resumed or not.
func resumed(t *testing.T, n *hosts.Network, client *hosts.Conn, want bool) (a, b sessiontable.Entry) {
	t.Helper()
	a, b = sessions(t, n, client)
	if a.SessionID != b.SessionID || a.Resumed != want || b.Resumed != want || a.AEAD != b.AEAD {
		t.Fatalf("session IDs %x and %x, resumed %v and %v, want %v", a.SessionID, b.SessionID, a.Resumed, b.Resumed, want)
	}
	if v := a.SessionID[0]&0x80 != 0; v != want {
		t.Fatalf("the session ID begins with %#x", a.SessionID[0])
	}
	return a, b
}

// back opens a connection from the server to the client.
func back(t *testing.T, n *hosts.Network, l *hosts.Listener) (opener, answerer *hosts.Conn) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), hosts.Patience)
	defer cancel()
	opener, err := n.Server.Dial(ctx, l.Addr)
	if err != nil {
		t.Fatal(err)
	}
	if answerer, err = l.AcceptWithin(hosts.Patience); err != nil {
		t.Fatal(err)
	}
	return opener, answerer
}

func listenAtClient(t *testing.T, n *hosts.Network, f hosts.Family) *hosts.Listener {
	t.Helper()
	l, err := n.Client.Listen(netip.AddrPortFrom(n.Client.Address(f), 8080))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

func TestLaterConnectionsResumeInBothDirectionsOfOpening(t *testing.T) {
	for _, family := range []hosts.Family{hosts.IPv4, hosts.IPv6} {
		n := hosts.New(t, hosts.Options{})
		wire := watch(n.Wire)
		toServer, toClient := n.Listen(t, family), listenAtClient(t, n, family)
		client, server := n.Connect(t, toServer)
		resumed(t, n, client, false)
		mustExchange(t, client, server, 5000, 5000, 1000)
		ids := map[[33]byte]bool{}
		for i := range 6 {
			if i%2 == 0 {
				client, server = n.Connect(t, toServer)
			} else {
				server, client = back(t, n, toClient)
			}
			a, b := resumed(t, n, client, true)
			if ids[a.SessionID] {
				t.Fatalf("IPv%d: connection %d has the ID of another", family, i)
			}
			ids[a.SessionID] = true
			if opened := i%2 == 0; a.Active != opened || b.Active == opened || (a.Role == 1) != opened || (b.Role == 2) != opened {
				t.Errorf("IPv%d: connection %d: roles %d and %d, opened here %v and %v", family, i, a.Role, b.Role, a.Active, b.Active)
			}
			mustExchange(t, client, server, 200_000, 100_000, 4096)
		}
		if k, first := wire.plaintext(); k > 0 {
			t.Errorf("IPv%d: %d frames on the wire hold plaintext, the first %s", family, k, first)
		}
		if a, b := n.A.Count(t, "resume_done"), n.B.Count(t, "resume_done"); a != 6 || b != 6 {
			t.Errorf("IPv%d: %d and %d connections are counted as resumed", family, a, b)
		}
	}
}

func TestConnectionsResumeAfterRestartsOfControlPlanes(t *testing.T) {
	n := hosts.New(t, hosts.Options{})
	l := n.Listen(t, hosts.IPv4)
	client, server := n.Connect(t, l)
	mustExchange(t, client, server, 100, 100, 100)
	ids := map[[33]byte]bool{}
	for range 3 {
		for _, g := range []*hosts.Gateway{n.A, n.B} {
			g.StopControl()
			g.StartControl(t)
		}
		client, server = n.Connect(t, l)
		a, _ := resumed(t, n, client, true)
		if ids[a.SessionID] {
			t.Fatal("a secret is used twice")
		}
		ids[a.SessionID] = true
		mustExchange(t, client, server, 20_000, 20_000, 3000)
	}
}

func TestSwitchedOffNothingIsResumedAndNoConnectionIsLost(t *testing.T) {
	for name, o := range map[string]hosts.Options{
		"at A":           {A: hosts.Settings{"resume": "off"}},
		"at B":           {B: hosts.Settings{"resume": "off"}},
		"without memory": {B: hosts.Settings{"resumption.cache": "0"}},
	} {
		n := hosts.New(t, o)
		l := n.Listen(t, hosts.IPv4)
		for i := range 3 {
			client, server := n.Connect(t, l)
			a, b := sessions(t, n, client)
			if a.SessionID != b.SessionID || a.Resumed || b.Resumed {
				t.Errorf("%s: connection %d: %x and %x, resumed %v and %v", name, i, a.SessionID, b.SessionID, a.Resumed, b.Resumed)
			}
			mustExchange(t, client, server, 5000, 5000, 1000)
		}
	}
}

func TestNoncesOfAnyLengthAgree(t *testing.T) {
	for _, o := range []hosts.Options{
		{A: hosts.Settings{"resumption.nonce": "0"}}, {B: hosts.Settings{"resumption.nonce": "0"}}, {Both: hosts.Settings{"resumption.nonce": "0"}},
		{A: hosts.Settings{"resumption.nonce": "3"}, B: hosts.Settings{"resumption.nonce": "5"}},
	} {
		n := hosts.New(t, o)
		l, r := n.Listen(t, hosts.IPv4), listenAtClient(t, n, hosts.IPv4)
		client, server := n.Connect(t, l)
		mustExchange(t, client, server, 100, 100, 100)
		client, server = n.Connect(t, l)
		resumed(t, n, client, true)
		mustExchange(t, client, server, 5000, 5000, 1000)
		server, client = back(t, n, r)
		resumed(t, n, client, true)
		mustExchange(t, client, server, 5000, 5000, 1000)
	}
}

// TestHostsThatOpenAtOnceAllGetThrough has both ends open connections at the same time, over and over, so that both propose the same
// secret now and then.
func TestHostsThatOpenAtOnceAllGetThrough(t *testing.T) {
	n := hosts.New(t, hosts.Options{})
	n.Wire.Impair(hosts.Impairment{Edit: func(_ hosts.Direction, frame []byte) bool {
		if s, ok := hosts.Parse(frame); ok && s.SYN() && !s.ACK() {
			time.Sleep(2 * time.Millisecond)
		}
		return true
	}})
	toServer, toClient := n.Listen(t, hosts.IPv4), listenAtClient(t, n, hosts.IPv4)
	client, server := n.Connect(t, toServer)
	mustExchange(t, client, server, 100, 100, 100)
	var mu sync.Mutex
	ids := map[[33]byte]string{}
	fresh, resumed := 0, 0
	note := func(who string, c *hosts.Conn) error {
		a, okA := n.A.Session(c.Local(), c.Remote())
		b, okB := n.B.Session(c.Remote(), c.Local())
		mu.Lock()
		defer mu.Unlock()
		if !okA || !okB || a.SessionID != b.SessionID || ids[a.SessionID] != "" {
			return fmt.Errorf("%s: known %v and %v, IDs %x and %x, before %q", who, okA, okB, a.SessionID, b.SessionID, ids[a.SessionID])
		}
		ids[a.SessionID] = who
		if a.Resumed {
			resumed++
		} else {
			fresh++
		}
		return nil
	}
	for round := range 15 {
		var wg sync.WaitGroup
		errs := make([]error, 2)
		wg.Go(func() {
			c, s := n.Connect(t, toServer)
			errs[0] = note(fmt.Sprint("client ", round), c)
			mustExchange(t, c, s, 3000, 3000, 1000)
		})
		wg.Go(func() {
			s, c := back(t, n, toClient)
			errs[1] = note(fmt.Sprint("server ", round), c)
			mustExchange(t, c, s, 3000, 3000, 1000)
		})
		wg.Wait()
		for _, err := range errs {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Logf("%d fresh, %d resumed, missed %d and %d", fresh, resumed, n.A.Count(t, "resume_missed"), n.B.Count(t, "resume_missed"))
	if resumed == 0 {
		t.Error("none is resumed")
	}
}

// stamps are the times at which segments of one connection's opener were put on the wire.
type stamps struct {
	mu          sync.Mutex
	syn, data   time.Time
	eno         bool // of the data
	synack, ack time.Time
}

func (s *stamps) see(d hosts.Direction, frame []byte) {
	seg, ok := hosts.Parse(frame)
	if !ok {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	init := bytes.Contains(frame, []byte{0x15, 0x10, 0x1a, 0x0e}) || bytes.Contains(frame, []byte{0x09, 0x71, 0x05, 0xe0})
	switch {
	case d == hosts.ToServer && seg.SYN():
		s.syn, s.data, s.ack = now, time.Time{}, time.Time{}
	case d == hosts.ToClient && seg.SYN():
		s.synack = now
	case d == hosts.ToServer && seg.PayloadLen > 0 && !init && s.data.IsZero():
		_, s.eno = seg.Option(hosts.KindENO)
		s.data = now
	}
}

// TestResumedConnectionSendsItsDataOneRoundTripEarlier takes the times of the segments as they are put on a wire with a round trip of 300
// ms: the host's first bytes go behind two round trips where keys are exchanged, behind one where an earlier session is resumed.
func TestResumedConnectionSendsItsDataOneRoundTripEarlier(t *testing.T) {
	const way = 150 * time.Millisecond
	n := hosts.New(t, hosts.Options{Wire: hosts.Impairment{Delay: way}})
	s := new(stamps)
	n.Wire.Tap(s.see)
	l := n.Listen(t, hosts.IPv4)
	open := func(want bool) (took time.Duration) {
		client, err := dial(n, l)
		if err != nil {
			t.Fatal(err)
		}
		go func() { _ = send(client, up, 500, 500) }() // at once, as a client that speaks first does
		server, err := l.AcceptWithin(hosts.Patience)
		if err != nil {
			t.Fatal(err)
		}
		resumed(t, n, client, want)
		if err := receive(server, up, 500); err != nil {
			t.Fatal(err)
		}
		client.Close()
		server.Close()
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.syn.IsZero() || s.data.IsZero() {
			t.Fatal("SYN or data were not seen")
		}
		if s.eno != want {
			t.Errorf("resumed %v: the first data carries ENO: %v", want, s.eno)
		}
		return s.data.Sub(s.syn)
	}
	fresh, again := open(false), open(true)
	for range 5 { // a busy machine adds what it likes, and takes nothing away
		if again < 3*way {
			break
		}
		again = min(again, open(true))
	}
	t.Logf("from SYN to the first data: %v with a key exchange, %v resumed", fresh, again)
	if fresh < 4*way || again < 2*way || again >= 3*way {
		t.Errorf("from SYN to the first data: %v with a key exchange, %v resumed, round trip %v", fresh, again, 2*way)
	}
}

// TestResumedConnectionWhoseClientSpeaksFirstLeavesENOOffOnceAnswered: with ENO in all segments no full one would fit, and none would take
// the fast path.
func TestResumedConnectionWhoseClientSpeaksFirstLeavesENOOffOnceAnswered(t *testing.T) {
	n := hosts.New(t, hosts.Options{})
	var data, withENO atomic.Int64
	n.Wire.Tap(func(d hosts.Direction, frame []byte) {
		seg, ok := hosts.Parse(frame)
		if !ok || d != hosts.ToServer || seg.PayloadLen == 0 {
			return
		}
		data.Add(1)
		if _, ok := seg.Option(hosts.KindENO); ok {
			withENO.Add(1)
		}
	})
	l := n.Listen(t, hosts.IPv4)
	for _, want := range []bool{false, true} {
		data.Store(0)
		withENO.Store(0)
		client, err := dial(n, l)
		if err != nil {
			t.Fatal(err)
		}
		sent := make(chan error, 1)
		go func() { sent <- send(client, up, 1_000_000, 50_000) }()
		server, err := l.AcceptWithin(hosts.Patience)
		if err != nil {
			t.Fatal(err)
		}
		resumed(t, n, client, want)
		if err := errors.Join(receive(server, up, 1_000_000), <-sent); err != nil {
			t.Fatal(err)
		}
		// Those of the first window go before the answer is there.
		if all, eno := data.Load(), withENO.Load(); eno > all/4 {
			t.Errorf("resumed %v: of %d segments %d carry ENO", want, all, eno)
		}
		client.Close()
		server.Close()
	}
}

func TestENOStrippedFromTheFirstSegmentsOfAResumedConnectionEndsIt(t *testing.T) {
	n := hosts.New(t, hosts.Options{})
	l := n.Listen(t, hosts.IPv4)
	client, server := n.Connect(t, l)
	mustExchange(t, client, server, 100, 100, 100)
	n.Wire.Impair(hosts.Impairment{Edit: strip(func(_ hosts.Direction, s hosts.Segment) bool { return !s.SYN() })})
	far := watch(n.Far)
	client, err := dial(n, l)
	if err != nil {
		t.Fatal(err) // the client's end believes in encryption: it has confirmed ENO
	}
	if _, err := client.Write(bytes.Repeat([]byte("plaintext "), 50)); err != nil {
		t.Fatal(err)
	}
	if server, err = l.AcceptWithin(hosts.Patience); err == nil {
		if err := server.SetDeadline(time.Now().Add(hosts.Patience)); err != nil {
			t.Fatal(err)
		}
		if k, err := server.Read(make([]byte, 1000)); k > 0 || err == nil {
			t.Errorf("the application reads %d bytes of ciphertext", k)
		}
	}
	if k := far.count(func(s seen) bool { return s.dir == hosts.ToServer && s.len > 0 }); k > 0 {
		t.Errorf("%d segments of ciphertext reach the host", k)
	}
}

func TestResumptionOutlivesLossOfAnySegmentOfTheHandshake(t *testing.T) {
	for name, lose := range map[string]func(d hosts.Direction, s hosts.Segment) bool{
		"the SYN":       func(d hosts.Direction, s hosts.Segment) bool { return d == hosts.ToServer && s.SYN() },
		"the SYN-ACK":   func(d hosts.Direction, s hosts.Segment) bool { return d == hosts.ToClient && s.SYN() },
		"the first ACK": func(d hosts.Direction, s hosts.Segment) bool { return d == hosts.ToServer && !s.SYN() },
	} {
		t.Run(name, func(t *testing.T) {
			n := hosts.New(t, hosts.Options{})
			l := n.Listen(t, hosts.IPv4)
			client, server := n.Connect(t, l)
			mustExchange(t, client, server, 100, 100, 100)
			time.Sleep(100 * time.Millisecond) // what ends the first connection is not what is to be lost
			var once sync.Once
			n.Wire.Impair(hosts.Impairment{Edit: func(d hosts.Direction, frame []byte) bool {
				s, ok := hosts.Parse(frame)
				lost := false
				if ok && lose(d, s) {
					once.Do(func() { lost = true })
				}
				return !lost
			}})
			client, server = n.Connect(t, l)
			resumed(t, n, client, true)
			mustExchange(t, client, server, 20_000, 20_000, 2000)
			if a, b := n.A.Count(t, "resume_offered"), n.B.Count(t, "resume_agreed"); a != 1 || b != 1 {
				t.Errorf("%d offers and %d answers for one connection", a, b)
			}
		})
	}
}

func TestResumedConnectionsCarryStreamsOverAnImpairedWire(t *testing.T) {
	n := hosts.New(t, hosts.Options{Both: hosts.Settings{"handshake.retransmit": "200ms"}})
	toServer, toClient := n.Listen(t, hosts.IPv4), listenAtClient(t, n, hosts.IPv4)
	client, server := n.Connect(t, toServer)
	mustExchange(t, client, server, 100, 100, 100)
	n.Wire.Impair(hosts.Impairment{Loss: 0.02, Duplicate: 0.05, Reorder: 0.05, Split: 0.05, Seed: 8548})
	for i := range 6 {
		if i%2 == 0 {
			client, server = n.Connect(t, toServer)
		} else {
			server, client = back(t, n, toClient)
		}
		mustBeEncrypted(t, n, client)
		mustExchange(t, client, server, 60_000, 60_000, 3000)
	}
	if done := n.A.Count(t, "resume_done"); done == 0 {
		t.Error("none is resumed")
	}
}

func TestControlPlaneThatIsAwayBetweenOfferAndConfirmationCostsNoConnection(t *testing.T) {
	n := hosts.New(t, hosts.Options{Wire: hosts.Impairment{Delay: 100 * time.Millisecond}})
	l := n.Listen(t, hosts.IPv4)
	client, server := n.Connect(t, l)
	mustExchange(t, client, server, 100, 100, 100)
	var once sync.Once
	offered := make(chan struct{})
	n.Wire.Tap(func(d hosts.Direction, frame []byte) {
		if s, ok := hosts.Parse(frame); ok && d == hosts.ToServer && s.SYN() {
			once.Do(func() { close(offered) })
		}
	})
	go func() {
		<-offered
		for _, g := range []*hosts.Gateway{n.A, n.B} {
			g.StopControl()
			g.StartControl(t)
		}
	}()
	client, server = n.Connect(t, l)
	resumed(t, n, client, true)
	mustExchange(t, client, server, 20_000, 20_000, 2000)
}
