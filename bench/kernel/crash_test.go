package kernel

import (
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"linecrypt/bench/topology"
)

// TestEndsHearOfADataPlaneThatDied kills the data plane of one gateway and then of the other while a server sends and its client
// only reads, so that neither end would ever find out by itself that the client's half is gone. The data plane that follows resets
// both ends.
func TestEndsHearOfADataPlaneThatDied(t *testing.T) {
	for _, workers := range []string{"workers.count=1", "workers.count=2"} {
		t.Run(workers, func(t *testing.T) {
			b := gateways(t, topology.Packet, workers)
			for _, side := range []topology.Side{topology.SideB, topology.SideA} {
				b.awaitEncryption(b.b)
				var clients, servers []*net.TCPConn
				for i := range 8 {
					client, srv := b.mustConnect(families[i%len(families)])
					clients, servers = append(clients, client), append(servers, srv)
				}
				for i := range clients {
					b.check(exchange(clients[i], servers[i], 10_000, 100_000, false))
					b.wantSameSession(clients[i])
				}
				if side == topology.SideB {
					b.check(b.b.KillDataPlane())
					b.startB(topology.Packet, workers)
				} else {
					b.check(b.a.KillDataPlane())
					b.startA(topology.Packet, workers)
				}
				for i := range clients {
					b.wantReset(side, "client", clients[i])
					b.wantReset(side, "server", servers[i])
				}
			}
		})
	}
}

// wantReset fails unless a connection that nobody writes to is soon reset.
func (b *bed) wantReset(dead topology.Side, end string, c *net.TCPConn) {
	b.t.Helper()
	b.check(c.SetReadDeadline(time.Now().Add(10 * time.Second)))
	_, err := io.Copy(io.Discard, c)
	if !errors.Is(err, syscall.ECONNRESET) {
		b.t.Errorf("gateway %s died: the %s at %s got %v", dead, end, c.LocalAddr(), err)
	}
}
