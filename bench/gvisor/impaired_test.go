package gvisor

import (
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"linecrypt/bench/hosts"
	"linecrypt/bench/pattern"
)

func TestTransfersSurviveImpairedLinks(t *testing.T) {
	for name, imp := range map[string]hosts.Impairment{
		"loss 1 %":    {Loss: 0.01, Seed: 1},
		"loss 5 %":    {Loss: 0.05, Seed: 2},
		"reordering":  {Reorder: 0.05, Seed: 3},
		"duplication": {Duplicate: 0.1, Seed: 4},
		"splitting":   {Split: 0.5, Seed: 7},
		"everything":  {Loss: 0.02, Reorder: 0.02, Duplicate: 0.02, Split: 0.2, Seed: 5},
	} {
		for where, link := range map[string]func(*hosts.Network) []*hosts.Link{
			"on the wire":         func(n *hosts.Network) []*hosts.Link { return []*hosts.Link{n.Wire} },
			"on the inside links": func(n *hosts.Network) []*hosts.Link { return []*hosts.Link{n.Near, n.Far} },
		} {
			t.Run(name+" "+where, func(t *testing.T) {
				t.Parallel()
				n := hosts.New(t, hosts.Options{})
				client, server := n.Connect(t, n.Listen(t, hosts.IPv4))
				mustBeEncrypted(t, n, client)
				for _, l := range link(n) {
					l.Impair(imp)
				}
				mustExchange(t, client, server, 200_000, 200_000, 8192)
			})
		}
	}
}

func TestConnectionsAreMadeOverALossyWire(t *testing.T) {
	t.Parallel()
	const connections = 20
	n := hosts.New(t, hosts.Options{
		Wire: hosts.Impairment{Loss: 0.05, Duplicate: 0.05, Reorder: 0.05, Seed: 6},
		Both: hosts.Settings{"handshake.retransmit": "200ms", "handshake.eno_tries": "5"},
	})
	l := n.Listen(t, hosts.IPv6)
	var wg sync.WaitGroup
	for i := range connections {
		wg.Go(func() {
			if err := roundTrip(n, l, uint32(i), 20_000); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			c, err := l.AcceptWithin(hosts.Patience)
			if err != nil {
				t.Error(err)
				return
			}
			_ = c.SetDeadline(time.Now().Add(hosts.Patience))
			if _, err := io.Copy(c, c); err != nil {
				t.Error(err)
			}
			_ = c.CloseWrite()
		})
	}
	wg.Wait()
	if n.A.Count(t, "handshakes_done") == 0 {
		t.Error("no connection was encrypted")
	}
}

// forge returns an edit that changes a byte of the payload of every n-th large segment and makes the checksum right.
func forge(every int) func(hosts.Direction, []byte) bool {
	var count [2]int
	return func(d hosts.Direction, frame []byte) bool {
		s, ok := hosts.Parse(frame)
		if !ok || s.PayloadLen < 500 {
			return true
		}
		if count[d]++; count[d]%every == 0 {
			s.Payload()[s.PayloadLen/2] ^= 1
			s.FixChecksum()
		}
		return true
	}
}

func TestNowAndThenForgedFramesAreReplacedByGoodOnes(t *testing.T) {
	t.Parallel()
	n := hosts.New(t, hosts.Options{})
	client, server := n.Connect(t, n.Listen(t, hosts.IPv4))
	mustBeEncrypted(t, n, client)
	n.Wire.Impair(hosts.Impairment{Edit: forge(20)})
	// In step, because a stack of gVisor takes long to recover where much was in flight behind the forged frame.
	const message = 4000
	for _, c := range []*hosts.Conn{client, server} {
		_ = c.SetDeadline(time.Now().Add(hosts.Patience))
	}
	verifiers := [2]*pattern.Verifier{{Stream: up}, {Stream: down}}
	readers := [2]*pattern.Reader{{Stream: up, Left: 1 << 30}, {Stream: down, Left: 1 << 30}}
	for range 30 {
		for i, ends := range [][2]*hosts.Conn{{client, server}, {server, client}} {
			if _, err := io.CopyN(ends[0], readers[i], message); err != nil {
				t.Fatal(err)
			}
			if _, err := io.CopyN(verifiers[i], ends[1], message); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n.A.Count(t, "drop_ingress_auth")+n.B.Count(t, "drop_ingress_auth") == 0 {
		t.Error("no forged frame was counted")
	}
}

func TestForgedStreamEndsByAResetAndDeliversNoForgedByte(t *testing.T) {
	t.Parallel()
	n := hosts.New(t, hosts.Options{})
	client, server := n.Connect(t, n.Listen(t, hosts.IPv4))
	mustBeEncrypted(t, n, client)
	n.Wire.Impair(hosts.Impairment{Edit: forge(1)})
	_ = client.SetDeadline(time.Now().Add(hosts.Patience))
	_ = server.SetDeadline(time.Now().Add(hosts.Patience))
	go func() { _ = send(client, up, 1<<20, 8192) }()
	v := &pattern.Verifier{Stream: up}
	_, err := io.Copy(v, server)
	if err == nil || errors.Is(err, io.EOF) || !strings.Contains(err.Error(), "reset") {
		t.Fatalf("behind %d bytes: %v, want a reset", v.Offset, err)
	}
}
