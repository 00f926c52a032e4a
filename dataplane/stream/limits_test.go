package stream

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/flowtable"
)

// sealedUnder counts the frames and bytes of a wire stream under each generation.
func sealedUnder(t *testing.T, wire []byte, at int) (frames, bytes []int) {
	t.Helper()
	frames, bytes = []int{0}, []int{0}
	for at < len(wire) {
		h, err := tcpcrypt.ParseHeader(wire[at:])
		if err != nil {
			t.Fatal(err)
		}
		if h.Rekey() {
			frames, bytes = append(frames, 0), append(bytes, 0)
		}
		frames[len(frames)-1]++
		bytes[len(bytes)-1] += h.FrameLen()
		at += h.FrameLen()
	}
	return frames, bytes
}

func TestAConnectionThatCannotRekeyIsClosedAtTheLimitOfItsKey(t *testing.T) {
	limits := map[string]func(c *Config){
		"frames": func(c *Config) { c.RekeyFrames, c.KeyFrames = 2, 12 },
		"bytes":  func(c *Config) { c.RekeyBytes, c.KeyBytes = 60, 360 },
		// Nobody asked for rekeying: the limit makes it necessary.
		"frames, never configured": func(c *Config) { c.KeyFrames = 12 },
		"bytes, never configured":  func(c *Config) { c.KeyBytes = 360 },
	}
	reasons := map[string]func(g *gateway){
		"no key slot": func(g *gateway) { g.core.keys.free = nil },
		"frames in flight need their keys": func(g *gateway) {
			g.core.freeOldKey = 0
		},
	}
	for limit, change := range limits {
		for reason, spoil := range reasons {
			t.Run(limit+", "+reason, func(t *testing.T) {
				r := newRig(t, func(c *Config) { change(c); c.PoolLow = 1 << 20 }, nil)
				spoil(r.g)
				base := len(r.g.sent)
				for i := range 12 {
					r.say(10*i, 0, pattern(1, 10))
					r.g.core.dropHeld(&r.g.rec, shm.KeptDropped)
				}
				if r.g.rec.Rare.SealGen != 0 || r.g.rec.Egress.Flags&flowtable.EgressDead != 0 {
					t.Fatalf("before the limit: %s", r.g.state())
				}
				r.take()
				r.say(120, 0, pattern(1, 10))
				r.aborted(shm.AbortKeyLimit)
				r.count(shm.SealedFrames, 12)
				r.count(shm.DropEgressRekey, 1)
				r.say(130, 0, pattern(1, 10))
				r.count(shm.SealedFrames, 12)
				if frames, bytes := sealedUnder(t, r.g.sent, base); len(frames) != 1 || frames[0] != 12 || bytes[0] != 360 {
					t.Errorf("%d frames of %d bytes were sealed", frames, bytes)
				}
			})
		}
	}
}

func TestAConnectionRekeysAsSoonAsItCanBeforeTheLimitOfItsKey(t *testing.T) {
	r := newRig(t, func(c *Config) { c.RekeyFrames, c.KeyFrames = 2, 12 }, nil)
	free := r.g.core.keys.free
	r.g.core.keys.free = nil
	for i := range 11 {
		r.say(10*i, 0, pattern(1, 10))
	}
	r.count(shm.SealedFrames, 11)
	r.g.core.keys.free = free
	r.say(110, 0, pattern(1, 10))
	if r.g.rec.Rare.SealGen != 1 || r.g.rec.Egress.GenFrames != 1 {
		t.Errorf("generation %d, %d frames", r.g.rec.Rare.SealGen, r.g.rec.Egress.GenFrames)
	}
}

func TestNoKeySealsMoreThanItsLimitWhateverTheFarEndDoes(t *testing.T) {
	// The far end's answers are lost for as long as it takes: with data to send, the gateway does not wait for them.
	for seed := range uint64(seeds()) {
		r := newRig(t, func(c *Config) { c.RekeyFrames, c.KeyFrames, c.RekeyBytes, c.KeyBytes = 3, 7, 4000, 9000 }, nil)
		rng := rand.New(rand.NewPCG(seed, 1))
		base, p := len(r.g.sent), 0
		for range 200 {
			n := 1 + rng.IntN(1000)
			r.say(p, 0, pattern(1, n))
			p += n
			if rng.IntN(3) == 0 {
				r.wire(&pkt{seq: wireSeq + initLen, ack: hostSeq + uint32(r.g.rec.Egress.WNext), win: 65535, flags: ACK})
			}
		}
		frames, bytes := sealedUnder(t, r.g.sent, base)
		if len(frames) < 20 {
			t.Errorf("%d generations: %s", len(frames), r.g.state())
		}
		for i := range frames {
			if frames[i] > 7 || bytes[i] > 9000 {
				t.Errorf("generation %d: %d frames, %d bytes", i, frames[i], bytes[i])
			}
		}
	}
}

func TestARuleOfItsOwnSaysWhenAConnectionRekeys(t *testing.T) {
	r := newRig(t, func(c *Config) { c.RekeyFrames = 1000 }, nil)
	r.g.rec.Rare.Rekey = flowtable.RekeyLimits{Frames: flowtable.Log2(9)}
	f := flow{c: r.g.core, r: &r.g.rec, now: r.w.now, out: r.g.out}
	f.beginGeneration()
	for i := range 9 {
		r.say(10*i, 0, pattern(1, 10))
	}
	if r.g.rec.Rare.SealGen != 1 || r.g.rec.Egress.GenFrames != 1 {
		t.Errorf("generation %d, %d frames", r.g.rec.Rare.SealGen, r.g.rec.Egress.GenFrames)
	}
}

// TestBytesAreCountedBeyondWhatAGlanceTells goes on from positions that 32 bits do not tell apart.
func TestBytesAreCountedBeyondWhatAGlanceTells(t *testing.T) {
	b := newBench(t, tcpcrypt.BA)
	b.core.cfg.RekeyBytes = 3 * glance
	b.restart(t, tcpcrypt.BA)
	e := &b.rec.Egress
	for _, used := range []uint64{0, glance - 1, glance, 2*glance + 7, 3*glance - 1} {
		e.WNext = b.rec.Rare.WSeal + used
		f := flow{c: b.core, r: &b.rec, now: b.now, out: b.out}
		if !f.rekeyIfDue(1000) || b.rec.Rare.SealGen != 0 {
			t.Fatalf("%d bytes: generation %d", used, b.rec.Rare.SealGen)
		}
		if left := int32(e.GenEdge - uint32(e.WNext)); left <= 0 || uint64(left) > 3*glance-used {
			t.Errorf("%d bytes: %d are sealed at a glance", used, left)
		}
	}
	e.WNext = b.rec.Rare.WSeal + 3*glance
	f := flow{c: b.core, r: &b.rec, now: b.now, out: b.out}
	if !f.rekeyDue() || !f.rekeyIfDue(1000) || b.rec.Rare.SealGen != 1 {
		t.Errorf("generation %d", b.rec.Rare.SealGen)
	}
}

func TestKeysAreReplacedInTimeWhereTheyAreUsed(t *testing.T) {
	r := newRig(t, func(c *Config) { c.RekeyTime = 60e9 }, nil)
	r.say(0, 0, pattern(1, 10))
	r.take()
	r.wire(&pkt{seq: wireSeq + initLen, ack: hostSeq + uint32(r.g.rec.Egress.WNext), win: 65535, flags: ACK})
	r.take()
	begin := r.w.now
	r.pass()
	if p := r.one(ToWire); r.w.now-begin > 60e9 || r.w.now-begin < 59e9 || !r.open(initLen+30, p.data)[0].Rekey {
		t.Fatalf("after %d s: %v", (r.w.now-begin)/1e9, p)
	}
	r.count(shm.RekeysTimed, 1)
	// The far end follows, and neither has anything else to say: no more keys are needed.
	re := data(0)
	re.Rekey = true
	a, b := r.farFrame(re)
	r.far(a, b, 0)
	r.take()
	for range 10 {
		r.pass()
	}
	r.silence()
	r.count(shm.RekeysTimed, 1)
	r.count(shm.Rekeys, 2)
}

func TestRekeyingInTimeWaitsForTheLastOne(t *testing.T) {
	r := newRig(t, func(c *Config) { c.RekeyTime = 60e9 }, nil)
	r.g.core.Rekey(testFlow, &r.g.rec, r.w.now, r.g.out)
	r.flush()
	r.say(0, 0, pattern(1, 10))
	r.wire(&pkt{seq: wireSeq + initLen, ack: hostSeq + uint32(r.g.rec.Egress.WNext), win: 65535, flags: ACK})
	r.take()
	for range 5 {
		r.pass()
	}
	r.count(shm.RekeysTimed, 1)
	if r.g.rec.Rare.SealGen != 1 || r.g.rec.Egress.Flags&flowtable.EgressAged == 0 {
		t.Fatalf("generation %d: %s", r.g.rec.Rare.SealGen, r.g.state())
	}
	re := data(0)
	re.Rekey = true
	a, b := r.farFrame(re)
	r.far(a, b, 0)
	r.pass()
	if r.g.rec.Rare.SealGen != 2 || r.g.rec.Egress.Flags&flowtable.EgressAged != 0 {
		t.Errorf("generation %d: %s", r.g.rec.Rare.SealGen, r.g.state())
	}
}

// TestStreamsArriveUnchangedWhateverMakesTheKeysChange rekeys by all that there is, on both sides, over bad paths.
func TestStreamsArriveUnchangedWhateverMakesTheKeysChange(t *testing.T) {
	for i, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			for seed := range uint64(seeds()) {
				if !t.Run(fmt.Sprint(seed), func(t *testing.T) { rekeyOften(t, seed*100+uint64(i), &s.wire, &s.inside, s.up, s.down, s.slow) }) {
					return
				}
			}
		})
	}
}

func rekeyOften(t *testing.T, seed uint64, wire, inside *impairment, up, down int, slow bool) {
	rng := rand.New(rand.NewPCG(seed, 8))
	change := func(c *Config) {
		if rng.IntN(2) == 0 {
			c.RekeyFrames = uint64(3 + rng.IntN(40))
		}
		if rng.IntN(2) == 0 {
			c.RekeyBytes = uint64(2000 + rng.IntN(20000))
		}
		if rng.IntN(2) == 0 {
			c.RekeyTime = int64(200e6 + rng.IntN(1e9))
		}
		if rng.IntN(2) == 0 {
			c.KeepIdle, c.KeepInterval = int64(300e6+rng.IntN(1e9)), 5e9
		}
	}
	p := newPair(t, seed, pattern(1, up), pattern(2, down), change)
	for _, g := range []*gateway{p.a, p.b} {
		g.wire, g.insideL, g.orders = wire, inside, 0.01
	}
	p.client.link, p.server.link = inside, inside
	p.client.slow, p.server.slow = slow, slow
	p.start()
	p.finish()
}
