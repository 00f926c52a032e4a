package stream

import (
	"bytes"
	"testing"

	"linecrypt/cryptobatch"
	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/flowtable"
)

func TestRekeyingFrameIsAnsweredAtOnce(t *testing.T) {
	r := newRig(t, nil, nil)
	re := data(0)
	re.Rekey = true
	a, b := r.farFrame(re)
	r.far(a, b, 0)
	_, w := r.take()
	var answer *pkt
	for _, p := range w {
		if len(p.data) > 0 {
			answer = p
		}
	}
	if answer == nil {
		t.Fatalf("sent %v", w)
	}
	if f := r.open(initLen, answer.data); !f[0].Rekey || len(f[0].Data) != 0 {
		t.Errorf("answer %+v", f)
	}
	r.say(0, 0, pattern(1, 10))
	if f := r.open(initLen+20, r.one(ToWire).data); f[0].Rekey {
		t.Error("the rekey bit is set twice")
	}
}

func TestRekeyingIsNotAnsweredAfterTheLastFrame(t *testing.T) {
	r := newRig(t, nil, nil)
	r.say(0, FIN, nil)
	r.take()
	re := data(10)
	re.Rekey = true
	a, b := r.farFrame(re)
	r.far(a, b, 0)
	r.one(ToHost)
}

func TestOneRekeyingAtATime(t *testing.T) {
	r := newRig(t, nil, nil)
	rekey := func() bool {
		ok := r.g.core.Rekey(testFlow, &r.g.rec, r.w.now, r.g.out)
		r.flush()
		return ok
	}
	if !rekey() {
		t.Fatal("refused")
	}
	if f := r.open(initLen, r.one(ToWire).data); !f[0].Rekey {
		t.Error("no rekey bit")
	}
	if rekey() {
		t.Error("a second rekeying began while the first is unanswered")
	}
	r.silence()
	re := data(10)
	re.Rekey = true
	a, b := r.farFrame(re)
	r.far(a, b, 0)
	r.one(ToHost)
	r.hostAcks(10)
	r.take()
	if !rekey() {
		t.Error("refused after the answer")
	}
}

func TestNoGenerationIsPassedOverWhileTheWindowIsClosed(t *testing.T) {
	r := newRig(t, nil, func(l *link) { l.clientWin = 10 })
	for i := range 3 {
		re := data(10)
		re.Rekey = true
		a, b := r.farFrame(re)
		r.wire(&pkt{seq: wireSeq + uint32(a), ack: hostSeq + initLen, win: 10, flags: ACK, data: bytes.Clone(r.seal.out[a:b])})
		r.hostAcks(10 * (i + 1))
	}
	if _, w := r.take(); r.g.rec.Rare.SealGen != 1 {
		t.Fatalf("generation %d begins with the next frame; sent %v", r.g.rec.Rare.SealGen, w)
	}
	r.wire(&pkt{seq: wireSeq + uint32(len(r.seal.out)), ack: hostSeq + initLen, win: 65535, flags: ACK})
	r.pass()
	_, w := r.take()
	master, at := tcpcrypt.MasterKey{1, 2, 3}, initLen
	for _, p := range w {
		if len(p.data) == 0 {
			continue
		}
		master = master.Next()
		key := master.Traffic(r.seal.aead, tcpcrypt.BA)
		if f, _, err := tcpcrypt.Open(&key, uint64(at), p.data); err != nil || !f.Rekey {
			t.Fatalf("at %d: frame %+v, error %v", at, f, err)
		}
		at += len(p.data)
	}
	if at != initLen+3*tcpcrypt.Overhead {
		t.Errorf("%d bytes of rekeying frames", at-initLen)
	}
}

func TestLostRekeyingFrameIsSentAgain(t *testing.T) {
	r := newRig(t, nil, nil)
	r.g.core.Rekey(testFlow, &r.g.rec, r.w.now, r.g.out)
	r.flush()
	first := r.one(ToWire)
	r.pass()
	if p := r.one(ToWire); p.seq != first.seq || !bytes.Equal(p.data, first.data) {
		t.Errorf("sent %v after %v", p, first)
	}
	for range 3 {
		r.wire(&pkt{seq: wireSeq + initLen, ack: hostSeq + initLen, win: 65535, flags: ACK})
	}
	_, w := r.take()
	if len(w) != 1 || !bytes.Equal(w[0].data, first.data) {
		t.Errorf("after three duplicates: %v", w)
	}
}

func TestGenerationsAreReplacedAtTheLimit(t *testing.T) {
	limit := func(c *Config) { c.RekeyFrames = 10 }
	p := newPair(t, 5, pattern(1, 300000), pattern(2, 300000), limit)
	p.start()
	p.finish()
	if n := p.a.core.n[shm.Rekeys]; n < 10 {
		t.Errorf("%d rekeyings", n)
	}
	for _, g := range []*gateway{p.a, p.b} {
		if n := g.core.n[shm.DropIngressRekey]; n != 0 {
			t.Errorf("%d frames were dropped that begin a generation", n)
		}
	}
}

func TestGenerationsAreReplacedOverImpairedPaths(t *testing.T) {
	for seed := range uint64(seeds()) {
		limit := func(c *Config) { c.RekeyBytes = 9000 }
		p := newPair(t, seed, pattern(1, 60000), pattern(2, 60000), limit)
		im := impairment{loss: 0.05, reorder: 0.1, split: 0.1, dup: 0.05}
		for _, g := range []*gateway{p.a, p.b} {
			g.wire, g.insideL = &im, &im
		}
		p.client.link, p.server.link = &im, &im
		p.start()
		p.finish()
		if p.a.core.n[shm.Rekeys] == 0 {
			t.Error("no rekeying")
		}
	}
}

// TestEveryFrameHasItsOwnNonce opens both wire streams as a whole: each position was sealed once, under the generation that the
// rekey bits say.
func TestEveryFrameHasItsOwnNonce(t *testing.T) {
	p := newPair(t, 6, pattern(1, 100000), pattern(2, 1), func(c *Config) { c.RekeyFrames = 7 })
	im := impairment{loss: 0.05}
	p.a.wire = &im
	p.start()
	p.finish()
	wire := p.a.sent
	master := tcpcrypt.MasterKey{1, 2, 3}
	var plain []byte
	for at := 90; at < len(wire); {
		h, err := tcpcrypt.ParseHeader(wire[at:])
		if err != nil {
			t.Fatal(err)
		}
		if h.Rekey() {
			master = master.Next()
		}
		key := master.Traffic(p.link.aead, tcpcrypt.AB)
		f, n, err := tcpcrypt.Open(&key, uint64(at), wire[at:])
		if err != nil {
			t.Fatalf("at %d: %v", at, err)
		}
		plain, at = append(plain, f.Data...), at+n
	}
	if !bytes.Equal(plain, p.client.out) {
		t.Error("the wire does not hold the stream")
	}
}

// withData returns the packets that carry payload.
func withData(ps []*pkt) (with []*pkt) {
	for _, p := range ps {
		if len(p.data) > 0 {
			with = append(with, p)
		}
	}
	return with
}

func TestRekeyingFramesWaitForTheLastGenerationToEnd(t *testing.T) {
	rekeying := func(n int) tcpcrypt.Frame {
		f := data(n)
		f.Rekey = true
		return f
	}
	for name, pieces := range map[string]int{"whole": 1, "in pieces": 2} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil, nil)
			a, b := r.farFrame(data(100))
			_, c := r.farFrame(rekeying(50))
			_, d := r.farFrame(rekeying(1000))
			_, e := r.farFrame(data(10))
			r.far(a, b, 0)
			r.far(b, c, 0)
			r.take()
			if pieces > 1 {
				r.far(c, c+500, 0)
				c += 500
			}
			r.far(c, d, 0)
			r.far(d, e, 0)
			h, w := r.take()
			if len(withData(h)) != 0 {
				t.Fatalf("delivered %v", h)
			}
			for _, p := range w {
				if len(p.sack) > 0 {
					t.Errorf("what waits without a hole in front is told as if it were behind one: %v", p)
				}
			}
			r.hostAcks(150)
			for d := r.g.core.Deadline(&r.g.rec); d == 1; d = r.g.core.Deadline(&r.g.rec) {
				r.pass()
			}
			h, _ = r.take()
			if h = withData(h); len(h) != 2 || !bytes.Equal(h[0].data, pattern(3, 1000)) || len(h[1].data) != 10 {
				t.Errorf("delivered %v: %s", h, r.g.state())
			}
		})
	}
}

func TestAKeyIsInstalledWithoutAllocatingAndLeavesNothingBehind(t *testing.T) {
	engine, err := cryptobatch.New(cryptobatch.Select("", ""))
	if err != nil {
		t.Fatal(err)
	}
	var k keyring
	if err := k.init(engine, 4, false); err != nil {
		t.Fatal(err)
	}
	defer k.close()
	var s flowtable.Secrets
	var nr [12]byte
	if n := testing.AllocsPerRun(10, func() {
		i, err := k.install(&s, &nr, tcpcrypt.AES128GCM, tcpcrypt.MasterKey{1}, tcpcrypt.AB)
		if err != nil {
			t.Fatal(err)
		}
		k.wipe(i)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if k.traffic.Key != (tcpcrypt.TrafficKey{}).Key {
		t.Error("the traffic key is not wiped")
	}
}
