package stream

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"linecrypt/ctrlplane/tcpcrypt"
)

// foreign is a host that speaks tcpcrypt itself, with frames of its own taste, against one gateway.
type foreign struct {
	w      *world
	peer   *host // the tcpcrypt host on the wire
	server *host // the plaintext host inside
	b      *gateway
	link   link
	plain  []byte
}

// sealer makes the stream of a tcpcrypt host.
type sealer struct {
	t      testing.TB
	master tcpcrypt.MasterKey
	aead   tcpcrypt.AEAD
	d      tcpcrypt.Direction
	out    []byte
	starts []int
}

func (s *sealer) frame(f tcpcrypt.Frame) {
	if f.Rekey {
		s.master = s.master.Next()
	}
	key := s.master.Traffic(s.aead, s.d)
	s.starts = append(s.starts, len(s.out))
	var err error
	if s.out, err = tcpcrypt.Seal(s.out, &key, uint64(len(s.out)), f); err != nil {
		s.t.Fatal(err)
	}
}

// newForeign prepares the connection; frames are sealed by the returned sealer, finish by start.
func newForeign(t *testing.T, seed uint64, down []byte, change func(*Config)) (*foreign, *sealer) {
	w := newWorld(t, seed)
	f := &foreign{w: w, link: defaultLink(w.rng), b: newGateway(t, "B", change)}
	f.server = newHost("server", w.rng, down)
	return f, &sealer{t: t, master: tcpcrypt.MasterKey{1, 2, 3}, aead: f.link.aead, out: initMessage(tcpcrypt.KindInit1, 100+w.rng.IntN(100)*w.rng.IntN(100))}
}

func (f *foreign) start(s *sealer) {
	w := f.w
	f.peer = newHost("foreign", w.rng, s.out)
	f.peer.connect(f.b, fromWire, &f.link, true, int(f.link.mss))
	f.server.connect(f.b, fromHost, &f.link, false, int(f.link.mss)-tcpcrypt.Overhead)
	f.b.inside, f.b.outside = f.server, f.peer
	f.b.start(w, &f.link, false)
	f.b.init = initMessage(tcpcrypt.KindInit2, 80)
	f.peer.start(w)
	if !w.run(w.now+300e9, func() bool { return f.b.rec.Ingress.Flags&(1<<3) != 0 }) {
		w.t.Fatal("no keys")
	}
	f.server.start(w)
}

// decode opens the wire stream that the foreign host received.
func decode(t testing.TB, wire []byte, aead tcpcrypt.AEAD, d tcpcrypt.Direction) (plain []byte, frames []tcpcrypt.Frame) {
	t.Helper()
	master := tcpcrypt.MasterKey{1, 2, 3}
	n, need, err := tcpcrypt.MessageLen(tcpcrypt.KindInit2, wire)
	if err != nil || need {
		t.Fatalf("Init2: %v", err)
	}
	for at := n; at < len(wire); {
		h, err := tcpcrypt.ParseHeader(wire[at:])
		if err != nil {
			t.Fatalf("frame at %d: %v", at, err)
		}
		if h.Rekey() {
			master = master.Next()
		}
		key := master.Traffic(aead, d)
		fr, n, err := tcpcrypt.Open(&key, uint64(at), wire[at:])
		if err != nil {
			t.Fatalf("frame at %d: %v", at, err)
		}
		plain = append(plain, fr.Data...)
		frames = append(frames, fr)
		at += n
	}
	return plain, frames
}

func (f *foreign) finish() []tcpcrypt.Frame {
	t := f.w.t
	t.Helper()
	if !f.w.run(f.w.now+3600e9, func() bool { return f.peer.done() && f.server.done() }) {
		t.Fatalf("stuck at %d s: foreign %s server %s\nB %s", f.w.now/1e9, f.peer.state(), f.server.state(), f.b.state())
	}
	if i := firstDifference(f.server.in, f.plain); i >= 0 {
		t.Fatalf("to the server: differs at %d of %d (got %d)", i, len(f.plain), len(f.server.in))
	}
	plain, frames := decode(t, f.peer.in, f.link.aead, tcpcrypt.BA)
	if i := firstDifference(plain, f.server.out); i >= 0 {
		t.Fatalf("from the server: differs at %d of %d (got %d)", i, len(f.server.out), len(plain))
	}
	last := frames[len(frames)-1]
	if !last.FIN {
		t.Error("the last frame has no FINp")
	}
	f.w.run(f.w.now+100e9, func() bool { return f.b.freed && len(f.w.queue) == 0 })
	if n := f.b.leaks(); n != 0 || len(f.b.core.large.free) != f.b.core.cfg.LargeBuffers || len(f.b.core.keys.free) != 16 {
		t.Errorf("%d buffers lost, %d large ones and %d keys free: %s", n, len(f.b.core.large.free), len(f.b.core.keys.free), f.b.state())
	}
	return frames
}

// randomFrames seals data frames of any size, the small ones more often, then the last one.
func (f *foreign) randomFrames(s *sealer, rng *rand.Rand, total int, rekey float64) {
	for len(f.plain) < total {
		n := rng.IntN(1 << rng.IntN(16))
		switch rng.IntN(20) {
		case 0:
			n = 0
		case 1:
			n = tcpcrypt.MaxData
		}
		fr := tcpcrypt.Frame{Rekey: rng.Float64() < rekey, Cres: 0xfe & byte(rng.Uint32()), Fres: byte(rng.Uint32()) &^ 3}
		fr.Data = pattern(byte(len(f.plain)), n)
		if n > 0 && n < tcpcrypt.MaxData-2 && rng.IntN(10) == 0 {
			fr.URG, fr.Urgent = true, uint16(rng.IntN(n))
		}
		s.frame(fr)
		f.plain = append(f.plain, fr.Data...)
	}
	s.frame(tcpcrypt.Frame{Plaintext: tcpcrypt.Plaintext{FIN: true}})
}

func TestForeignFramesOfAnySizeArriveInAnySegmentation(t *testing.T) {
	paths := []struct {
		name         string
		wire, inside impairment
		slow         bool
		rekey        float64
		total        int
		change       func(*Config)
	}{
		{name: "clean", total: 300000},
		{name: "rekeying", total: 200000, rekey: 0.2},
		{name: "split", wire: impairment{split: 0.5}, total: 100000},
		{name: "bytes", wire: impairment{split: 0.9, oneByte: 0.7}, total: 30000},
		{name: "loss", wire: impairment{loss: 0.03, reorder: 0.1, split: 0.2}, total: 100000},
		{name: "loss and rekeying", wire: impairment{loss: 0.03, reorder: 0.1, split: 0.2}, total: 100000, rekey: 0.3},
		{name: "loss inside", inside: impairment{loss: 0.04, reorder: 0.1}, total: 100000},
		{name: "loss everywhere", wire: impairment{loss: 0.03, dup: 0.1}, inside: impairment{loss: 0.03}, total: 60000, rekey: 0.1},
		{name: "slow reader", slow: true, total: 200000},
		{name: "few buffers", slow: true, wire: impairment{loss: 0.02, split: 0.2}, total: 100000, change: func(c *Config) {
			c.LargeBuffers, c.Deliveries = 1, 3
		}},
		{name: "slow reader, loss", slow: true, wire: impairment{loss: 0.03}, inside: impairment{loss: 0.03}, total: 100000, rekey: 0.1},
	}
	for i, s := range paths {
		t.Run(s.name, func(t *testing.T) {
			for seed := range uint64(seeds()) {
				if !t.Run(fmt.Sprint(seed), func(t *testing.T) {
					f, se := newForeign(t, seed*100+uint64(i), pattern(9, 40000), s.change)
					f.b.wire, f.b.insideL, f.server.link = &s.wire, &s.inside, &s.inside
					f.server.slow = s.slow
					f.randomFrames(se, f.w.rng, s.total, s.rekey)
					f.start(se)
					f.peer.link = &s.wire
					f.finish()
				}) {
					return
				}
			}
		})
	}
}
