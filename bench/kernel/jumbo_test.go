package kernel

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"linecrypt/bench/topology"
)

// TestJumboFramesPassPortsWithoutOffloads sends a few megabytes each way at once over interfaces with as large an MTU as the ports carry.
// Every byte must arrive, encrypted, in segments that are as long as the MTU allows. Packet ports are in TestOffloadsMayStayOn.
func TestJumboFramesPassPortsWithoutOffloads(t *testing.T) {
	for _, c := range []struct {
		kind         topology.PortKind
		mtu, workers int
	}{{topology.AFPacket, 9000, 1}, {topology.AFPacket, 9000, 2}, {topology.AFXDP, 3434, 1},
		{topology.XDP, 9000, 1}, {topology.XDP, 9000, 2}} {
		t.Run(fmt.Sprintf("%s with %d workers", c.kind, c.workers), func(t *testing.T) {
			b := bedOf(t, topology.Options{MTU: c.mtu})
			b.startA(c.kind, fmt.Sprintf("workers.count=%d", c.workers))
			b.startB(c.kind, fmt.Sprintf("workers.count=%d", c.workers))
			for _, f := range families {
				t.Run(string(f), func(t *testing.T) { b.in(t).jumbo(f, c.mtu) })
			}
		})
	}
}

func (b *bed) jumbo(f family, mtu int) {
	const size, shortest, longest = 4 << 20, 20 + 20, 40 + 20 + 40 // headers: those of IPv4 and TCP, and of IPv6 and TCP with all options
	conn, srv := b.mustConnect(f)
	b.check(exchange(conn, srv, size, size, false))
	b.wantSameSession(conn)
	path, _, err := b.capture.Stop()
	b.check(err)
	w, err := topology.Examine(path)
	b.check(err)
	b.capture, err = b.top.Capture("wire.pcap")
	b.check(err)
	if w.Plaintext != 0 || w.Longest < mtu-longest || w.Longest > mtu-shortest {
		b.t.Errorf("plaintext in %d packets; the longest segment has %d bytes", w.Plaintext, w.Longest)
	}
	for _, g := range []*topology.Gateway{b.a, b.b} {
		st, err := g.Status()
		b.check(err)
		for _, p := range st.Ports {
			if p.MTU != mtu {
				b.t.Errorf("gateway %s: MTU %d", g.Side, p.MTU)
			}
		}
		for _, d := range st.Drops {
			if d.Count != 0 && slices.Contains([]string{"drop_super_packet", "drop_tx_error", "drop_too_long", "drop_rx_truncated"}, d.Name) {
				b.t.Errorf("gateway %s: %s %d", g.Side, d.Name, d.Count)
			}
		}
	}
}

// TestJumboFramesThatADriverCannotCarryAreRefusedAtTheStart is about AF_XDP, whose driver wants a packet within a page.
func TestJumboFramesThatADriverCannotCarryAreRefusedAtTheStart(t *testing.T) {
	needPorts(t, topology.AFXDP)
	b := bedOf(t, topology.Options{Direct: true, MTU: 9000})
	g, err := b.top.Start(topology.SideA, topology.AFXDP)
	if err == nil {
		_ = g.Stop()
		t.Fatal("the gateway runs")
	}
	for _, want := range []string{"MTU of 9000", "ip link set inside mtu 3434", "xdp:inside", "packet:inside"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
