package gvisor

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"linecrypt/bench/hosts"
	"linecrypt/bench/pattern"
	"linecrypt/ctrlplane/tcpcrypt"
)

func TestLargeTransfersBothWaysAtOnceKeepTheirDigests(t *testing.T) {
	n := hosts.New(t, hosts.Options{})
	wire := watch(n.Wire)
	client, server := n.Connect(t, n.Listen(t, hosts.IPv4))
	mustBeEncrypted(t, n, client)
	const size = 8 << 20
	deadline := time.Now().Add(2 * hosts.Patience)
	errs := make([]error, 2)
	var wg sync.WaitGroup
	for i, c := range []*hosts.Conn{client, server} {
		_ = c.SetDeadline(deadline)
		mine, theirs := uint32(up), uint32(down)
		if c == server {
			mine, theirs = theirs, mine
		}
		wg.Go(func() {
			if err := send(c, mine, size, 64<<10); err != nil {
				errs[i] = err
			}
		})
		wg.Go(func() {
			got, want := sha256.New(), sha256.New()
			_, _ = io.Copy(want, &pattern.Reader{Stream: theirs, Left: size})
			n, err := io.Copy(got, c)
			if err != nil || n != size || !bytes.Equal(got.Sum(nil), want.Sum(nil)) {
				_ = c.SetDeadline(time.Now())
				t.Errorf("stream %d: %d of %d bytes with digest %x, want %x: %v", theirs, n, size, got.Sum(nil), want.Sum(nil), err)
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	if k, first := wire.plaintext(); k > 0 {
		t.Errorf("%d frames on the wire hold plaintext, the first %s", k, first)
	}
}

func TestSingleByteWritesArriveInOrder(t *testing.T) {
	n := hosts.New(t, hosts.Options{})
	client, server := n.Connect(t, n.Listen(t, hosts.IPv6))
	mustBeEncrypted(t, n, client)
	mustExchange(t, client, server, 3000, 3000, 1)
}

func TestPingPongOfSingleBytes(t *testing.T) {
	n := hosts.New(t, hosts.Options{})
	client, server := n.Connect(t, n.Listen(t, hosts.IPv4))
	_ = client.SetDeadline(time.Now().Add(hosts.Patience))
	_ = server.SetDeadline(time.Now().Add(hosts.Patience))
	var b [1]byte
	for i := range 100 {
		for _, ends := range [][2]*hosts.Conn{{client, server}, {server, client}} {
			if _, err := ends[0].Write([]byte{byte(i)}); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(ends[1], b[:]); err != nil || b[0] != byte(i) {
				t.Fatalf("byte %d arrives as %d: %v", i, b[0], err)
			}
		}
	}
}

func TestEveryKeyAgreementWithEveryCipher(t *testing.T) {
	for _, tep := range tcpcrypt.TEPs() {
		for _, aead := range tcpcrypt.AEADs() {
			t.Run(fmt.Sprintf("%v with %v", tep, aead), func(t *testing.T) {
				n := hosts.New(t, hosts.Options{Both: hosts.Settings{"teps": tep.String(), "aeads": aead.String()}})
				wire := watch(n.Wire)
				client, server := n.Connect(t, n.Listen(t, hosts.IPv4))
				a, b := sessions(t, n, client)
				if a.SessionID != b.SessionID || a.TEP != byte(tep) || a.AEAD != uint16(aead) || b.AEAD != uint16(aead) || a.SessionID[0]&0x7f != byte(tep)&0x7f {
					t.Fatalf("gateway A lists %+v, gateway B %+v", a, b)
				}
				mustExchange(t, client, server, 20_000, 20_000, 5000)
				if k, first := wire.plaintext(); k > 0 {
					t.Errorf("%d frames on the wire hold plaintext, the first %s", k, first)
				}
			})
		}
	}
}

func TestTwoHundredConnectionsAtOnce(t *testing.T) {
	const connections, size = 200, 8 << 10
	n := hosts.New(t, hosts.Options{})
	l := n.Listen(t, hosts.IPv4)
	var wg sync.WaitGroup
	wg.Go(func() { // echoes what each client sends, to its end
		for range connections {
			c, err := l.AcceptWithin(hosts.Patience)
			if err != nil {
				t.Error(err)
				return
			}
			wg.Go(func() {
				_ = c.SetDeadline(time.Now().Add(hosts.Patience))
				if _, err := io.Copy(c, c); err != nil {
					t.Error(err)
				}
				_ = c.CloseWrite()
			})
		}
	})
	for i := range connections {
		wg.Go(func() {
			if err := roundTrip(n, l, uint32(1000+i), size); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if k := n.A.Count(t, "handshakes_done"); k != connections {
		t.Errorf("%d of %d connections were encrypted", k, connections)
	}
	for _, g := range []*hosts.Gateway{n.A, n.B} {
		g.AwaitSessions(t, 0, hosts.Patience)
	}
}

// roundTrip sends a stream to an echo server and verifies what comes back.
func roundTrip(n *hosts.Network, l *hosts.Listener, stream uint32, size int64) error {
	c, err := dial(n, l)
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(hosts.Patience))
	if err := send(c, stream, size, 1000); err != nil {
		return err
	}
	return receive(c, stream, size)
}

func TestConnectionsHaveSessionIDsOfTheirOwn(t *testing.T) {
	n := hosts.New(t, hosts.Options{})
	l := n.Listen(t, hosts.IPv4)
	seen := map[[33]byte]bool{}
	for range 10 {
		client, _ := n.Connect(t, l)
		a, _ := sessions(t, n, client)
		if seen[a.SessionID] {
			t.Fatalf("two connections have the session ID %x", a.SessionID)
		}
		seen[a.SessionID] = true
	}
}

func TestKeysChangeWithinAConnection(t *testing.T) {
	for name, imp := range map[string]hosts.Impairment{"perfect wire": {}, "impaired wire": {Loss: 0.02, Reorder: 0.02, Split: 0.2, Seed: 8}} {
		t.Run(name, func(t *testing.T) {
			n := hosts.New(t, hosts.Options{Both: hosts.Settings{"rekey.frames": "20"}})
			client, server := n.Connect(t, n.Listen(t, hosts.IPv6))
			mustBeEncrypted(t, n, client)
			n.Wire.Impair(imp)
			mustExchange(t, client, server, 300_000, 300_000, 8192)
			for _, g := range []*hosts.Gateway{n.A, n.B} {
				if k := g.Count(t, "rekeys"); k < 5 {
					t.Errorf("gateway %s changed its key %d times", g.Config.Name, k)
				}
			}
		})
	}
}

func TestStalledReaderHoldsTheSenderBackAndLosesNothing(t *testing.T) {
	n := hosts.New(t, hosts.Options{})
	client, server := n.Connect(t, n.Listen(t, hosts.IPv4))
	mustBeEncrypted(t, n, client)
	const size = 12 << 20
	_ = client.SetDeadline(time.Now().Add(hosts.Patience))
	_ = server.SetDeadline(time.Now().Add(hosts.Patience))
	sent := make(chan error, 1)
	go func() { sent <- send(client, up, size, 64<<10) }()
	select {
	case err := <-sent:
		t.Fatalf("everything was sent although nobody reads: %v", err)
	case <-time.After(500 * time.Millisecond):
	}
	if err := receive(server, up, size); err != nil {
		t.Fatal(err)
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
}

func TestIdleConnectionOutlivesItsKeepAliveProbes(t *testing.T) {
	t.Parallel()
	n := hosts.New(t, hosts.Options{})
	client, server := n.Connect(t, n.Listen(t, hosts.IPv4))
	mustBeEncrypted(t, n, client)
	if err := exchangeByte(client, server); err != nil {
		t.Fatal(err)
	}
	for _, c := range []*hosts.Conn{client, server} {
		if err := c.KeepAlive(250*time.Millisecond, 8); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(3 * time.Second) // a host would have given up behind eight probes
	mustExchange(t, client, server, 5000, 5000, 5000)
}

// exchangeByte sends a byte each way.
func exchangeByte(client, server *hosts.Conn) error {
	var b [1]byte
	for _, ends := range [][2]*hosts.Conn{{client, server}, {server, client}} {
		_ = ends[1].SetDeadline(time.Now().Add(hosts.Patience))
		if _, err := ends[0].Write(b[:]); err != nil {
			return err
		}
		if _, err := io.ReadFull(ends[1], b[:]); err != nil {
			return err
		}
	}
	return nil
}
