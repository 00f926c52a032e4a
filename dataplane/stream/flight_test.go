package stream

import (
	"math/rand/v2"
	"testing"

	"linecrypt/ctrlplane/shm"
	"linecrypt/flowtable"
)

// rate lets a flow send bursts that are acknowledged, and returns how many frames it got out of the segments it wanted to send.
func (m *member) rate(bursts, frames int) (got, want int) {
	before := m.sends
	for range bursts {
		m.send(1440, frames)
		m.ack(m.rec.Egress.WNext, 60000)
	}
	return m.sends - before, bursts * frames
}

func TestFarEndsThatVanishDoNotStopOthers(t *testing.T) {
	for _, size := range []int{1440, 100} {
		c := newCrowd(t, 4000, 20000, nil)
		for i := range 40 {
			c.join(byte(i%3)).send(size, 1<<20) // all that its host is allowed, and then nothing
			if i%10 == 9 {
				c.check()
			}
		}
		if free := c.cache.Avail(); free < 4000/4 {
			t.Errorf("segments of %d: %d buffers are free", size, free)
		}
		other := c.join(200)
		if got, want := other.rate(50, 32); got != want {
			t.Errorf("segments of %d: %d of %d frames left", size, got, want)
		}
		if n := c.count(shm.DropEgressPool) + c.count(shm.DropEgressLimit); n != 0 {
			t.Errorf("segments of %d: %d segments of hosts that obey their window were dropped", size, n)
		}
		c.check()
		c.tick(stallLimit + 1e9)
		if held := c.core.shares.held; held != 0 {
			t.Errorf("segments of %d: %d buffers are held after a minute", size, held)
		}
	}
}

func TestTwoSendersOfSmallSegmentsLeaveRoomForOthers(t *testing.T) {
	c := newCrowd(t, 4000, 2000, nil)
	a, b := c.join(1), c.join(2)
	a.fill(100)
	b.fill(100)
	if n := a.rec.Egress.Queue.Count; n < 5000 {
		t.Errorf("only %d small frames are in flight", n)
	}
	if held, frames := c.core.shares.held, int(a.rec.Egress.Queue.Count+b.rec.Egress.Queue.Count); held > frames/10 {
		t.Errorf("%d buffers are held for %d small frames", held, frames)
	}
	if got, want := c.join(3).rate(50, 32); got != want {
		t.Errorf("%d of %d frames left", got, want)
	}
	c.check()
}

func TestSmallFramesArePackedFromTheEighthOfTheBuffersOn(t *testing.T) {
	c := newCrowd(t, 4000, 2000, nil)
	a := c.join(1)
	eighth := c.core.shares.budget / 8
	for held := 0; held < eighth; held = c.core.shares.held {
		if a.send(100, 1); c.core.shares.held != held+1 {
			t.Fatalf("a small frame does not take a buffer while %d of %d are held", held, eighth*8)
		}
	}
	before := a.rec.Egress.Queue.Count
	a.send(100, 200)
	if frames, held := int(a.rec.Egress.Queue.Count-before), c.core.shares.held-eighth; frames < 100 || held < 1 || held > frames/10 {
		t.Errorf("behind that, %d buffers are held for %d small frames", held, frames)
	}
	b := c.join(2)
	b.send(100, minHeld)
	if held := b.rec.Local.Held; held != minHeld {
		t.Errorf("another flow's first %d small frames have %d buffers", minHeld, held)
	}
	c.check()
}

func TestHostThatObeysItsWindowIsNotRefused(t *testing.T) {
	for seed := range uint64(10) {
		rng := rand.New(rand.NewPCG(seed, 3))
		c := newCrowd(t, 3000, 4000, func(cfg *Config) { cfg.FlowBytes = 1 << 20 })
		for i := range 12 {
			c.join(byte(i))
		}
		for range 1500 {
			m := c.flows[rng.IntN(len(c.flows))]
			switch rng.IntN(5) {
			case 0:
				m.ackFrames(rng.IntN(1 + int(m.rec.Egress.Queue.Count)))
			case 1:
				c.core.dropHeld(&m.rec, shm.KeptDropped)
			default:
				m.send(100+110*int(m.idx), rng.IntN(300))
			}
			if rng.IntN(100) == 0 {
				c.check()
			}
		}
		c.check()
		if c.count(shm.WindowLimited) == 0 {
			t.Error("no window was limited")
		}
		if n := c.count(shm.DropEgressWindow); n != 0 {
			t.Errorf("%d segments did not fit in the far end's window", n)
		}
		if n := c.count(shm.DropEgressLimit); n != 0 {
			t.Errorf("%d segments were refused", n)
		}
	}
}

func TestOneFlowMayHaveHalfOfWhatIsSharedInFlight(t *testing.T) {
	c := newCrowd(t, 4000, 1000, func(cfg *Config) { cfg.SharedFrames = 6000; cfg.FlowBytes = 1 << 28; cfg.FlowFrames = 1 << 20 })
	m := c.join(1)
	m.fill(1440)
	if n := m.rec.Egress.Queue.Count; n < 2900 || n > 3100 {
		t.Errorf("%d frames in flight", n)
	}
	// The other half is for who comes next.
	o := c.join(2)
	o.fill(1440)
	if n := o.rec.Egress.Queue.Count; n < 1400 || n > 1600 {
		t.Errorf("%d frames of the second in flight", n)
	}
}

func TestFlowsOfOnePeerTogetherLeavePlacesInFlightToOthers(t *testing.T) {
	c := newCrowd(t, 4000, 1000, func(cfg *Config) { cfg.SharedFrames = 6000; cfg.FlowBytes = 1 << 28 })
	for range 10 {
		c.join(1).fill(1440)
	}
	if n := c.core.flight.held; n > 6000*4/5 { // two thirds, and what hosts were told before
		t.Errorf("one peer has %d frames in flight", n)
	}
	o := c.join(2)
	o.fill(1440)
	if n := o.rec.Egress.Queue.Count; n < 600 {
		t.Errorf("a flow of another peer has %d frames in flight", n)
	}
	c.check()
}

func TestEveryFlowHasItsMinimumInFlight(t *testing.T) {
	c := newCrowd(t, 4000, 1000, func(cfg *Config) { cfg.SharedFrames = 100 })
	for i := range 100 {
		m := c.join(byte(i))
		if n := m.send(1440, 1000); n < minFlight {
			t.Fatalf("flow %d sends %d frames", i, n)
		}
		if n := m.rec.Egress.Queue.Count; n < minFlight {
			t.Fatalf("flow %d has %d frames in flight", i, n)
		}
	}
	c.check()
}

func TestMinimumIsToldWhateverTheWindowScale(t *testing.T) {
	c := newCrowd(t, 4000, 1000, func(cfg *Config) { cfg.SharedFrames = 1 })
	m := c.join(1)
	m.rec.Peer.WScale, m.rec.Peer.MSS = 14, 500
	m.rec.Egress.EdgeTold = m.rec.Host.ISN + 1 // nothing was promised
	m.ack(0, 100)
	m.ack(0, 101)
	if m.rec.Egress.WinTold == 0 {
		t.Error("the host was told that it may send nothing")
	}
}

func TestPlaintextBeyondTheShareIsDroppedByNameBeforeItIsFramed(t *testing.T) {
	c := newCrowd(t, 4000, 1000, func(cfg *Config) { cfg.SharedFrames = 100 })
	m := c.join(1)
	m.fill(1440)
	next := m.rec.Egress.PNext
	for at := next; at < next+100*1440; at += 1440 {
		m.say(at, 1440)
	}
	c.flush()
	if n := c.count(shm.DropEgressLimit); n == 0 || m.rec.Egress.PNext > next+100*1440/2 {
		t.Errorf("%d segments were dropped, %d bytes framed", n, m.rec.Egress.PNext-next)
	}
	if m.wire != m.rec.Egress.WNext {
		t.Errorf("sent up to %d, framed to %d", m.wire, m.rec.Egress.WNext)
	}
}

func TestTransferGoesOnSteadilyWhereTheShareIsLessThanThePathHolds(t *testing.T) {
	const limit, total = 64 << 10, 3 << 20
	p := newPair(t, 3, pattern(1, total), nil, func(c *Config) { c.FlowBytes = limit })
	p.link.clientWS, p.link.serverWS, p.link.flags = 8, 8, flowtable.FlagWScale|flowtable.FlagSACK
	p.link.serverWin = 1 << 20
	p.start()
	p.client.cwnd = 1 << 20
	p.client.output(p.w)
	begin := p.w.now
	for !p.client.done() && p.w.run(p.w.now+1e9, p.client.done) {
	}
	took, atLeast := p.w.now-begin, int64(total/limit)*6*linkDelay
	p.finish()
	if p.client.timeouts > 0 || p.a.core.n[shm.DropEgressLimit] > 0 {
		t.Errorf("%d timeouts of the host, %d segments refused", p.client.timeouts, p.a.core.n[shm.DropEgressLimit])
	}
	if p.a.core.n[shm.WindowLimited] == 0 {
		t.Error("the window was never limited")
	}
	if took > 2*atLeast {
		t.Errorf("took %d ms, a round trip for each %d bytes would be %d ms", took/1e6, limit, atLeast/1e6)
	}
}

func TestFarEndThatAcknowledgesNothingIsGivenUp(t *testing.T) {
	c := newCrowd(t, 1000, 100, nil)
	m := c.join(1)
	m.send(1440, 10)
	m.send(50, 10)
	c.tick(stallLimit - 1e9)
	if m.rec.Local.Held == 0 {
		t.Fatal("dropped too early")
	}
	c.tick(2e9)
	if m.rec.Local.Held != 0 || c.count(shm.KeptStalled) != 20 {
		t.Errorf("%d buffers are held after a minute, %d frames dropped", m.rec.Local.Held, c.count(shm.KeptStalled))
	}
	m.say(0, 1440) // its host still tries
	c.flush()
	if c.count(shm.ResealedFrames) != 1 || m.rec.Local.Held != 0 {
		t.Errorf("%d frames sealed again, %d buffers held", c.count(shm.ResealedFrames), m.rec.Local.Held)
	}
	c.tick(defaultGiveUp - stallLimit - 3e9)
	if m.resets != 0 {
		t.Fatal("given up too early")
	}
	c.tick(5e9)
	if m.resets != 1 || c.count(shm.AbortFarEndTimeout) != 1 || m.rec.Rare.Abort != uint16(shm.AbortFarEndTimeout) {
		t.Errorf("%d RSTs to the host, %d given up", m.resets, c.count(shm.AbortFarEndTimeout))
	}
	c.check()
}

func TestFarEndThatAnswersIsNotGivenUp(t *testing.T) {
	for _, c := range []struct {
		name string
		live func(m *member)
	}{
		{"without room", func(m *member) { m.ack(m.rec.Egress.WAck, 0) }},
		{"slowly", func(m *member) { m.ackFrames(1); m.send(1440, 1) }},
	} {
		cr := newCrowd(t, 1000, 100, nil)
		m := cr.join(1)
		m.send(1440, 10)
		for range 100 {
			cr.tick(50e9)
			c.live(m)
		}
		if m.resets != 0 || cr.count(shm.KeptStalled) != 0 {
			t.Errorf("%s: %d resets, %d frames dropped", c.name, m.resets, cr.count(shm.KeptStalled))
		}
		cr.tick(defaultGiveUp + 1e9)
		if m.resets != 1 {
			t.Errorf("%s: not given up once it fell silent", c.name)
		}
	}
}

func TestIdleFlowHasNoTimer(t *testing.T) {
	c := newCrowd(t, 1000, 100, nil)
	m := c.join(1)
	m.send(1440, 10)
	m.ack(m.rec.Egress.WNext, 60000)
	if d := c.core.Deadline(&m.rec); d != 0 {
		t.Errorf("deadline %d", d)
	}
}

func TestSegmentsBehindAGapAreHeldForAMinuteAndWithinTheShare(t *testing.T) {
	c := newCrowd(t, 1000, 100, func(cfg *Config) { cfg.PoolLow = 0 })
	m := c.join(1)
	for at := uint64(1440); at < m.edge-1440; at += 1440 {
		m.say(at, 1440)
	}
	c.flush()
	c.check()
	if n := m.rec.Local.Held; n < minHeld || n > 1000/8*5/2+1 {
		t.Errorf("%d segments are held behind the gap", n)
	}
	c.tick(stallLimit + 1e9)
	if n := m.rec.Local.Held; n != 0 || m.resets != 0 {
		t.Errorf("%d segments are held after a minute, %d resets", n, m.resets)
	}
	c.check()
	if got, want := m.rate(10, 10); got != want {
		t.Errorf("%d of %d frames left after it", got, want)
	}
}

func TestGreediestFlowMakesRoomForThoseWhoHoldLittle(t *testing.T) {
	c := newCrowd(t, 2000, 4000, nil)
	greedy := c.join(1)
	greedy.fill(1440)
	for i := range 100 {
		c.join(byte(2+i)).send(1440, minHeld)
	}
	if c.count(shm.KeptDropped) == 0 {
		t.Fatal("nothing was dropped")
	}
	for i, m := range c.flows[1:] {
		if m.rec.Local.Held == 0 && i < 60 {
			t.Errorf("flow %d holds nothing", i)
		}
	}
	if greedy.rec.Local.Held > minHeld {
		t.Errorf("the greedy flow holds %d", greedy.rec.Local.Held)
	}
	c.check()
	// What it lost is sealed again when its host sends it again.
	before := greedy.sends
	greedy.say(greedy.rec.Egress.PUna, 1440)
	c.flush()
	if greedy.sends != before+1 || c.count(shm.ResealedFrames) != 1 {
		t.Error("the frame did not come again")
	}
}

// TestManyFramesAreLookedThroughByChunks compares what acknowledgements with SACK blocks and retransmissions find with a walk from one
// frame to the next.
func TestManyFramesAreLookedThroughByChunks(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 9))
	c := newCrowd(t, 4000, 1000, nil)
	m := c.join(1)
	for range 60 {
		m.send(1+rng.IntN(1400), rng.IntN(20))
		if rng.IntN(4) == 0 {
			m.ackFrames(rng.IntN(8))
		}
	}
	e := &m.rec.Egress
	f := flow{c: c.core, r: &m.rec, out: c.out, now: c.now}
	if e.Queue.Count < 200 {
		t.Fatalf("only %d frames in flight", e.Queue.Count)
	}
	span := int(e.WNext - e.WUna)
	for range 2000 {
		seg, em, want := Segment{}, Emit{}, Emit{}
		var bs [4]bounds
		for i := range 1 + rng.IntN(4) {
			l := int(e.WUna) + 1 + rng.IntN(span)
			r := l + rng.IntN(int(e.WNext)-l+1)
			seg.SACK[i] = [2]uint32{1 + uint32(l), 1 + uint32(r)}
			bs[i].left, bs[i].right = int64(l), int64(r)
			seg.NSACK++
		}
		p, floor := e.PUna, e.PUna
		w := e.WUna + uint64(rng.IntN(span))
		it := c.core.chunks.Iter(&e.Queue)
		for en, _ := it.Next(); en != nil; en, _ = it.Next() {
			for i := range seg.NSACK {
				bs[i].cover(int64(en.WEnd-uint64(en.Len)), int64(en.WEnd), p, p+plainLen(en))
			}
			p += plainLen(en)
			if en.WEnd <= w {
				floor = p
			}
		}
		emitBounds(&want, bs[:seg.NSACK], 1)
		f.wireSACK(&seg, &em)
		if em != want {
			t.Fatalf("blocks %v of %v, want %v", em.SACK[:em.NSACK], seg.SACK[:seg.NSACK], want.SACK[:want.NSACK])
		}
		if got := f.egressFloor(WPos(w)); got != PPos(floor) {
			t.Fatalf("the last frame before %d ends at %d, want %d", w, got, floor)
		}
	}
}
