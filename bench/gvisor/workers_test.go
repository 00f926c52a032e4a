package gvisor

import (
	"sync"
	"testing"

	"linecrypt/bench/hosts"
)

// shareOut opens connections until each worker of both gateways has sealed frames of some.
func shareOut(t *testing.T, n *hosts.Network) {
	t.Helper()
	const connections, size = 32, 100_000
	for _, f := range []hosts.Family{hosts.IPv4, hosts.IPv6} {
		l := n.Listen(t, f)
		var wg sync.WaitGroup
		for range connections {
			client, server := n.Connect(t, l)
			wg.Go(func() {
				if err := exchange(client, server, size, size, 10_000); err != nil {
					t.Error(err)
				}
				client.Close()
				server.Close()
			})
		}
		wg.Wait()
	}
	for _, g := range []*hosts.Gateway{n.A, n.B} {
		if done := g.Count(t, "handshakes_done"); done != 2*connections {
			t.Errorf("gateway %s: %d of %d connections were encrypted", g.Config.Name, done, 2*connections)
		}
		for i, frames := range g.Shares(t, "sealed_frames") {
			if frames == 0 {
				t.Errorf("gateway %s: worker %d had no connection", g.Config.Name, i)
			}
		}
	}
}

func TestConnectionsAreSharedOutAmongWorkers(t *testing.T) {
	shareOut(t, hosts.New(t, hosts.Options{Both: hosts.Settings{"workers.count": "3"}}))
}
