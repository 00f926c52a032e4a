package gvisor

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"linecrypt/bench/hosts"
	"linecrypt/flowtable"
)

func TestHalfClosedConnectionCarriesTheOtherDirection(t *testing.T) {
	for _, clientFirst := range []bool{true, false} {
		n := hosts.New(t, hosts.Options{})
		client, server := n.Connect(t, n.Listen(t, hosts.IPv4))
		mustBeEncrypted(t, n, client)
		first, second := client, server
		if !clientFirst {
			first, second = server, client
		}
		_ = first.SetDeadline(time.Now().Add(hosts.Patience))
		_ = second.SetDeadline(time.Now().Add(hosts.Patience))
		if err := send(first, up, 5000, 700); err != nil {
			t.Fatal(err)
		}
		// The end has arrived before the other direction begins.
		if err := receive(second, up, 5000); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- send(second, down, 300_000, 10_000) }()
		if err := receive(first, down, 300_000); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		client.Close()
		server.Close()
	}
}

func TestEmptyConnectionEndsCleanlyOnBothSides(t *testing.T) {
	n := hosts.New(t, hosts.Options{})
	client, server := n.Connect(t, n.Listen(t, hosts.IPv4))
	mustBeEncrypted(t, n, client)
	mustExchange(t, client, server, 0, 0, 1)
}

func TestResetReachesTheOtherEndAsAReset(t *testing.T) {
	for _, byClient := range []bool{true, false} {
		n := hosts.New(t, hosts.Options{})
		client, server := n.Connect(t, n.Listen(t, hosts.IPv4))
		mustBeEncrypted(t, n, client)
		from, to := client, server
		if !byClient {
			from, to = server, client
		}
		_ = to.SetDeadline(time.Now().Add(hosts.Patience))
		if _, err := from.Write([]byte("about to go")); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 11)
		if _, err := io.ReadFull(to, b); err != nil || string(b) != "about to go" {
			t.Fatalf("before the reset %q arrives: %v", b, err)
		}
		from.Reset()
		_, err := to.Read(b)
		if err == nil || errors.Is(err, io.EOF) || !strings.Contains(err.Error(), "reset") {
			t.Fatalf("reset by the client %v: the other end sees %v, want a reset", byClient, err)
		}
		for _, g := range []*hosts.Gateway{n.A, n.B} {
			awaitFlows(t, g, flowtable.Encrypted, 0)
			g.AwaitSessions(t, 0, hosts.Patience)
		}
	}
}

// awaitFlows waits until a gateway has that many flow records in a state.
func awaitFlows(t *testing.T, g *hosts.Gateway, state flowtable.State, want int) {
	t.Helper()
	for end := time.Now().Add(hosts.Patience); g.Flows(state) != want; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("gateway %s has %d flows in state %v, want %d", g.Config.Name, g.Flows(state), state, want)
		}
	}
}

func TestRefusedConnectionIsRefusedAtOnce(t *testing.T) {
	n := hosts.New(t, hosts.Options{})
	l := n.Listen(t, hosts.IPv4)
	l.Close()
	_, err := dial(n, l)
	if err == nil || !strings.Contains(err.Error(), "refused") {
		t.Fatalf("connecting to a closed port: %v, want a refusal", err)
	}
}
