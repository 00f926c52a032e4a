package kernel

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"linecrypt/bench/topology"
)

// TestOffloadsMayStayOn sends a few megabytes each way at once between hosts whose kernels hand over super-packets with unfinished
// checksums, as they do unless told otherwise. Every byte must arrive, encrypted, without a packet that was too large for somebody.
func TestOffloadsMayStayOn(t *testing.T) {
	for _, c := range []struct {
		mtu, workers int
	}{{1500, 1}, {1500, 2}, {9000, 1}} {
		t.Run(fmt.Sprintf("MTU %d, %d workers", c.mtu, c.workers), func(t *testing.T) {
			b := bedOf(t, topology.Options{Direct: true, Offloads: true, MTU: c.mtu})
			b.startA(topology.Packet, fmt.Sprintf("workers.count=%d", c.workers))
			b.startB(topology.Packet, fmt.Sprintf("workers.count=%d", c.workers))
			for _, f := range families {
				t.Run(string(f), func(t *testing.T) { b.in(t).superPackets(f) })
			}
		})
	}
}

func (b *bed) superPackets(f family) {
	const size = 16 << 20
	conn, srv, err := b.connect(f)
	if err != nil {
		b.t.Fatal(err)
	}
	defer conn.Close()
	defer srv.Close()
	begun := time.Now()
	b.check(exchange(conn, srv, size, size, false))
	b.t.Logf("%d MB each way in %v", size>>20, time.Since(begun))
	b.wantSameSession(conn)
	for _, g := range []*topology.Gateway{b.a, b.b} {
		st, err := g.Status()
		if err != nil {
			b.t.Fatal(err)
		}
		for _, d := range st.Drops {
			if d.Count != 0 && slices.Contains([]string{"drop_super_packet", "drop_tx_error", "drop_too_long", "drop_checksum", "drop_rx_truncated"}, d.Name) {
				b.t.Errorf("gateway %s: %s %d", g.Side, d.Name, d.Count)
			}
		}
	}
}
