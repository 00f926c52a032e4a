package worker

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/packet"
	"linecrypt/dataplane/port"
	"linecrypt/flowtable"
)

// twins are two workers with the same connections that differ in how they go about it: one has the fast path, or is traced.
type twins struct {
	rigs   [2]*rig
	frames [][]byte // what each far end sends, by flow
	rng    *rand.Rand
	stamps bool // segments carry timestamps
	good   bool // the ports say that checksums are right; else some are not
	apart  bool // packets come one at a time; what goes by the order in which work is finished within a poll is not compared
}

const twinFlows = 5

// newTwins makes twins of the same seed; differ makes one of them, by its number, what the other is not.
func newTwins(t *testing.T, seed uint64, differ func(twin int, c *Config)) *twins {
	tw := &twins{rng: rand.New(rand.NewPCG(seed, 9)), good: seed%4 != 0, stamps: seed%3 != 0}
	offload := tw.rng.IntN(2) == 0
	for i := range tw.rigs {
		g := newRig(t, 64, 4096, offload, func(c *Config) {
			differ(i, c)
			c.Stream.RekeyFrames = 300
		})
		for n := range twinFlows {
			if r := g.openPassive(n); tw.stamps {
				r.Flags |= flowtable.FlagTimestamps
				r.Host.TSVal, r.Peer.TSVal = 1000, 9000
			}
		}
		g.keep = true
		tw.rigs[i] = g
	}
	key := tw.rigs[0].master.Traffic(tcpcrypt.AES128GCM, tcpcrypt.AB)
	for range twinFlows {
		stream := make([]byte, 80)
		for range 200 {
			var err error
			data := bytes.Repeat([]byte{7}, tw.rng.IntN(1400))
			if stream, err = tcpcrypt.Seal(stream, &key, uint64(len(stream)), tcpcrypt.Frame{Plaintext: tcpcrypt.Plaintext{Data: data}}); err != nil {
				t.Fatal(err)
			}
		}
		tw.frames = append(tw.frames, stream)
	}
	return tw
}

// ends is how far the hosts, and the far ends, of all flows have come within a burst.
type ends [twinFlows][2]struct {
	begun    bool
	sent     uint64 // position behind what was sent last
	ack, all uint64 // what was acknowledged last, and what can be
}

// acks returns what the next segment acknowledges: all that there is, or some more than the one before.
func (tw *twins) acks(n int, s flowtable.Side, e *ends) uint64 {
	at := &e[n][s]
	if tw.rng.IntN(4) == 0 {
		at.ack = at.all
	} else {
		at.ack += tw.rng.Uint64N(min(at.all-at.ack, 2000) + 1)
	}
	return at.ack
}

// segment makes one that nearly always is of the common kind, as bytes.
func (tw *twins) segment(s flowtable.Side, n int, e *ends) []byte {
	rng, g := tw.rng, tw.rigs[0]
	r := g.record(n)
	odd := func(of int) bool { return rng.IntN(of) == 0 }
	seg := packet.Seg{Flags: packet.FlagACK, Win: 60000}
	if tw.stamps {
		seg.HasTS, seg.TSVal, seg.TSEcr = !odd(60), r.Host.TSVal, r.Peer.TSVal
		if s == outside {
			seg.TSVal, seg.TSEcr = r.Peer.TSVal, r.Host.TSVal
		}
		if seg.TSVal += uint32(rng.IntN(3)); odd(60) {
			seg.TSVal -= 9
		}
	}
	var payload []byte
	if s == inside {
		at := &e[n][inside]
		if !at.begun {
			at.begun, at.sent, at.ack, at.all = true, r.Egress.PNext, r.Ingress.HostAck, r.Ingress.PNext
		}
		if rng.IntN(3) > 0 {
			payload = bytes.Repeat([]byte{byte(n)}, 1+rng.IntN(1400))
		}
		seg.Seq, seg.Ack = hostISN+1+uint32(at.sent), peerISN+1+uint32(tw.acks(n, inside, e))
		at.sent += uint64(len(payload))
	} else {
		at := &e[n][outside]
		if !at.begun {
			at.begun, at.sent, at.ack, at.all = true, r.Ingress.WNext, r.Egress.WAck, r.Egress.WNext
		}
		if rest := tw.frames[n][min(at.sent, uint64(len(tw.frames[n]))):]; rng.IntN(3) > 0 && len(rest) > 0 {
			h, err := tcpcrypt.ParseHeader(rest)
			if err != nil {
				g.t.Fatal(err)
			}
			payload = bytes.Clone(rest[:h.FrameLen()])
		}
		seg.Seq, seg.Ack = peerISN+1+uint32(at.sent), hostISN+1+uint32(tw.acks(n, outside, e))
		at.sent += uint64(len(payload))
	}
	switch {
	case odd(3):
		seg.Flags |= packet.FlagPSH
	case odd(60):
		seg.Flags |= uint8(1 << rng.IntN(8))
	case odd(60):
		seg.Seq += uint32(rng.IntN(100)) - 50
	case odd(60):
		seg.Ack += uint32(rng.IntN(100)) - 50
	case odd(60) && len(payload) > 0:
		payload[len(payload)/2] ^= 1
	case odd(60):
		seg.NSACK, seg.SACK[0] = 1, [2]uint32{seg.Ack + 10, seg.Ack + 90}
	}
	t := flowTemplate(n, s == inside)
	if odd(4) {
		t.TTL-- // by another way
	}
	return g.raw(t, seg, payload)
}

// burst lets both workers take the same packets, and compares what leaves them and what they keep.
func (tw *twins) burst(t *testing.T) {
	var packets [2][][]byte
	var e ends
	n := 0
	for range 1 + tw.rng.IntN(port.Burst-1) {
		if tw.rng.IntN(3) == 0 {
			n = tw.rng.IntN(twinFlows)
		}
		s := flowtable.Side(tw.rng.IntN(2))
		if r := tw.rigs[0].record(n); r == nil || r.State != flowtable.Encrypted {
			continue
		}
		b := tw.segment(s, n, &e)
		if !tw.good && tw.rng.IntN(60) == 0 {
			b[14+tw.rng.IntN(len(b)-14)] ^= 1 << tw.rng.IntN(8) // damaged on its way
		}
		packets[s] = append(packets[s], b)
	}
	step := int64(5e6)
	if !tw.apart && tw.rng.IntN(3) == 0 {
		step = 300e6 // templates become old, and timers fire, which comes before or behind the packets of a burst where these go one by one
	}
	for _, g := range tw.rigs {
		g.now += step
		for s, q := range []*testQueue{g.in, g.out} {
			if !tw.apart {
				tw.feedAll(q, packets[s])
				continue
			}
			for _, b := range packets[s] {
				g.feed(q, b)
			}
		}
		g.turn()
	}
	tw.compare(t)
}

func (tw *twins) feedAll(q *testQueue, packets [][]byte) {
	next := 0
	q.limit = len(packets)
	q.fill = func(m *mbuf.Mbuf) bool {
		next++
		if tw.good {
			m.OlFlags = mbuf.RxL4CksumGood | mbuf.RxIPCksumGood
		}
		return m.Append(packets[next-1])
	}
}

func (tw *twins) compare(t *testing.T) {
	t.Helper()
	a, b := tw.rigs[0], tw.rigs[1]
	for _, side := range [][2][][]byte{{a.toHost, b.toHost}, {a.toWire, b.toWire}} {
		if len(side[0]) != len(side[1]) {
			t.Fatalf("%d packets from one twin, %d from the other", len(side[0]), len(side[1]))
		}
		for i := range side[0] {
			if !bytes.Equal(side[0][i], side[1][i]) {
				t.Fatalf("packet %d is\n%x from one twin\n%x from the other", i, side[0][i], side[1][i])
			}
		}
	}
	for _, g := range tw.rigs {
		g.toHost, g.toWire = nil, nil
	}
	for n := range twinFlows {
		x, y := a.record(n), b.record(n)
		if (x == nil) != (y == nil) || x != nil && !tw.apart && *x != *y {
			t.Fatalf("flow %d is\n%+v\nat one twin, and\n%+v\nat the other", n, x, y)
		}
	}
	for i := range a.w.n {
		c := shm.Counter(i)
		if _, stage := c.Stage(); stage || c == shm.FastSegments && a.w.params.FastPath != b.w.params.FastPath || tw.apart && (c == shm.TimersFired || c == shm.Polls) || c == shm.BusyCycles || c == shm.IdleCycles {
			continue
		}
		if a.w.n[i] != b.w.n[i] {
			t.Fatalf("%v is %d at one twin, %d at the other", c, a.w.n[i], b.w.n[i])
		}
	}
}

func TestWorkersWithAndWithoutTheFastPathDoTheSame(t *testing.T) {
	taken, trains, all := uint64(0), uint64(0), uint64(0)
	summed, damaged := uint64(0), uint64(0) // in trains of ports that say nothing of checksums, and dropped there
	for seed := range uint64(12) {
		tw := newTwins(t, seed, func(twin int, c *Config) { c.Params.FastPath = twin == 0 })
		for range 60 {
			tw.burst(t)
		}
		taken += tw.rigs[0].w.n[shm.FastSegments]
		trains += tw.rigs[0].w.fastRun.trains
		if !tw.good {
			summed += tw.rigs[0].w.fastRun.trains
			damaged += tw.rigs[0].w.n[shm.DropChecksum]
		}
		all += tw.rigs[0].w.n[shm.RxInsidePackets] + tw.rigs[0].w.n[shm.RxOutsidePackets]
		if n := tw.rigs[1].w.n[shm.FastSegments]; n != 0 {
			t.Fatalf("%d segments took the fast path that is off", n)
		}
	}
	if taken < all/4 || trains < all/20 {
		t.Errorf("%d of %d packets took the fast path, %d of them in trains", taken, all, trains)
	}
	if summed < 20 || damaged < 10 {
		t.Errorf("where the ports say nothing of checksums %d packets were taken in trains, and %d dropped", summed, damaged)
	}
}

// FuzzFastPath is the same for bursts that the fuzzer chooses.
func FuzzFastPath(f *testing.F) {
	f.Add(uint64(3), uint8(9))
	f.Fuzz(func(t *testing.T, seed uint64, bursts uint8) {
		tw := newTwins(t, seed, func(twin int, c *Config) { c.Params.FastPath = twin == 0 })
		for range bursts % 64 {
			tw.burst(t)
		}
	})
}

func TestFirstSegmentsOfANewSecondTakeTheFastPathAndRenewTheTemplates(t *testing.T) {
	g := newRig(t, 4, 512, true)
	r := g.openPassive(0)
	sent := uint32(0)
	for second := range 3 {
		g.now += 2 << freshTick
		before := g.w.n[shm.FastSegments]
		for range 2 { // the first one is of another second than the connection's last
			tpl := flowTemplate(0, true)
			tpl.TTL = uint8(50 + second)
			g.feed(g.in, g.raw(tpl, packet.Seg{Flags: packet.FlagACK, Win: 60000, Seq: hostISN + 1 + sent, Ack: peerISN + 1 + uint32(r.Ingress.PNext)}, []byte("data")))
			sent += 4
		}
		g.turn()
		if got := g.w.n[shm.FastSegments] - before; got != 2 {
			t.Errorf("second %d: %d of 2 segments took the fast path", second, got)
		}
		if ttl := template(&r.Rare.ToWire).TTL; ttl != uint8(50+second) {
			t.Errorf("second %d: the template has TTL %d", second, ttl)
		}
	}
}
