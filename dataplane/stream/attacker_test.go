package stream

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// attacker sends forged segments to gateways, in the name of the hosts behind them and of the far ends. It sees no traffic: its
// numbers are guesses, of which some are nearer to the truth than any guess has a right to be, but none is exact.
type attacker struct {
	rng     *rand.Rand
	victims []*gateway
	every   int64 // ns between two segments, about
	at      int64
	left    int
}

func (a *attacker) receive(*world, int, *pkt) {}

func (a *attacker) deadline() int64 {
	if a.left == 0 {
		return 0
	}
	return a.at
}

func (a *attacker) tick(w *world) {
	a.left--
	a.at = w.now + 1 + a.rng.Int64N(2*a.every)
	g := a.victims[a.rng.IntN(len(a.victims))]
	if g.freed {
		return
	}
	from := a.rng.IntN(2)
	if p := a.forge(g, from); p != nil {
		g.receive(w, from, p)
	}
}

var forgedFlags = []uint8{RST, RST | ACK, SYN, SYN | ACK, FIN | ACK, ACK, ACK, PSH | ACK, PSH | ACK, PSH | ACK | URG, 0, 255}

// forge makes a segment as if from the host, or the far end, of a gateway.
func (a *attacker) forge(g *gateway, from int) *pkt {
	f := flow{c: g.core, r: &g.rec}
	e, in := &g.rec.Egress, &g.rec.Ingress
	next, edge := f.peerISN()+uint32(f.received()), f.peerISN()+uint32(in.WEdge)
	acked, ack, sent := f.peerISN()+uint32(in.WAcked), f.hostISN()+uint32(e.WAck), f.hostISN()+uint32(e.WNext)
	ts, ecr := g.rec.Peer.TSVal, g.rec.Host.TSVal
	if from == fromHost {
		next, acked, ack, sent = f.hostISN()+uint32(e.PNext), f.hostISN()+uint32(e.PUna), f.peerISN()+uint32(in.HostAck), f.peerISN()+uint32(in.PNext)
		edge = f.hostISN() + uint32(f.hostLimit())
		ts, ecr = ecr, ts
	}
	rng := a.rng
	p := &pkt{flags: forgedFlags[rng.IntN(len(forgedFlags))], win: uint16(rng.Uint32()), urg: uint16(rng.Uint32()), ts: ts, ecr: ecr}
	switch rng.IntN(7) {
	case 0:
		p.seq = rng.Uint32()
	case 1:
		p.seq = acked - 1
	case 2:
		p.seq = acked - 100000 + uint32(rng.IntN(1000))
	case 3:
		p.seq = edge + 2 + uint32(rng.IntN(100000))
	case 4, 5:
		p.seq = next + 1 + uint32(rng.IntN(3000))
	}
	switch rng.IntN(6) {
	case 0:
		p.ack = rng.Uint32()
	case 1:
		p.ack = sent + 1 + uint32(rng.IntN(100000))
	case 2:
		p.ack = ack - 1<<28
	default:
		p.ack = ack
	}
	if rng.IntN(3) == 0 {
		p.win = 0
	}
	switch rng.IntN(4) {
	case 0:
		p.ts += 1 << 30
	case 1:
		p.ts -= 1 << 30
	}
	if p.flags&PSH != 0 {
		p.data = make([]byte, 1+rng.IntN(1400))
		for i := range p.data {
			p.data[i] = byte(rng.Uint32())
		}
		if rng.IntN(2) == 0 {
			p.data[0] = 0 // a frame's header, by the look of it
		}
	}
	if rng.IntN(4) == 0 {
		p.sack = [][2]uint32{{ack + uint32(rng.IntN(5000)), ack + uint32(rng.IntN(50000))}}
	}
	// What the hosts themselves could not tell from the truth is not the gateway's to tell: plaintext, or its end, in the window
	// and with the right acknowledgement.
	inWindow := p.seq-next <= edge-next
	lucky := p.ack-ack+1<<27 <= 1<<27+1<<20 // about as probable as it is to be believed
	if from == fromHost && inWindow && lucky && (len(p.data) > 0 || p.flags&FIN != 0) {
		return nil
	}
	// Nothing is exact, nor reaches from before into what is expected with the right acknowledgement.
	if end := p.seq + uint32(len(p.data)); p.seq == next || p.seq == acked || later(next, p.seq) && later(end, acked) && lucky {
		return nil
	}
	return p
}

func TestTransfersEndRightAndInTimeUnderBlindForgery(t *testing.T) {
	for _, c := range []struct {
		name string
		im   impairment
		slow bool
	}{{name: "clean"}, {name: "lossy", im: impairment{loss: 0.02, reorder: 0.1, dup: 0.05}}, {name: "resegmented", im: impairment{split: 0.3, loss: 0.01}}} {
		t.Run(c.name, func(t *testing.T) {
			for seed := range uint64(2 * seeds()) {
				if !t.Run(fmt.Sprint(seed), func(t *testing.T) {
					quiet := transferUnder(t, seed, &c.im, 0)
					forged := transferUnder(t, seed, &c.im, 3000)
					if limit := 3*quiet + 20e9; forged > limit {
						t.Errorf("the transfer took %d ms under forgery, %d ms without", forged/1e6, quiet/1e6)
					}
				}) {
					return
				}
			}
		})
	}
}

// transferUnder runs a transfer in both directions under a number of forged segments and returns how long it took.
func transferUnder(t *testing.T, seed uint64, im *impairment, forged int) int64 {
	p := newPair(t, seed, pattern(1, 150000), pattern(2, 150000), nil)
	p.a.wire, p.b.wire = im, im
	p.start()
	began := p.w.now
	p.a.peer, p.b.peer = nil, nil // a forged window may be believed, and overrun: the far end drops what it has no room for
	if forged > 0 {
		p.w.nodes = append(p.w.nodes, &attacker{
			rng: rand.New(rand.NewPCG(seed, 99)), victims: []*gateway{p.a, p.b}, every: 500e3, at: began, left: forged,
		})
	}
	if !p.w.run(p.w.now+3600e9, func() bool { return p.client.done() && p.server.done() }) {
		t.Fatalf("stuck at %d s: client %s server %s\nA %s\nB %s", p.w.now/1e9, p.client.state(), p.server.state(), p.a.state(), p.b.state())
	}
	p.compare()
	return p.w.now - began
}
