package stream

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/dataplane/mbuf"
	"linecrypt/flowtable"
)

// twins are two translators with the same connection: one takes what it can on the fast path, the other takes everything on the full way.
type twins struct {
	fast, full *bench
	frames     []byte
	taken      int // segments that the fast path took
	run        *Run
	wire       bool // of the run
	longest    int  // segments of a run that were taken, at most
	length     int  // of the run
}

// take gives the fast path a segment: as another one of the run, if it is of that side.
func (tw *twins) take(seg *Segment, wire bool) bool {
	b := tw.fast
	if tw.run == nil || tw.wire != wire {
		tw.endRun()
		tw.run, tw.wire, tw.length = b.core.BeginRun(1, &b.rec, b.now, b.out), wire, 0
	}
	if !b.core.giveFast(tw.run, seg, wire) {
		tw.endRun()
		return false
	}
	tw.length++
	tw.longest = max(tw.longest, tw.length)
	return true
}

func (tw *twins) endRun() {
	if tw.run != nil {
		tw.run.EndRun()
		tw.run = nil
	}
}

func newTwins(tb testing.TB) *twins {
	tw := &twins{fast: newBench(tb, tcpcrypt.BA), full: newBench(tb, tcpcrypt.BA)}
	se := &sealer{t: tb, master: tcpcrypt.MasterKey{1}, aead: tcpcrypt.AES128GCM, d: tcpcrypt.AB}
	sizes := []int{40, 1, 600, 0, 3, 1300, 200, 64}
	for i := range len(sizes) * benchBurst {
		fr := data(sizes[i/benchBurst])
		fr.Rekey = i%50 == 40
		se.frame(fr)
	}
	tw.frames = se.out
	return tw
}

// mix is a segment as a script of random bytes describes it, in terms of where the connection is.
type mix struct {
	wire           bool
	n              int
	flags          uint8
	seq, ack       uint32 // off what is expected, and behind what was acknowledged
	ts             uint32
	noTS           bool
	win            uint16
	flip           bool // a byte of it is damaged
	whole, allAck  bool
	idle           int64
	drop, fin, sep bool
	order          bool // the control plane orders a rekeying
}

// mixOf makes nearly every segment one of the common kind, as they are.
func mixOf(rng *rand.Rand) mix {
	m := mix{wire: rng.IntN(2) == 0, flags: ACK, whole: true, win: 30000, n: 1 + rng.IntN(1400)}
	odd := func(of int) bool { return rng.IntN(of) == 0 }
	switch rng.IntN(5) {
	case 0:
		m.n = 0
	case 1:
		m.n = rng.IntN(40)
	}
	if odd(3) {
		m.flags |= PSH
	}
	m.allAck = odd(3)
	if odd(2) {
		m.ack = uint32(rng.IntN(3000))
	}
	m.ts = uint32(rng.IntN(3))
	m.sep = odd(2)
	if odd(3) {
		m.win = uint16(rng.IntN(65536)) >> rng.IntN(14)
	}
	if odd(12) {
		m.whole = false
	}
	if odd(40) {
		m.seq = uint32(rng.IntN(200)) - 100
	}
	if odd(40) {
		m.ack = uint32(rng.IntN(200)) - 100
	}
	if odd(300) {
		m.flags = uint8(rng.Uint32())
	}
	if odd(60) {
		m.ts = rng.Uint32()
	}
	m.noTS, m.flip, m.drop, m.fin = odd(60), odd(60), odd(80), odd(600)
	m.order = odd(300)
	if odd(30) {
		m.idle = rng.Int64N(70e9)
	}
	return m
}

// play lets both take the same segments and compares them after each burst.
func (tw *twins) play(t *testing.T, rng *rand.Rand, steps int) {
	flags := uint16(0)
	var cfg Config
	for _, flag := range []uint16{flowtable.FlagTimestamps, flowtable.FlagTimestamps | flowtable.FlagSACK, flowtable.FlagWScale} {
		if rng.IntN(2) == 0 {
			flags |= flag
		}
	}
	for _, set := range []func(){
		func() { cfg.RekeyFrames = 20 },
		func() { cfg.RekeyBytes = 9000 },
		func() { cfg.RekeyTime = 100e9 },
		func() { cfg.KeyBytes = 120000 },
		func() { cfg.KeepIdle = 50e9 },
	} {
		if rng.IntN(4) == 0 {
			set()
		}
	}
	for _, b := range []*bench{tw.fast, tw.full} {
		c := &b.core.cfg
		c.RekeyFrames, c.RekeyBytes, c.RekeyTime, c.KeyBytes, c.KeepIdle = cfg.RekeyFrames, cfg.RekeyBytes, cfg.RekeyTime, cfg.KeyBytes, cfg.KeepIdle
		b.now = 1
		b.restart(t, tcpcrypt.BA)
		*b.core.n = shm.Block{}
		b.rec.Flags = flags
	}
	for i := range steps {
		m := mixOf(rng)
		tw.step(&m)
		if m.sep || !tw.full.out.Room() {
			tw.compare(t, i)
		}
	}
	tw.compare(t, steps)
}

func (tw *twins) step(m *mix) {
	if m.idle != 0 || m.order || m.drop {
		tw.endRun()
	}
	for _, b := range []*bench{tw.fast, tw.full} {
		if m.idle != 0 {
			b.now += m.idle
			b.work()
			b.core.Timeout(1, &b.rec, b.now, b.out)
		}
		if m.order {
			b.core.Rekey(1, &b.rec, b.now, b.out)
		}
		if m.drop {
			b.core.dropHeld(&b.rec, shm.KeptDropped)
		}
		seg := tw.segment(b, m)
		took := false
		if b == tw.fast && seg.HasTS == (b.rec.Flags&flowtable.FlagTimestamps != 0) {
			took = tw.take(&seg, m.wire)
		} else if b == tw.fast {
			tw.endRun()
		}
		switch {
		case took:
			tw.taken++
		case m.wire:
			b.core.IngressSegment(1, &b.rec, &seg, b.now, b.out)
		default:
			b.core.EgressSegment(1, &b.rec, &seg, b.now, b.out)
		}
	}
}

// segment makes what m describes for one of the two.
func (tw *twins) segment(b *bench, m *mix) Segment {
	e, in := &b.rec.Egress, &b.rec.Ingress
	buf := b.cache.Alloc()
	n := m.n
	at := int(in.WNext)
	if m.wire && n > 0 && m.whole && at+3 < len(tw.frames) {
		if h, err := tcpcrypt.ParseHeader(tw.frames[at:]); err == nil && h.FrameLen() <= 1400 {
			n = h.FrameLen()
		}
	}
	buf.SetBounds(mbuf.Headroom, hdrLen+n)
	copy(buf.Data(), bytes.Repeat([]byte{0x5a}, hdrLen))
	payload := buf.Data()[hdrLen:]
	clear(payload)
	if m.wire && at < len(tw.frames) {
		copy(payload, tw.frames[at:])
	}
	if m.flip && n > 0 {
		payload[n/2] ^= 4
	}
	seg := Segment{M: buf, Off: mbuf.Headroom + hdrLen, Len: n, Flags: m.flags, HasTS: m.noTS != (b.rec.Flags&flowtable.FlagTimestamps != 0), Win: m.win, Urg: m.win}
	if m.fin {
		seg.Flags |= FIN
	}
	if m.wire {
		seg.Seq, seg.Ack, seg.TSVal, seg.TSEcr = 1+uint32(in.WNext)+m.seq, 1+uint32(e.WAck)+m.ack, b.rec.Peer.TSVal+m.ts, b.rec.Host.TSVal
		if m.allAck {
			seg.Ack = 1 + uint32(e.WNext)
		}
		return seg
	}
	seg.Seq, seg.Ack, seg.TSVal, seg.TSEcr = 1+uint32(e.PNext)+m.seq, 1+uint32(in.HostAck)+m.ack, b.rec.Host.TSVal+m.ts, b.rec.Peer.TSVal
	if m.allAck {
		seg.Ack = 1 + uint32(in.PNext)
	}
	return seg
}

// compare works what both have gathered and demands the same packets, records and counters.
func (tw *twins) compare(t *testing.T, step int) {
	t.Helper()
	tw.endRun()
	sent := [2]string{}
	for i, b := range []*bench{tw.fast, tw.full} {
		sent[i] = b.sent()
	}
	if sent[0] != sent[1] {
		t.Fatalf("step %d: the fast path sends\n%sthe full way\n%s", step, sent[0], sent[1])
	}
	a, b := tw.fast.rec, tw.full.rec
	if a != b {
		t.Fatalf("step %d: records differ:\n%+v\n%+v", step, a, b)
	}
	for i, n := range tw.full.core.n {
		if got := tw.fast.core.n[i]; got != n {
			t.Fatalf("step %d: %v is %d on the fast path, %d on the full way", step, shm.Counter(i), got, n)
		}
	}
	if x, y := tw.fast.cache.Avail(), tw.full.cache.Avail(); x != y {
		t.Fatalf("step %d: %d buffers are free on the fast path, %d on the full way", step, x, y)
	}
	tw.fast.core.judge(&tw.fast.rec)
	if tw.fast.rec.Local.Common != a.Local.Common {
		t.Fatalf("step %d: the record says common %v, and is %v", step, a.Local.Common, tw.fast.rec.Local.Common)
	}
}

// takeFast gives the fast path a segment, as a run of its own.
func (c *Core) takeFast(idx flowtable.Index, r *flowtable.Record, seg *Segment, wire bool, now int64, out *Output) (took bool) {
	x := c.BeginRun(idx, r, now, out)
	defer x.EndRun()
	return c.giveFast(x, seg, wire)
}

// giveFast gives a run a segment, and does what the caller of the translator does with the headers.
func (c *Core) giveFast(x *Run, seg *Segment, wire bool) (took bool) {
	if wire {
		_, took = x.FastIngress(seg)
		return took
	}
	em, took := x.FastEgress(seg)
	if em != nil {
		em.placeHeaders()
	}
	return took
}

// placeHeaders does what the caller of the translator does with the headers of an emit of the common kind.
func (e *Emit) placeHeaders() {
	if e.Kind == EmitCommon {
		moveHeaders(e.M, e.M.DataOff()+hdrLen, e.Off, e.Len)
		if e.Dir == ToWire && e.Len > 0 {
			copy(e.M.Buf()[e.Off:], e.FrameHead[:])
		}
		e.Kind = EmitForward
	}
}

// sent works the operations and returns what is sent and told, as text.
func (b *bench) sent() string {
	for b.out.Pending() {
		b.batcher.Seal(b.out.Seals)
		b.core.Sealed(b.out, b.now)
		b.batcher.Open(b.out.Opens)
		b.core.Opened(b.out, b.now)
	}
	s := ""
	for i := range b.out.Emits {
		e := &b.out.Emits[i]
		if e.Kind == EmitNone {
			continue
		}
		e.placeHeaders()
		kind := e.Kind
		s += fmt.Sprintf("kind %d dir %d seq %d ack %d win %d urg %d flags %02x ts %v %d %d new %v sack %d %v bounds %d %d: %x\n", kind, e.Dir, e.Seq, e.Ack, e.Win, e.Urg,
			e.Flags, e.HasTS, e.TSVal, e.TSEcr, e.NewTS, e.NSACK, e.SACK[:e.NSACK], e.M.DataOff(), e.M.DataLen, e.M.Buf()[e.M.DataOff():e.Off+e.Len])
		b.cache.Free(e.M)
	}
	for _, ev := range b.out.Events {
		s += fmt.Sprintf("event %d %v\n", ev.Kind, ev.Reason)
	}
	b.out.Reset()
	return s
}

func TestFastPathDoesWhatTheFullWayDoes(t *testing.T) {
	tw := newTwins(t)
	steps := 0
	for seed := range uint64(60 * seeds()) {
		tw.play(t, rand.New(rand.NewPCG(seed, 3)), 200)
		steps += 200
	}
	if tw.taken < steps/4 || tw.longest < 5 {
		t.Errorf("the fast path took %d of %d segments, %d in a run at most", tw.taken, steps, tw.longest)
	}
}

// FuzzFastPath is the same for scripts that the fuzzer makes.
func FuzzFastPath(f *testing.F) {
	f.Add(uint64(1), uint64(2), uint8(100))
	f.Add(uint64(7), uint64(1<<40), uint8(255))
	tw := newTwins(f)
	f.Fuzz(func(t *testing.T, a, b uint64, steps uint8) { tw.play(t, rand.New(rand.NewPCG(a, b)), int(steps)) })
}

func TestFastPathLeavesWhatIsNotCommon(t *testing.T) {
	// Each change makes a segment that the fast path would take one that it must not.
	cases := []struct {
		name   string
		wire   bool
		change func(b *bench, s *Segment)
	}{
		{"host: ahead of what is expected", false, func(_ *bench, s *Segment) { s.Seq++ }},
		{"host: behind what is expected", false, func(_ *bench, s *Segment) { s.Seq-- }},
		{"host: acknowledges what was not sent", false, func(_ *bench, s *Segment) { s.Ack += 1 << 20 }},
		{"host: FIN", false, func(_ *bench, s *Segment) { s.Flags |= FIN }},
		{"host: RST", false, func(_ *bench, s *Segment) { s.Flags |= RST }},
		{"host: urgent", false, func(_ *bench, s *Segment) { s.Flags |= URG }},
		{"host: CWR", false, func(_ *bench, s *Segment) { s.Flags |= CWR }},
		{"host: old timestamp", false, func(_ *bench, s *Segment) { s.TSVal -= 9 }},
		{"host: no room in the window", false, func(b *bench, _ *Segment) { b.rec.Egress.WEdge = b.rec.Egress.WNext + 20 }},
		{"host: no headroom", false, func(_ *bench, s *Segment) { s.M.SetBounds(2, int(s.M.DataLen)) }},
		{"host: rekeying is due", false, func(b *bench, _ *Segment) { b.rec.Egress.GenStop = 0 }},
		{"host: its bytes are due", false, func(b *bench, _ *Segment) { b.rec.Egress.GenEdge = uint32(b.rec.Egress.WNext) }},
		{"host: a keep-alive is not answered", false, func(b *bench, _ *Segment) { b.rec.Ingress.Probes = 1; b.core.judge(&b.rec) }},
		{"wire: a keep-alive is not answered", true, func(b *bench, _ *Segment) { b.rec.Ingress.Probes = 1; b.core.judge(&b.rec) }},
		{"host: too many in flight", false, func(b *bench, _ *Segment) { b.core.cfg.FlowFrames = 0 }},
		{"wire: ahead of what is expected", true, func(_ *bench, s *Segment) { s.Seq++ }},
		{"wire: acknowledges what was not sent", true, func(_ *bench, s *Segment) { s.Ack += 1 << 20 }},
		{"wire: old timestamp", true, func(_ *bench, s *Segment) { s.TSVal -= 9 }},
		{"wire: part of a frame", true, func(_ *bench, s *Segment) { s.Len-- }},
		{"wire: more than a frame", true, func(_ *bench, s *Segment) { s.Len++ }},
		{"wire: a new generation", true, func(_ *bench, s *Segment) { s.M.Buf()[s.Off] |= 1 }},
		{"wire: beyond the window", true, func(b *bench, s *Segment) {
			b.rec.Ingress.WNext, b.rec.Ingress.WEdge, s.Seq = 5, 4, s.Seq+5
		}},
		{"not common", true, func(b *bench, _ *Segment) { b.rec.Local.Common = false }},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			tw := newTwins(t)
			b := tw.fast
			for _, changed := range []bool{false, true} {
				b.restart(t, tcpcrypt.BA)
				seg := tw.segment(b, &mix{wire: c.wire, n: 40, flags: ACK, win: 3000, whole: true, ts: 1})
				if changed {
					c.change(b, &seg)
				}
				before := b.rec
				if took := b.core.takeFast(1, &b.rec, &seg, c.wire, b.now, b.out); took == changed {
					t.Fatalf("took %v, changed %v", took, changed)
				}
				if changed && (b.rec != before || len(b.out.Emits)+len(b.out.Seals)+len(b.out.Opens) > 0) {
					t.Fatal("something has changed")
				}
				b.work()
			}
		})
	}
}
