package kernel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
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
				b.wantFirstSYNs(side, 20)
				for i := range clients {
					b.wantReset(side, "client", clients[i])
					b.wantReset(side, "server", servers[i])
				}
			}
		})
	}
}

// A data plane that hangs passes nothing, and nobody else takes its place: the gateway ends it, so that whoever started the gateway starts it again.
func TestGatewayEndsADataPlaneThatHangs(t *testing.T) {
	b := newBed(t)
	b.startA(topology.Packet)
	b.startB(topology.Packet)
	client, srv := b.mustConnect(ipv4)
	b.check(exchange(client, srv, 10_000, 10_000, false))
	hung := b.a
	b.check(hung.HangDataPlane())
	if said := hung.Stderr(); !strings.Contains(said, "does not answer any more") {
		b.t.Errorf("it does not say why:\n%s", said)
	}
	b.startA(topology.Packet)
	b.wantReset(topology.SideA, "client", client)
	b.wantReset(topology.SideA, "server", srv)
	b.awaitEncryption(b.b)
}

// hugePages are settings of a gateway whose segment takes hugeSegment huge pages of 2 MiB: as many as there are for each, so that
// one that is started again has those of the one that was killed. All else of it is larger.
var hugePages = []string{"flows.max=1000", "handshake.half_open=100"}

const hugeSegment = 9

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

// wantFirstSYNs fails unless connections that are opened at once, right behind the start of a data plane, all get through with their first
// SYN. The server's queue has room for all of them: where it has not, its kernel drops SYNs, with gateways and without.
func (b *bed) wantFirstSYNs(dead topology.Side, n int) {
	b.t.Helper()
	before := b.resentSYNs()
	pairs := make([]pair, n)
	b.all(n, func(i int) (err error) {
		pairs[i].client, pairs[i].srv, err = b.connect(families[i%len(families)])
		return err
	})
	if again := b.resentSYNs() - before; again > 0 {
		b.t.Errorf("gateway %s was started again: %d SYNs of %d connections had to be sent again", dead, again, n)
	}
	b.all(n, func(i int) error { return pairs[i].use(i) })
}

// resentSYNs returns how many SYNs and SYN-ACKs the client's kernel has sent more than once.
func (b *bed) resentSYNs() int {
	b.t.Helper()
	out, err := b.top.Client.Run("cat", "/proc/net/netstat")
	if err != nil {
		b.t.Fatal(err)
	}
	lines := strings.Split(out, "\n")
	for i := 0; i+1 < len(lines); i += 2 {
		names, values := strings.Fields(lines[i]), strings.Fields(lines[i+1])
		if at := slices.Index(names, "TCPSynRetrans"); at >= 0 {
			n, err := strconv.Atoi(values[at])
			b.check(err)
			return n
		}
	}
	b.t.Fatal("the kernel does not count SYNs that it sends again")
	return 0
}

// TestHostsThatWaitForAPeersWordHearOfADataPlaneThatDied has a connection held back at either gateway, because the peer that would have to
// confirm it is away, and kills that gateway's data plane. Nobody is left to wait for ever: both ends are reset by the data plane that follows.
func TestHostsThatWaitForAPeersWordHearOfADataPlaneThatDied(t *testing.T) {
	for _, side := range []topology.Side{topology.SideA, topology.SideB} {
		t.Run("held by "+side.String(), func(t *testing.T) {
			b := newBed(t)
			key, _ := b.newKey("a.key")
			_, far := b.newKey("b.key")
			prefix := map[topology.Side]string{topology.SideA: servers, topology.SideB: clients}[side]
			held := []string{"peering.key=" + key, "peering.timeout=120s", "policy=require", "authenticated=yes",
				fmt.Sprintf("peers=[{name: away, key: %q, prefixes: %s, address: '127.0.0.1:1'}]", far, prefix)}
			start := func() *topology.Gateway {
				if side == topology.SideA {
					b.startA(topology.Packet, held...)
					return b.a
				}
				b.startB(topology.Packet, held...)
				return b.b
			}
			holder := start()
			if side == topology.SideA {
				b.startB(topology.Packet)
			} else {
				b.startA(topology.Packet)
			}
			l, err := b.top.Server.Listen(topology.Server4 + ":7001")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			b.check(l.SetDeadline(time.Now().Add(patience)))
			accepted := make(chan *net.TCPConn, 1)
			go func() {
				if c, err := l.AcceptTCP(); err == nil {
					accepted <- c
				}
			}()
			ends := make(chan error, 1)
			go func() {
				ctx, cancel := context.WithTimeout(context.Background(), patience)
				defer cancel()
				c, err := b.top.Client.Dial(ctx, topology.Server4+":7001")
				if err == nil {
					defer c.Close()
					_ = c.SetReadDeadline(time.Now().Add(patience))
					_, err = c.Read(make([]byte, 1))
				}
				ends <- err
			}()
			b.eventually("a connection is held", func() bool {
				st, err := holder.Status()
				return err == nil && count(st.Counters, "handshakes_held") == 1
			})
			b.check(holder.KillDataPlane())
			killed := time.Now()
			start()
			// The kernel may have sent its SYN once more by then, which is a new connection, and held likewise.
			if err := <-ends; !errors.Is(err, syscall.ECONNREFUSED) && !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("the client got %v", err)
			}
			t.Logf("the client heard of it %v after the kill", time.Since(killed).Round(time.Millisecond))
			if side == topology.SideA {
				b.wantReset(side, "server", <-accepted)
				return
			}
			b.eventually("the server forgets the connection that it never had", func() bool {
				out, err := b.top.Server.Run("ss", "-Htan", "state", "syn-recv")
				return err == nil && strings.TrimSpace(out) == ""
			})
		})
	}
}
