package stream

import (
	"fmt"
	"testing"

	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
)

// pair is two hosts behind a gateway each.
type pair struct {
	w              *world
	client, server *host
	a, b           *gateway
	link           link
}

func newPair(t *testing.T, seed uint64, up, down []byte, change func(*Config)) *pair {
	w := newWorld(t, seed)
	p := &pair{w: w, link: defaultLink(w.rng)}
	p.a, p.b = newGateway(t, "A", change), newGateway(t, "B", change)
	p.client, p.server = newHost("client", w.rng, up), newHost("server", w.rng, down)
	return p
}

// start sets both ends up once link and impairments are chosen, and performs the handshake.
func (p *pair) start() {
	w := p.w
	p.client.connect(p.a, fromHost, &p.link, true, int(p.link.mss)-tcpcrypt.Overhead)
	p.server.connect(p.b, fromHost, &p.link, false, int(p.link.mss)-tcpcrypt.Overhead)
	p.a.inside, p.a.outside, p.a.peer = p.client, wireTo{p.b}, p.b
	p.b.inside, p.b.outside, p.b.peer = p.server, wireTo{p.a}, p.a
	p.a.start(w, &p.link, true)
	p.b.start(w, &p.link, false)
	p.b.init = initMessage(tcpcrypt.KindInit2, 80)
	if !p.a.core.QueueInit(testFlow, &p.a.rec, initMessage(tcpcrypt.KindInit1, 90), w.now, p.a.out) {
		w.t.Fatal("Init1 refused")
	}
	keyed := func() bool {
		const both = 1<<2 | 1<<3
		return p.a.rec.Ingress.Flags&both == both && p.b.rec.Ingress.Flags&both == both
	}
	if !w.run(w.now+300e9, keyed) {
		w.t.Fatalf("no keys after %d s", w.now/1e9)
	}
	p.client.start(w)
	p.server.start(w)
}

// wireTo makes what a gateway sends arrive from the wire.
type wireTo struct{ g *gateway }

func (t wireTo) receive(w *world, _ int, p *pkt) { t.g.receive(w, fromWire, p) }
func (wireTo) tick(*world)                       {}
func (wireTo) deadline() int64                   { return 0 }

// finish runs to the end and compares both streams.
func (p *pair) finish() {
	t := p.w.t
	t.Helper()
	if !p.w.run(p.w.now+3600e9, func() bool { return p.client.done() && p.server.done() }) {
		t.Fatalf("stuck at %d s: client %s server %s\nA %s\nB %s", p.w.now/1e9, p.client.state(), p.server.state(), p.a.state(), p.b.state())
	}
	p.compare()
	p.release()
}

func (p *pair) compare() {
	t := p.w.t
	t.Helper()
	if i := firstDifference(p.server.in, p.client.out); i >= 0 {
		t.Fatalf("client to server: differs at %d of %d (got %d)", i, len(p.client.out), len(p.server.in))
	}
	if i := firstDifference(p.client.in, p.server.out); i >= 0 {
		t.Fatalf("server to client: differs at %d of %d (got %d)", i, len(p.server.out), len(p.client.in))
	}
}

// release lets both gateways linger and checks that no buffer is lost.
func (p *pair) release() {
	t := p.w.t
	t.Helper()
	p.w.run(p.w.now+100e9, func() bool { return p.a.freed && p.b.freed && len(p.w.queue) == 0 })
	for _, g := range []*gateway{p.a, p.b} {
		if !g.freed {
			t.Errorf("%s was never released: %s", g.name, g.state())
		}
		if n := g.leaks(); n != 0 {
			t.Errorf("%s: %d buffers are lost", g.name, n)
		}
		if used := g.core.keyed.share.used + g.core.setup.share.used + g.core.queued.used + g.core.large.share.used; used != 0 {
			t.Errorf("%s: %d places of reassembly are lost", g.name, used)
		}
		if n := g.core.freeNodes(); n != 2000+4 {
			t.Errorf("%s: %d pieces and gaps free, not 2004", g.name, n)
		}
		if len(g.core.keys.free) != 16 {
			t.Errorf("%s: %d keys free, not 16", g.name, len(g.core.keys.free))
		}
	}
}

func (h *host) state() string {
	return fmt.Sprintf("una %d nxt %d max %d of %d wnd %d rcv %d fin %v reset %v unread %d", h.una, h.nxt, h.max, h.total(), h.wnd, h.rcv, h.gotFIN, h.reset, h.unread)
}

func (g *gateway) state() string {
	e, in := &g.rec.Egress, &g.rec.Ingress
	s := fmt.Sprintf("egress p %d w %d una %d/%d ack %d edge %d flags %x n %d; ingress w %d/%d p %d ackH %d/%d host %d acked %d edge %d pedge %d flags %x n %d out of order %d reassembly %d",
		e.PNext, e.WNext, e.PUna, e.WUna, e.WAck, e.WEdge, e.Flags, e.Queue.Count, in.WNext, in.WOpen, in.PNext, in.WAckH, in.PAckH, in.HostAck, in.WAcked, in.WEdge, in.PEdge, in.Flags, in.Queue.Count, g.rec.Local.Queued, g.rec.Local.Reassembly)
	for i, n := range g.core.n {
		if n != 0 {
			s += fmt.Sprintf(" %v=%d", shm.Counter(i), n)
		}
	}
	return s
}

func TestStreamsArriveUnchangedOverAPerfectWire(t *testing.T) {
	p := newPair(t, 1, pattern(1, 200000), pattern(2, 150000), nil)
	p.start()
	p.finish()
	if n := p.a.core.n[shm.DeliveryFrames] + p.a.core.n[shm.ResentFrames]; n != 0 {
		t.Errorf("%d frames took the slow path", n)
	}
}
