package kernel

import (
	"context"
	"testing"
	"time"

	"linecrypt/bench/topology"
)

// TestOneGatewayAloneFallsBackToPlainTCP has a gateway at one end only: the client's gets no ENO back, and the server's is
// never offered any. Connections are what they would be without it.
func TestOneGatewayAloneFallsBackToPlainTCP(t *testing.T) {
	for _, kind := range []topology.PortKind{topology.AFXDP, topology.Packet} {
		for _, side := range []topology.Side{topology.SideA, topology.SideB} {
			t.Run(string(kind)+"/OnlyGateway"+side.String(), func(t *testing.T) {
				b := newBed(t)
				other := topology.SideB
				if side == topology.SideA {
					b.startA(kind)
				} else {
					b.startB(kind)
					other = topology.SideA
				}
				b.check(b.top.Plain(other))
				for _, f := range families {
					b.plainConnection(f, side)
				}
			})
		}
	}
}

// plainConnection fails unless a connection works in the clear.
func (b *bed) plainConnection(f family, side topology.Side) {
	b.t.Helper()
	const n = 2_000_000
	client, srv := b.mustConnect(f)
	b.check(exchange(client, srv, n, n, false))
	for _, g := range []*topology.Gateway{b.a, b.b} {
		if g == nil {
			continue
		}
		if s, listed := b.session(g, client); listed {
			b.t.Errorf("gateway %s lists a session: %+v", g.Side, s)
		}
	}
	b.check(exchange(client, srv, 10, 10, true))
	w := b.wire()
	if w.Plaintext < n/1460 {
		b.t.Errorf("the wire does not show the plaintext: %+v", w)
	}
	if offered := w.SYNWithENO > 0; offered != (side == topology.SideA) || w.SYNACKWithENO != 0 {
		b.t.Errorf("ENO on the wire: %+v", w)
	}
}

// TestRequireRefusesWhatCannotBeEncrypted has the policy that rather has no connection than a plain one.
func TestRequireRefusesWhatCannotBeEncrypted(t *testing.T) {
	for _, side := range []topology.Side{topology.SideA, topology.SideB} {
		t.Run("OnlyGateway"+side.String(), func(t *testing.T) {
			b := newBed(t)
			other := topology.SideB
			if side == topology.SideA {
				b.startA(topology.Packet, "policy=require")
			} else {
				b.startB(topology.Packet, "policy=require")
				other = topology.SideA
			}
			b.check(b.top.Plain(other))
			b.wantRefused(ipv4)
			if w := b.wire(); w.Plaintext != 0 {
				t.Errorf("plaintext on the wire: %+v", w)
			}
		})
	}
	t.Run("BothGateways", func(t *testing.T) {
		b := newBed(t)
		b.startA(topology.Packet, "policy=require")
		b.startB(topology.Packet, "policy=require")
		client, srv := b.mustConnect(ipv4)
		b.check(exchange(client, srv, 10_000, 10_000, true))
		b.wantEncrypted(20_000)
	})
}

// wantRefused fails if data gets through on a connection, should there be one.
func (b *bed) wantRefused(f family) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	conn, err := b.top.Client.Dial(ctx, b.servers[f].addr)
	if err != nil {
		return
	}
	conn.Close()
	b.t.Error("connected")
}

// TestDisabledPassesEveryConnectionUntouched has one gateway that was told to keep out of it.
func TestDisabledPassesEveryConnectionUntouched(t *testing.T) {
	b := newBed(t)
	b.startA(topology.Packet, "policy=disabled")
	b.startB(topology.Packet)
	b.plainConnection(ipv4, topology.SideB)
}
