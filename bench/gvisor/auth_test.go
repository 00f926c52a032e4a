package gvisor

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"linecrypt/bench/hosts"
	"linecrypt/ctrlplane/session/auth/batchsign"
	"linecrypt/ctrlplane/session/auth/cookie"
	"linecrypt/ctrlplane/sessiontable"
)

// ends returns both ends of a connection as applications see them: what they send and receive on, and what their own gateway says of
// the session.
func ends(t *testing.T, n *hosts.Network, l *hosts.Listener) (client, server *hosts.Conn, a, b sessiontable.Entry) {
	t.Helper()
	client, server = n.Connect(t, l)
	a, okA := n.A.Session(client.Local(), client.Remote())
	b, okB := n.B.Session(server.Local(), server.Remote())
	if !okA || !okB {
		t.Fatal("the connection is not encrypted")
	}
	deadline := time.Now().Add(hosts.Patience)
	for _, c := range []*hosts.Conn{client, server} {
		if err := c.SetDeadline(deadline); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
	}
	return client, server, a, b
}

// prove has both ends of a connection authenticate each other by a cookie on the connection itself. An end that is not content closes.
func prove(t *testing.T, n *hosts.Network, key *cookie.Key) (errA, errB error) {
	t.Helper()
	client, server, a, b := ends(t, n, n.Listen(t, hosts.IPv4))
	var wg sync.WaitGroup
	wg.Go(func() {
		if errA = key.Authenticate(client, a.Role, a.SessionID[:]); errA != nil {
			client.Close()
		}
	})
	wg.Go(func() {
		if errB = key.Authenticate(server, b.Role, b.SessionID[:]); errB != nil {
			server.Close()
		}
	})
	wg.Wait()
	return errA, errB
}

func TestEndsAuthenticateEachOtherByACookieAndFindWhoIsInTheMiddle(t *testing.T) {
	key, err := cookie.New("the tests", []byte("a cookie of 24 bytes ..."))
	if err != nil {
		t.Fatal(err)
	}
	if errA, errB := prove(t, hosts.New(t, hosts.Options{}), key); errA != nil || errB != nil {
		t.Errorf("nobody is in the middle: %v, %v", errA, errB)
	}
	// He passes on all that the ends send, their proofs too.
	errA, errB := prove(t, hosts.New(t, hosts.Options{Middle: true}), key)
	if !errors.Is(errB, cookie.ErrProof) || errA == nil {
		t.Errorf("somebody is in the middle: %v, %v", errA, errB)
	}
}

// signedTo has many clients connect to a server that signs all their session IDs at once, and returns what each client finds.
func signedTo(t *testing.T, n *hosts.Network, clients int) []error {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := batchsign.NewSigner(private, time.Minute, clients)
	if err != nil {
		t.Fatal(err)
	}
	l := n.Listen(t, hosts.IPv4)
	found := make([]error, clients)
	var wg sync.WaitGroup
	for i := range clients {
		client, server, a, b := ends(t, n, l)
		wg.Go(func() { // the server, which sends a client its proof as the first bytes
			p, err := signer.Prove(context.Background(), batchsign.Session{ID: b.SessionID[:], Role: b.Role})
			raw, err2 := p.MarshalBinary()
			if err = errors.Join(err, err2); err == nil {
				_, err = server.Write(raw)
			}
			if err = errors.Join(err, server.CloseWrite()); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			raw, err := io.ReadAll(io.LimitReader(struct{ io.Reader }{client}, int64(batchsign.MaxProof)+1))
			var p batchsign.Proof
			if err == nil {
				err = p.UnmarshalBinary(raw)
			}
			if err == nil {
				err = p.Verify(public, a.Role.Peer(), a.SessionID[:])
			}
			found[i] = err
		})
	}
	wg.Wait()
	if k := signer.Batches(); k != 1 {
		t.Errorf("%d signatures for %d clients", k, clients)
	}
	return found
}

func TestOneSignatureAuthenticatesAServerToManyClientsAndFindsWhoIsInTheMiddle(t *testing.T) {
	for _, err := range signedTo(t, hosts.New(t, hosts.Options{}), 50) {
		if err != nil {
			t.Errorf("nobody is in the middle: %v", err)
		}
	}
	for _, err := range signedTo(t, hosts.New(t, hosts.Options{Middle: true}), 5) {
		if !errors.Is(err, batchsign.ErrProof) {
			t.Errorf("somebody is in the middle: %v", err)
		}
	}
}
