package gvisor

import (
	"crypto/sha256"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"linecrypt/bench/hosts"
)

func TestConnectionWithAGatewayOnOneSideOnlyIsPlainTCP(t *testing.T) {
	for name, o := range map[string]hosts.Options{"at the client": {NoB: true}, "at the server": {NoA: true}} {
		for _, family := range []hosts.Family{hosts.IPv4, hosts.IPv6} {
			t.Run(name, func(t *testing.T) {
				n := hosts.New(t, o)
				inside := n.Near
				if o.NoA {
					inside = n.Far
				}
				wire, host := gather(n.Wire), gather(inside)
				client, server := n.Connect(t, n.Listen(t, family))
				mustBePlain(t, n, client)
				if err := exchange(client, server, 300_000, 300_000, 3000); err != nil {
					t.Fatal(err)
				}
				// What a gateway passes is what it got: behind the SYN each frame is on both links alike. The last ones may be
				// between the links still.
				awaitSame(t, wire, host)
			})
		}
	}
}

// frames counts the frames other than SYNs of a link by their bytes.
type frames struct {
	mu   sync.Mutex
	seen map[[32]byte]int
}

func gather(l *hosts.Link) *frames {
	f := &frames{seen: map[[32]byte]int{}}
	l.Tap(func(_ hosts.Direction, frame []byte) {
		if s, ok := hosts.Parse(frame); ok && !s.SYN() {
			f.mu.Lock()
			f.seen[sha256.Sum256(frame)]++
			f.mu.Unlock()
		}
	})
	return f
}

// differ returns the number of frames that are not as often in f as in g.
func (f *frames) differ(g *frames) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	g.mu.Lock()
	defer g.mu.Unlock()
	n := 0
	for sum, k := range f.seen {
		if g.seen[sum] != k {
			n++
		}
	}
	for sum := range g.seen {
		if f.seen[sum] == 0 {
			n++
		}
	}
	return n
}

func awaitSame(t *testing.T, f, g *frames) {
	t.Helper()
	for end := time.Now().Add(hosts.Patience); f.differ(g) > 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d frames differ between the two sides of a gateway", f.differ(g))
		}
	}
}

// strip returns an edit that removes ENO from the segments that f names.
func strip(f func(d hosts.Direction, s hosts.Segment) bool) func(hosts.Direction, []byte) bool {
	return func(d hosts.Direction, frame []byte) bool {
		if s, ok := hosts.Parse(frame); ok && f(d, s) {
			s.RemoveOption(hosts.KindENO)
		}
		return true
	}
}

func TestENOStrippedFromTheSYNsLeavesThePlainConnection(t *testing.T) {
	for name, which := range map[string]func(d hosts.Direction, s hosts.Segment) bool{
		"SYN":             func(_ hosts.Direction, s hosts.Segment) bool { return s.SYN() && !s.ACK() },
		"SYN-ACK":         func(_ hosts.Direction, s hosts.Segment) bool { return s.SYN() && s.ACK() },
		"SYN and SYN-ACK": func(_ hosts.Direction, s hosts.Segment) bool { return s.SYN() },
		"every segment":   func(hosts.Direction, hosts.Segment) bool { return true },
	} {
		t.Run(name, func(t *testing.T) {
			n := hosts.New(t, hosts.Options{Wire: hosts.Impairment{Edit: strip(which)}})
			wire := watch(n.Wire)
			client, server := n.Connect(t, n.Listen(t, hosts.IPv4))
			mustBePlain(t, n, client)
			mustExchange(t, client, server, 50_000, 50_000, 3000)
			if k, _ := wire.plaintext(); k == 0 {
				t.Error("the wire held no plaintext although the connection is plain")
			}
		})
	}
}

// Both SYNs carried ENO, so that gateway A has encryption enabled, and gateway B has it disabled (RFC 8547 section 4.6): the
// connection cannot live, and nothing of the client's may go out in the clear.
func TestENOStrippedFromTheFirstACKEndsTheConnection(t *testing.T) {
	edit := strip(func(_ hosts.Direction, s hosts.Segment) bool { return !s.SYN() })
	n := hosts.New(t, hosts.Options{
		Wire: hosts.Impairment{Edit: edit},
		Both: hosts.Settings{"handshake.retransmit": "200ms", "handshake.timeout": "2s"},
	})
	wire := watch(n.Wire)
	l := n.Listen(t, hosts.IPv4)
	go func() {
		if c, err := l.Accept(); err == nil {
			_ = send(c, down, 1000, 1000)
		}
	}()
	client, err := dial(n, l)
	if err == nil {
		_ = client.SetDeadline(time.Now().Add(hosts.Patience))
		b := make([]byte, 100)
		if k, err := client.Read(b); k > 0 || err == nil || err == io.EOF {
			t.Fatalf("the client is connected and reads %d bytes: %v", k, err)
		}
	}
	mustBePlainOut(t, wire)
	if k := n.A.Sessions() + n.B.Sessions(); k > 0 {
		t.Errorf("%d sessions are listed", k)
	}
}

// mustBePlainOut fails the test if a frame towards the server held plaintext.
func mustBePlainOut(t *testing.T, w *wireWatch) {
	t.Helper()
	if k, first := w.plaintext(); k > 0 && strings.HasPrefix(first, hosts.ToServer.String()) {
		t.Errorf("plaintext of the client's is on the wire: %s", first)
	}
}

// dropENO returns an edit that loses SYNs with ENO, as some middleboxes do.
func dropENO(synACK bool) func(hosts.Direction, []byte) bool {
	return func(_ hosts.Direction, frame []byte) bool {
		s, ok := hosts.Parse(frame)
		if !ok || !s.SYN() || s.ACK() != synACK {
			return true
		}
		_, eno := s.Option(hosts.KindENO)
		return !eno
	}
}

func TestSYNGoesWithoutENOAfterTheConfiguredTries(t *testing.T) {
	for _, tries := range []int{1, 2} {
		t.Run([]string{1: "one", 2: "two"}[tries], func(t *testing.T) {
			t.Parallel()
			n := hosts.New(t, hosts.Options{
				A: hosts.Settings{"handshake.eno_tries": []string{1: "1", 2: "2"}[tries]}, Wire: hosts.Impairment{Edit: dropENO(false)},
			})
			wire := watch(n.Wire)
			client, server := n.Connect(t, n.Listen(t, hosts.IPv4))
			mustBePlain(t, n, client)
			if k := wire.count(func(s seen) bool { return s.syn && !s.ack && s.eno }); k != tries {
				t.Errorf("%d SYNs with ENO, want %d", k, tries)
			}
			mustExchange(t, client, server, 5000, 5000, 5000)
		})
	}
}

func TestLostSYNACKsWithENOLeaveAConnection(t *testing.T) {
	// The answer with ENO never arrives. Once the client's SYN comes without ENO, the answer must do so too, or the connection
	// could not be made at all: gateway B has to notice.
	t.Parallel()
	n := hosts.New(t, hosts.Options{Both: hosts.Settings{"handshake.eno_tries": "1"}, Wire: hosts.Impairment{Edit: dropENO(true)}})
	client, server := n.Connect(t, n.Listen(t, hosts.IPv4))
	mustBePlain(t, n, client)
	mustExchange(t, client, server, 5000, 5000, 5000)
}

func TestPolicyRequireRefusesPlainConnections(t *testing.T) {
	require := hosts.Settings{"policy": "require"}
	for name, o := range map[string]hosts.Options{
		"no gateway at the server":  {NoB: true, A: require},
		"no gateway at the client":  {NoA: true, B: require},
		"disabled at the server":    {A: require, B: hosts.Settings{"policy": "disabled"}},
		"disabled at the client":    {B: require, A: hosts.Settings{"policy": "disabled"}},
		"ENO stripped from SYN":     {Both: require, Wire: hosts.Impairment{Edit: strip(func(_ hosts.Direction, s hosts.Segment) bool { return s.SYN() && !s.ACK() })}},
		"ENO stripped from SYN-ACK": {Both: require, Wire: hosts.Impairment{Edit: strip(func(_ hosts.Direction, s hosts.Segment) bool { return s.SYN() && s.ACK() })}},
	} {
		t.Run(name, func(t *testing.T) {
			n := hosts.New(t, o)
			wire := watch(n.Wire)
			l := n.Listen(t, hosts.IPv4)
			client, err := dial(n, l)
			if err == nil {
				// A gateway at the server may learn that it must refuse when the client is connected already.
				_ = client.SetDeadline(time.Now().Add(hosts.Patience))
				if _, err = client.Read(make([]byte, 1)); err == nil || err == io.EOF {
					t.Fatalf("the connection is not refused: %v", err)
				}
			}
			if !strings.Contains(err.Error(), "refused") && !strings.Contains(err.Error(), "reset") {
				t.Fatalf("connecting fails by %v, want a refusal", err)
			}
			if k, first := wire.plaintext(); k > 0 {
				t.Errorf("plaintext on the wire: %s", first)
			}
		})
	}
}

func TestPolicyRequireEncryptsBetweenTwoGateways(t *testing.T) {
	n := hosts.New(t, hosts.Options{Both: hosts.Settings{"policy": "require"}})
	client, server := n.Connect(t, n.Listen(t, hosts.IPv4))
	mustBeEncrypted(t, n, client)
	mustExchange(t, client, server, 5000, 5000, 5000)
}

func TestPolicyDisabledLeavesConnectionsPlain(t *testing.T) {
	n := hosts.New(t, hosts.Options{A: hosts.Settings{"policy": "disabled"}})
	wire := watch(n.Wire)
	client, server := n.Connect(t, n.Listen(t, hosts.IPv4))
	mustBePlain(t, n, client)
	mustExchange(t, client, server, 5000, 5000, 5000)
	if k := wire.count(func(s seen) bool { return s.eno }); k > 0 {
		t.Errorf("%d segments with ENO on the wire", k)
	}
}
