package stream

import (
	"bytes"
	"slices"
	"testing"

	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/dataplane/mbuf"
	"linecrypt/flowtable"
)

// plaintext opens the frames that were sent to the wire, which must follow each other from wire position at on.
func (r *rig) plaintext(at int, w []*pkt) (text []byte, frames []tcpcrypt.Frame) {
	r.t.Helper()
	for _, p := range w {
		if len(p.data) == 0 {
			continue
		}
		if p.seq != hostSeq+uint32(at) {
			r.t.Fatalf("seq %d, want %d", p.seq, hostSeq+uint32(at))
		}
		for _, f := range r.open(at, p.data) {
			text = append(text, f.Data...)
			frames = append(frames, f)
		}
		at += len(p.data)
	}
	return text, frames
}

// farAcks acknowledges the host's wire stream.
func (r *rig) farAcks(w, win int, sack ...[2]uint32) {
	r.wire(&pkt{seq: wireSeq + initLen, ack: hostSeq + uint32(w), win: uint16(win), flags: ACK, sack: sack})
}

func TestSegmentsBehindAGapAreFramedInOrderOnceItIsFilled(t *testing.T) {
	r := newRig(t, nil, nil)
	text := pattern(1, 500)
	for _, at := range []int{0, 300, 200, 400, 300} {
		r.say(at, 0, text[at:at+100])
	}
	_, w := r.take()
	if len(w) != 1 {
		t.Fatalf("sent %v before the gap was filled", w)
	}
	r.count(shm.OutOfOrderSegments, 3)
	r.count(shm.DropEgressGap, 1)
	r.say(100, 0, text[100:200])
	_, more := r.take()
	if got, frames := r.plaintext(initLen, append(w, more...)); !bytes.Equal(got, text) || len(frames) != 5 {
		t.Errorf("%d bytes in %d frames", len(got), len(frames))
	}
	if r.g.rec.Local.Gap != 0 || r.g.core.freeNodes() != 2004 {
		t.Error("the gap was not given back")
	}
}

func TestHostIsToldOfSegmentsBehindAGapMostRecentFirst(t *testing.T) {
	r := newRig(t, nil, nil)
	at := func(p int) uint32 { return hostSeq + uint32(p) }
	var want [][2]uint32
	for i := range 6 {
		p := 100 + 200*i
		r.say(p, 0, pattern(1, 100))
		want = slices.Insert(want, 0, [2]uint32{at(p), at(p + 100)})
		got := r.one(ToHost)
		if !slices.Equal(got.sack, want[:min(len(want), 4)]) || got.ack != at(0) {
			t.Errorf("segment %d: %v, want %v", i, got, want)
		}
	}
	r.say(200, 0, pattern(1, 100))
	if got := r.one(ToHost); got.sack[0] != [2]uint32{at(100), at(400)} {
		t.Errorf("joined: %v", got)
	}
}

func TestHostIsNotToldOfAGapBeforeTheFarEndHasWhatWasSentBefore(t *testing.T) {
	for _, sack := range []bool{true, false} {
		r := newRig(t, nil, func(l *link) {
			if !sack {
				l.flags = 0
			}
		})
		for i := range 4 {
			r.say(100*i, 0, pattern(1, 100))
		}
		r.take()
		for i := range 5 {
			r.say(500+100*i, 0, pattern(1, 100))
		}
		r.silence()
		r.farAcks(initLen+120, 65535)
		if p := r.one(ToHost); len(p.sack) != 0 {
			t.Errorf("too early: %v", p)
		}
		r.farAcks(initLen+480, 65535)
		h, _ := r.take()
		if sack && (len(h) != 1 || len(h[0].sack) != 1 || h[0].sack[0] != [2]uint32{hostSeq + 500, hostSeq + 1000}) {
			t.Errorf("told %v", h)
		}
		if !sack && (len(h) != 4 || h[3].ack != hostSeq+400) {
			t.Errorf("without SACK: %v, want an acknowledgement and three duplicates", h)
		}
		r.say(1000, 0, pattern(1, 100))
		r.one(ToHost)
	}
}

func TestHostThatSendsStoredDataAgainIsToldAtOnce(t *testing.T) {
	r := newRig(t, nil, nil)
	for _, at := range []int{0, 100, 200, 400} {
		r.say(at, 0, pattern(1, 100))
	}
	r.take()
	r.say(400, 0, pattern(1, 100))
	if p := r.one(ToHost); len(p.sack) != 1 || p.sack[0] != [2]uint32{hostSeq + 400, hostSeq + 500} {
		t.Errorf("sent %v", p)
	}
}

func TestSelectiveAcknowledgementsOfBothKindsGoTogether(t *testing.T) {
	for _, limit := range []int{4, 3} {
		r := newRig(t, nil, func(l *link) {
			if limit == 3 {
				l.flags |= flowtable.FlagTimestamps
			}
		})
		for i := range 8 {
			r.say(100*i, 0, pattern(1, 100))
		}
		r.say(900, 0, pattern(1, 100))
		r.say(1100, 0, pattern(1, 100))
		r.take()
		w := func(frame int) uint32 { return hostSeq + uint32(initLen+120*frame) }
		p := func(at int) uint32 { return hostSeq + uint32(at) }
		r.farAcks(initLen, 65535, [2]uint32{w(4), w(5)})
		if got := r.one(ToHost); len(got.sack) != 1 {
			t.Errorf("frames are in flight: %v", got)
		}
		r.farAcks(initLen, 65535, [2]uint32{w(7), w(8)}, [2]uint32{w(4), w(5)}, [2]uint32{w(2), w(3)}, [2]uint32{w(1), w(2)})
		want := [][2]uint32{{p(700), p(800)}, {p(400), p(500)}, {p(200), p(300)}, {p(1100), p(1200)}}
		if limit == 3 {
			want = slices.Delete(want, 2, 3)
		}
		h, _ := r.take()
		if len(h) == 0 || !slices.Equal(h[0].sack, want) {
			t.Errorf("sent %v, want blocks %v", h, want)
		}
	}
}

func TestFramedBytesWinOverThoseStoredBehindTheGap(t *testing.T) {
	r := newRig(t, nil, nil)
	stored, framed := bytes.Repeat([]byte{1}, 100), bytes.Repeat([]byte{2}, 250)
	r.say(200, 0, stored)
	r.say(100, 0, stored[:50])
	r.take()
	r.say(0, 0, framed)
	_, w := r.take()
	if got, _ := r.plaintext(initLen, w); !bytes.Equal(got, append(framed, stored[50:]...)) {
		t.Errorf("framed %v", got)
	}
	r.count(shm.DropEgressOld, 1)
}

func TestFinAndUrgentDataBehindAGapAreKept(t *testing.T) {
	for _, c := range []struct {
		name string
		late []pkt // at positions
	}{
		{"with data", []pkt{{seq: 50, flags: FIN | URG, urg: 30, data: pattern(2, 50)}}},
		{"alone", []pkt{{seq: 100, flags: FIN}, {seq: 50, flags: URG, urg: 30, data: pattern(2, 50)}}},
		{"overlapped", []pkt{{seq: 60, data: pattern(2, 50)[10:20]}, {seq: 50, flags: URG, urg: 30, data: pattern(2, 50)[:20]},
			{seq: 60, flags: FIN | URG, urg: 20, data: pattern(2, 50)[10:]}}},
		{"cut short and sent again", []pkt{{seq: 60, data: pattern(2, 50)[10:20]}, {seq: 50, flags: FIN | URG, urg: 30, data: pattern(2, 50)},
			{seq: 70, flags: FIN | URG, urg: 10, data: pattern(2, 50)[20:]}}},
		{"overlapped by framed data", []pkt{{seq: 30, flags: FIN | URG, urg: 50, data: append(pattern(1, 50)[30:], pattern(2, 50)...)}}},
		{"and data behind it", []pkt{{seq: 50, flags: FIN | URG, urg: 30, data: pattern(2, 50)}, {seq: 101, data: pattern(3, 9)}, {seq: 120, data: pattern(3, 9)}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, nil, nil)
			for _, p := range c.late {
				p.seq, p.ack, p.win, p.flags = hostSeq+p.seq, wireSeq, 65535, p.flags|ACK
				r.host(&p)
			}
			r.take()
			r.say(0, 0, pattern(1, 50))
			_, w := r.take()
			text, frames := r.plaintext(initLen, w)
			end := frames[len(frames)-1]
			if !bytes.Equal(text, append(pattern(1, 50), pattern(2, 50)...)) || !end.FIN || w[len(w)-1].flags&FIN == 0 {
				t.Errorf("%d bytes, FIN %v", len(text), end.FIN)
			}
			urgent, at := -1, 0
			for _, f := range frames {
				if f.URG {
					urgent = at + int(f.Urgent)
				}
				at += len(f.Data)
			}
			if urgent != 79 {
				t.Errorf("the last urgent byte is %d", urgent)
			}
			if r.g.rec.Local.Gap != 0 || r.g.rec.Egress.PNext != 101 {
				t.Errorf("gap %d, next %d", r.g.rec.Local.Gap, r.g.rec.Egress.PNext)
			}
		})
	}
}

func TestFullUrgentSegmentBehindAGapBecomesTwoFrames(t *testing.T) {
	r := newRig(t, nil, nil)
	text := pattern(2, 1440)
	r.host(&pkt{seq: hostSeq + 10, ack: wireSeq, win: 65535, flags: ACK | URG | FIN, urg: 1440, data: text})
	r.say(0, 0, pattern(1, 10))
	_, w := r.take()
	if got, frames := r.plaintext(initLen, w); len(frames) != 3 || !bytes.Equal(got[10:], text) || !frames[2].FIN {
		t.Errorf("%d bytes in %d frames", len(got), len(frames))
	}
}

func TestStorageBehindAGapIsBounded(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Config)
		stored uint64
	}{
		{"per flow", func(c *Config) { c.FlowOutOfOrder = 3 }, 3},
		{"per core", func(c *Config) { c.OutOfOrder = 2 }, 2},
		{"by frames", func(c *Config) { c.FlowFrames = 4 }, 4},
		{"by buffers", func(c *Config) { c.PoolLow = 6001 }, 0},
	} {
		r := newRig(t, c.change, nil)
		for i := range 6 {
			r.say(100+100*i, 0, pattern(1, 100))
		}
		if n := r.g.core.n[shm.OutOfOrderSegments]; n != c.stored || r.g.core.n[shm.DropEgressGap] != 6-c.stored {
			t.Errorf("%s: %d segments stored, %d dropped", c.name, n, r.g.core.n[shm.DropEgressGap])
		}
	}
	r := newRig(t, nil, nil)
	r.say(65500, 0, pattern(1, 100))
	r.count(shm.DropEgressGap, 1)
}

func TestEndOfAConnectionFreesWhatIsBehindAGap(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(r *rig)
	}{
		{"release", func(*rig) {}},
		{"abort", func(r *rig) {
			r.g.core.Abort(testFlow, &r.g.rec, shm.AbortCaller, r.w.now, r.g.out)
			r.flush()
			r.pass()
		}},
		{"reset of the host", func(r *rig) { r.host(&pkt{seq: hostSeq, flags: RST}); r.pass() }},
		{"reset of the far end", func(r *rig) { r.wire(&pkt{seq: wireSeq + initLen, ack: hostSeq + initLen, flags: RST | ACK}); r.pass() }},
	} {
		r := newRig(t, nil, nil)
		for i := range 5 {
			r.say(100+150*i, 0, pattern(1, 100))
		}
		c.end(r)
		if c.name == "release" {
			r.g.core.Release(testFlow, &r.g.rec)
		}
		if n := r.g.leaks(); n != 0 || r.g.core.freeNodes() != 2004 {
			t.Errorf("%s: %d buffers are left, %d nodes free", c.name, n, r.g.core.freeNodes())
		}
	}
}

func TestStoredSegmentsWaitForTheFarEndsWindow(t *testing.T) {
	r := newRig(t, nil, func(l *link) { l.clientWin = 300 })
	text := pattern(1, 400)
	for _, at := range []int{100, 200, 300, 0} {
		r.say(at, 0, text[at:at+100])
	}
	_, w := r.take()
	if len(w) != 2 {
		t.Fatalf("sent %v into a window of two frames", w)
	}
	r.farAcks(initLen+240, 120)
	_, more := r.take()
	w = append(w, more...)
	r.farAcks(initLen+360, 65535)
	_, more = r.take()
	if got, _ := r.plaintext(initLen, append(w, more...)); !bytes.Equal(got, text) {
		t.Errorf("%d bytes were framed", len(got))
	}
	r.count(shm.DropEgressWindow, 0)
}

func TestHostsRetransmissionPassesWhatWaitsForTheWindow(t *testing.T) {
	r := newRig(t, nil, func(l *link) { l.clientWin = 200 })
	text := pattern(1, 300)
	r.say(100, 0, text[100:300])
	r.say(0, 0, text[:100])
	_, w := r.take()
	r.farAcks(initLen+120, 100)
	r.take()
	r.say(100, 0, text[100:300]) // 80 bytes fit
	_, more := r.take()
	w = append(w, more...)
	r.farAcks(initLen+220, 65535)
	_, more = r.take()
	if got, frames := r.plaintext(initLen, append(w, more...)); !bytes.Equal(got, text) || len(frames) != 3 {
		t.Errorf("%d bytes in %d frames", len(got), len(frames))
	}
}

func TestStoredSegmentRefusedWhenItsTurnComesIsNotAcknowledged(t *testing.T) {
	r := newRig(t, nil, nil)
	r.say(100, 0, pattern(1, 100))
	r.say(300, 0, pattern(1, 100))
	r.take()
	r.batch = true
	r.say(0, 0, pattern(1, 50))
	frames := r.g.core.cfg.FlowFrames
	r.g.core.cfg.FlowFrames = 0
	r.say(50, 0, pattern(1, 50)) // refused itself
	r.g.core.cfg.FlowFrames = frames
	r.say(50, 0, pattern(1, 50))
	r.batch = false
	r.flush()
	r.count(shm.DropEgressLimit, 1)
	_, w := r.take()
	if got, _ := r.plaintext(initLen, w); len(got) != 200 {
		t.Errorf("%d bytes were framed", len(got))
	}
}

func TestFillingALongGapGoesOnWhenThereIsRoomInTheOutput(t *testing.T) {
	r := newRig(t, nil, nil)
	r.g.out = NewOutput(1)
	text := pattern(1, 2000)
	for at := 10; at < len(text); at += 10 {
		r.say(at, 0, text[at:at+10])
		r.toHost = nil
	}
	r.say(0, 0, text[:10])
	_, w := r.take()
	rounds := 0
	for ; r.g.rec.Local.Gap != 0 && rounds < 20; rounds++ {
		if d := r.g.core.Deadline(&r.g.rec); d > r.w.now {
			t.Fatalf("waits until %d", d)
		}
		r.pass()
		_, more := r.take()
		w = append(w, more...)
	}
	if got, _ := r.plaintext(initLen, w); !bytes.Equal(got, text) || rounds < 2 {
		t.Errorf("%d bytes after %d rounds", len(got), rounds)
	}
	r.count(shm.DropNoOutput, 0)
	if d := r.g.core.Deadline(&r.g.rec); d < r.w.now+stallLimit-10e9 {
		t.Errorf("a timer runs: %d", d)
	}
}

func TestFramesOfOvertakenSegmentsCarryTheirTimestampsInOrder(t *testing.T) {
	b := newBench(t, tcpcrypt.AB)
	var stamps []uint32
	for _, s := range []struct {
		p    int
		tsv  uint32
		want int
	}{{100, 20, 0}, {200, 30, 0}, {0, 10, 3}, {300, 40, 1}} {
		m := b.cache.Alloc()
		m.SetBounds(mbuf.Headroom, hdrLen+100)
		seg := Segment{M: m, Off: mbuf.Headroom + hdrLen, Len: 100, Seq: 1 + uint32(s.p), Ack: 1, Win: 30000, Flags: ACK, HasTS: true, TSVal: s.tsv}
		b.core.EgressSegment(1, &b.rec, &seg, b.now, b.out)
		frames := 0
		for _, e := range b.out.Emits {
			if e.Dir != ToWire || e.Len == 0 {
				continue
			}
			frames++
			stamps = append(stamps, e.TSVal)
			if e.NewTS {
				t.Errorf("position %d: its own timestamp is rewritten to %d", e.Seq, e.TSVal)
			}
		}
		if frames != s.want {
			t.Errorf("%d frames behind segment %d", frames, s.p)
		}
		b.work()
	}
	if !slices.Equal(stamps, []uint32{10, 20, 30, 40}) {
		t.Errorf("timestamps %v", stamps)
	}
}

func TestGapsAllocateNothing(t *testing.T) {
	b := newBench(t, tcpcrypt.AB)
	if n := testing.AllocsPerRun(100, func() {
		base := 1 + uint32(b.rec.Egress.PNext)
		for i := range uint32(16) {
			at := (i*7 + 5) % 16
			m := b.cache.Alloc()
			m.SetBounds(mbuf.Headroom, hdrLen+100)
			seg := Segment{M: m, Off: mbuf.Headroom + hdrLen, Len: 100, Seq: base + 100*at, Ack: 1, Win: 30000, Flags: ACK}
			b.core.EgressSegment(1, &b.rec, &seg, b.now, b.out)
		}
		b.work()
		m := b.cache.Alloc()
		m.SetBounds(mbuf.Headroom, hdrLen)
		ack := Segment{M: m, Off: mbuf.Headroom + hdrLen, Seq: 1, Ack: 1 + uint32(b.rec.Egress.WNext), Win: 30000, Flags: ACK}
		b.core.IngressSegment(1, &b.rec, &ack, b.now, b.out)
		b.work()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if b.core.n[shm.OutOfOrderSegments] == 0 || b.rec.Local.Gap != 0 {
		t.Error("nothing was stored, or it still is")
	}
}

// insideScenarios are what may happen to a host's segments on their way to its gateway.
var insideScenarios = []struct {
	name string
	im   impairment
	lose float64 // of segments sent for the first time
}{
	{name: "reordered", im: impairment{reorder: 0.05}},
	{name: "reordered a lot", im: impairment{reorder: 0.5, dup: 0.1}},
	{name: "lost", lose: 0.05},
	{name: "lost and reordered", im: impairment{reorder: 0.05}, lose: 0.05},
}

func TestHostWithSelectiveAcknowledgementsRecoversInsideWithoutTimeout(t *testing.T) {
	const size = 100000
	for i, s := range insideScenarios {
		t.Run(s.name, func(t *testing.T) {
			for seed := range uint64(seeds()) {
				p := newPair(t, seed*100+uint64(i), pattern(1, size), pattern(2, size), nil)
				p.link.flags |= flowtable.FlagSACK
				for _, h := range []*host{p.client, p.server} {
					h.link, h.selective = &s.im, true
					h.lose = func(seq int) bool { return seq < size-30000 && p.w.rng.Float64() < s.lose }
				}
				p.start()
				began, took := p.w.now, int64(0)
				if !p.w.run(began+60e9, func() bool { took = p.w.now - began; return p.client.done() && p.server.done() }) {
					t.Fatalf("seed %d: not done after a minute", seed)
				}
				p.finish()
				for _, h := range []*host{p.client, p.server} {
					if h.timeouts > 0 {
						t.Errorf("seed %d: %s timed out %d times", seed, h.name, h.timeouts)
					}
				}
				if took > 500e6 {
					t.Errorf("seed %d: took %d ms", seed, took/1e6)
				}
				if p.a.core.n[shm.OutOfOrderSegments] == 0 {
					t.Errorf("seed %d: nothing was stored", seed)
				}
			}
		})
	}
}
