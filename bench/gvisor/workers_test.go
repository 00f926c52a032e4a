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

// The ports have one queue each, at which the workers take turns. Their number is such that a hash which is not the same at both ports, or not for
// both directions, would bring most segments to workers that do not know their connections.
func TestConnectionsAreSharedOutAmongWorkersOfOneQueue(t *testing.T) {
	for _, poll := range []string{"adaptive", "busy"} {
		t.Run(poll, func(t *testing.T) {
			n := hosts.New(t, hosts.Options{OneQueue: true, Both: hosts.Settings{"workers.count": "2", "workers.poll": poll}})
			shareOut(t, n)
			for _, g := range []*hosts.Gateway{n.A, n.B} {
				if lost := g.Count(t, "handover_packets"); lost > 0 {
					t.Errorf("gateway %s: %d segments reached a worker that did not have their connection", g.Config.Name, lost)
				}
			}
		})
	}
}
