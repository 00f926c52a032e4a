package kernel

import (
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"linecrypt/bench/testenv"
	"linecrypt/bench/topology"
)

// TestEndsHearOfADataPlaneThatDied kills the data plane of one gateway and then of the other while a server sends and its client
// only reads, so that neither end would ever find out by itself that the client's half is gone. The data plane that follows resets
// both ends.
func TestEndsHearOfADataPlaneThatDied(t *testing.T) {
	for name, set := range map[string][]string{
		"one worker":  {"workers.count=1", "memory.huge_pages=off"},
		"two workers": {"workers.count=2", "memory.huge_pages=off"},
		"huge pages":  hugePages,
	} {
		t.Run(name, func(t *testing.T) {
			b, wantHuge := newBed(t), name == "huge pages"
			if wantHuge {
				testenv.Hugetlbfs(t, 2*hugeSegment) // which the gateways see, too
			}
			b.startA(topology.Packet, set...)
			b.startB(topology.Packet, set...)
			for _, side := range []topology.Side{topology.SideB, topology.SideA} {
				b.awaitEncryption(b.b)
				b.wantHugePages(wantHuge)
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
					b.startB(topology.Packet, set...)
				} else {
					b.check(b.a.KillDataPlane())
					b.startA(topology.Packet, set...)
				}
				for i := range clients {
					b.wantReset(side, "client", clients[i])
					b.wantReset(side, "server", servers[i])
				}
			}
		})
	}
}

// hugePages are settings of a gateway whose segment takes hugeSegment huge pages of 2 MiB: as many as there are for each, so that
// one that is started again has those of the one that was killed. All else of it is larger.
var hugePages = []string{"flows.max=1000", "handshake.half_open=100"}

const hugeSegment = 5

// wantHuge fails unless both gateways say that their segments lie in huge pages, or not.
func (b *bed) wantHugePages(want bool) {
	b.t.Helper()
	for _, g := range []*topology.Gateway{b.a, b.b} {
		st, err := g.Status()
		b.check(err)
		if st.Segment.HugePages != want {
			b.t.Errorf("gateway %s has its segment in %+v; in huge pages: want %v", g.Side, st.Segment, want)
		}
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
