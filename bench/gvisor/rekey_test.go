package gvisor

import (
	"context"
	"encoding/hex"
	"errors"
	"os"
	"testing"
	"time"

	"linecrypt/bench/hosts"
	"linecrypt/ctrlplane/server"
)

// mustRekey has a gateway rekey one connection and returns what came of it.
func mustRekey(t *testing.T, g *hosts.Gateway, connection ...string) server.Rekeyed {
	t.Helper()
	r := g.Control().Rekey(context.Background(), &server.RekeyRequest{Connection: connection, Wait: server.MaxRekeyWait})
	if r.Error != "" || len(r.Connections) != 1 || r.Done != 1 {
		t.Fatalf("rekey %v at gateway %s: %+v", connection, g.Config.Name, r)
	}
	return r.Connections[0]
}

func TestAnOrderChangesTheKeysOfBothEnds(t *testing.T) {
	n := hosts.New(t, hosts.Options{})
	client, server := n.Connect(t, n.Listen(t, hosts.IPv4))
	a, _ := sessions(t, n, client)
	if err := exchangeByte(client, server); err != nil {
		t.Fatal(err)
	}
	if r := mustRekey(t, n.A, client.Local().String(), client.Remote().String()); r.Sealed != 1 || r.Opened != 1 {
		t.Errorf("ordered at gateway A: %+v", r)
	}
	if r := mustRekey(t, n.B, hex.EncodeToString(a.SessionID[:6])+"…"); r.Sealed != 2 || r.Opened != 2 {
		t.Errorf("ordered at gateway B: %+v", r)
	}
	if err := exchangeByte(client, server); err != nil {
		t.Fatal(err)
	}
	if r := mustRekey(t, n.A, client.Remote().String(), client.Local().String()); r.Sealed != 3 || r.Opened != 3 {
		t.Errorf("ordered at gateway A: %+v", r)
	}
	mustExchange(t, client, server, 300_000, 300_000, 8192)
}

func TestKeysChangeInTimeWhileTheyAreUsed(t *testing.T) {
	t.Parallel()
	n := hosts.New(t, hosts.Options{Both: hosts.Settings{"rekey.time": "1s"}})
	client, server := n.Connect(t, n.Listen(t, hosts.IPv6))
	mustBeEncrypted(t, n, client)
	for end := time.Now().Add(4 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if err := exchangeByte(client, server); err != nil {
			t.Fatal(err)
		}
	}
	for _, g := range []*hosts.Gateway{n.A, n.B} {
		if k := g.Count(t, "rekeys"); k < 4 || k > 20 {
			t.Errorf("gateway %s changed keys %d times", g.Config.Name, k)
		}
	}
	mustExchange(t, client, server, 300_000, 300_000, 8192)
}

func TestAVanishedFarEndIsFoundOutByKeepAlive(t *testing.T) {
	t.Parallel()
	n := hosts.New(t, hosts.Options{Both: hosts.Settings{"keepalive.idle": "1s", "keepalive.interval": "1s", "keepalive.probes": "3"}})
	client, server := n.Connect(t, n.Listen(t, hosts.IPv4))
	mustBeEncrypted(t, n, client)
	time.Sleep(5 * time.Second) // longer than it takes to find a far end dead
	if err := exchangeByte(client, server); err != nil {
		t.Fatalf("the far end lives: %v", err)
	}
	if k := n.A.Count(t, "keepalives_answered") + n.B.Count(t, "keepalives_answered"); k == 0 {
		t.Error("nobody was asked")
	}
	n.Wire.Impair(hosts.Impairment{Loss: 1})
	begin := time.Now()
	for _, c := range []*hosts.Conn{client, server} {
		_ = c.SetDeadline(begin.Add(hosts.Patience))
		_, err := c.Read(make([]byte, 1))
		if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("after %v: %v", time.Since(begin), err)
		}
	}
	if k := n.A.Count(t, "abort_keepalive") + n.B.Count(t, "abort_keepalive"); k == 0 {
		t.Error("no gateway found the other one dead")
	}
}
