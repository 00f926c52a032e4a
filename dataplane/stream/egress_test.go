package stream

import (
	"bytes"
	"testing"

	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/flowtable"
)

func TestSegmentBecomesOneFrameInPlace(t *testing.T) {
	r := newRig(t, nil, nil)
	r.say(0, PSH, []byte("hello"))
	p := r.one(ToWire)
	if p.seq != hostSeq+initLen || len(p.data) != 25 || p.flags != PSH|ACK {
		t.Fatalf("sent %v", p)
	}
	f := r.open(initLen, p.data)
	if len(f) != 1 || string(f[0].Data) != "hello" || f[0].FIN || f[0].URG || f[0].Rekey {
		t.Errorf("frame %+v", f)
	}
}

func TestRetransmittedSegmentCarriesIdenticalBytes(t *testing.T) {
	text := pattern(1, 3000)
	for _, c := range []struct {
		name     string
		from, to int
		first    int // frames that must come again: the one that holds from, ...
		last     int // ... to this one
	}{
		{"the same segment", 0, 1000, 0, 0},
		{"a piece of one", 300, 400, 0, 0},
		{"one byte over a border", 999, 1001, 0, 1},
		{"two at once", 0, 2000, 0, 1},
		{"the last one", 2500, 3000, 2, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, nil, nil)
			var frames [][]byte
			for at := 0; at < len(text); at += 1000 {
				r.say(at, 0, text[at:at+1000])
				frames = append(frames, r.one(ToWire).data)
			}
			// A misbehaving host sends other bytes: they must not matter.
			r.say(c.from, 0, bytes.Repeat([]byte{0xEE}, c.to-c.from))
			_, w := r.take()
			var got []byte
			for _, p := range w {
				if want := hostSeq + uint32(initLen+1020*c.first+len(got)); p.seq != want {
					t.Errorf("seq %d, want %d", p.seq, want)
				}
				got = append(got, p.data...)
			}
			if want := bytes.Join(frames[c.first:c.last+1], nil); !bytes.Equal(got, want) {
				t.Errorf("%d bytes came again, want the %d of frames %d to %d", len(got), len(want), c.first, c.last)
			}
		})
	}
}

func TestNewBytesBehindARetransmissionBecomeANewFrame(t *testing.T) {
	r := newRig(t, nil, nil)
	text := pattern(1, 500)
	r.say(0, 0, text[:200])
	first := r.one(ToWire)
	r.say(100, FIN, text[100:])
	_, w := r.take()
	if len(w) != 2 || !bytes.Equal(w[0].data, first.data) || w[1].seq != first.seq+220 || w[1].flags&FIN == 0 {
		t.Fatalf("sent %v", w)
	}
	if f := r.open(initLen+220, w[1].data); len(f) != 1 || !bytes.Equal(f[0].Data, text[200:]) || !f[0].FIN {
		t.Errorf("new frame %+v", f)
	}
}

func TestFrameThatIsNotSealedYetIsNeverSentAsPlaintext(t *testing.T) {
	r := newRig(t, nil, nil)
	r.batch = true
	text := pattern(1, 100)
	r.say(0, 0, text)
	r.say(0, 0, text)
	r.flush()
	_, w := r.take()
	for _, p := range w {
		if bytes.Contains(p.data, text[:16]) {
			t.Fatal("plaintext on the wire")
		}
	}
	if len(w) == 0 {
		t.Fatal("nothing was sent")
	}
}

func TestGapIsAnsweredByWhatTheFarEndAcknowledged(t *testing.T) {
	r := newRig(t, nil, nil)
	r.say(0, 0, pattern(1, 100))
	r.take()
	r.say(200, 0, pattern(1, 100))
	if p := r.one(ToHost); p.ack != hostSeq || len(p.data) != 0 {
		t.Errorf("sent %v, want the acknowledgement of position 0", p)
	}
	r.count(shm.OutOfOrderSegments, 1)
}

func TestAcknowledgementsStopAtFrameBoundaries(t *testing.T) {
	r := newRig(t, nil, nil)
	r.say(0, 0, pattern(1, 100))
	r.say(100, 0, pattern(1, 100))
	r.take()
	ack := func(w int) { r.wire(&pkt{seq: wireSeq + initLen, ack: hostSeq + uint32(w), win: 60000, flags: ACK}) }
	ack(initLen + 50) // the window is new to the host
	if p := r.one(ToHost); p.ack != hostSeq {
		t.Errorf("inside the first frame: %v", p)
	}
	r.wire(&pkt{seq: wireSeq + initLen, ack: hostSeq + initLen + 60, win: 59990, flags: ACK})
	r.silence()
	r.count(shm.AbsorbedAcks, 1)
	ack(initLen + 120)
	if p := r.one(ToHost); p.ack != hostSeq+100 {
		t.Errorf("behind the first frame: %v", p)
	}
	ack(initLen + 120)
	if p := r.one(ToHost); p.ack != hostSeq+100 {
		t.Errorf("a duplicate: %v", p)
	}
	ack(initLen + 239)
	r.take()
	ack(initLen + 240)
	if p := r.one(ToHost); p.ack != hostSeq+200 {
		t.Errorf("behind the second frame: %v", p)
	}
	ack(initLen + 241)
	r.count(shm.DropIngressAck, 1)
	if p := r.one(ToWire); p.seq != hostSeq+initLen+240 {
		t.Errorf("answer to an acknowledgement of nothing: %v", p)
	}
}

func TestAcknowledgedRetransmissionIsAnswered(t *testing.T) {
	r := newRig(t, nil, nil)
	r.say(0, 0, pattern(1, 100))
	r.wire(&pkt{seq: wireSeq + initLen, ack: hostSeq + initLen + 120, win: 65535, flags: ACK})
	r.take()
	r.say(0, 0, pattern(1, 100))
	if p := r.one(ToHost); p.ack != hostSeq+100 {
		t.Errorf("sent %v", p)
	}
	r.count(shm.DropEgressOld, 1)
}

func TestProbesOfTheHostBecomeEmptySegmentsInFrontOfTheWindow(t *testing.T) {
	r := newRig(t, nil, nil)
	r.say(0, 0, pattern(1, 100))
	r.wire(&pkt{seq: wireSeq + initLen, ack: hostSeq + initLen + 120, win: 0, flags: ACK})
	r.take()
	for _, c := range []struct {
		name string
		seq  uint32
		n    int
	}{{"keep-alive", 99, 0}, {"keep-alive with a byte", 99, 1}, {"window probe with a byte", 100, 1}} {
		r.say(int(c.seq), 0, pattern(1, c.n))
		if p := r.one(ToWire); p.seq != hostSeq+initLen+119 || len(p.data) != 0 {
			t.Errorf("%s: %v", c.name, p)
		}
	}
	if r.g.rec.Egress.PNext != 100 {
		t.Error("a probe was framed")
	}
}

func TestNothingIsFramedBeyondTheFarEndsWindow(t *testing.T) {
	r := newRig(t, nil, func(l *link) { l.clientWin = 219 })
	r.say(0, 0, pattern(1, 100))
	r.take()
	r.say(100, 0, pattern(1, 100))
	if p := r.one(ToHost); p.win != 179 {
		t.Errorf("window %d, want 179: what is left holds one frame more", p.win)
	}
	r.count(shm.DropEgressWindow, 1)
	r.say(100, 0, pattern(1, 79))
	if p := r.one(ToWire); len(p.data) != 99 {
		t.Errorf("sent %v", p)
	}
}

func TestWithNothingInFlightWhatFitsIsSent(t *testing.T) {
	r := newRig(t, nil, func(l *link) { l.clientWin = 70 })
	r.say(0, FIN, pattern(1, 100))
	p := r.one(ToWire)
	if f := r.open(initLen, p.data); len(p.data) != 70 || f[0].FIN || p.flags&FIN != 0 || !bytes.Equal(f[0].Data, pattern(1, 50)) {
		t.Errorf("sent %v", p)
	}
}

func TestLowPoolStopsHoldingButNotSending(t *testing.T) {
	for _, n := range []int{100, 1400} {
		r := newRig(t, func(c *Config) { c.PoolLow = 5990 }, nil)
		for range 20 {
			r.g.cache.Alloc()
		}
		avail := r.g.cache.Avail()
		for range lookEvery {
			r.hostAcks(0)
		}
		r.take()
		r.say(0, 0, pattern(1, n))
		if p := r.one(ToWire); len(p.data) != n+20 {
			t.Errorf("sent %v", p)
		}
		r.count(shm.KeptRefused, 1)
		if got := r.g.cache.Avail(); got != avail || r.g.rec.Local.Held != 0 {
			t.Errorf("%d buffers of %d are free", got, avail)
		}
	}
}

func TestUnacknowledgedFramesAreBounded(t *testing.T) {
	r := newRig(t, func(c *Config) { c.FlowFrames = 2 }, nil)
	for i := range 3 {
		r.say(10*i, 0, pattern(1, 10))
	}
	r.count(shm.DropEgressLimit, 1)
	r.count(shm.SealedFrames, 2)
}

func TestFinTravelsOnTheLastFrame(t *testing.T) {
	for _, n := range []int{0, 10} {
		r := newRig(t, nil, nil)
		r.say(0, 0, pattern(1, 10))
		r.take()
		r.say(10, FIN, pattern(2, n))
		p := r.one(ToWire)
		if f := r.open(initLen+30, p.data); p.flags&FIN == 0 || !f[0].FIN || len(f[0].Data) != n {
			t.Errorf("%d bytes: sent %v", n, p)
		}
		r.say(10+n, FIN, nil)
		if again := r.one(ToWire); again.flags&FIN == 0 || !bytes.Equal(again.data, p.data) {
			t.Errorf("%d bytes: retransmitted FIN: %v", n, again)
		}
		r.say(10+n+1, 0, pattern(1, 5))
		r.count(shm.DropEgressBehindFin, 1)
		r.take()
		r.wire(&pkt{seq: wireSeq + initLen, ack: hostSeq + uint32(initLen+30+20+n), win: 65535, flags: ACK})
		if p := r.one(ToHost); p.ack != hostSeq+10 {
			t.Errorf("all but the FIN acknowledged: %v", p)
		}
		r.wire(&pkt{seq: wireSeq + initLen, ack: hostSeq + uint32(initLen+30+20+n+1), win: 65535, flags: ACK})
		if p := r.one(ToHost); p.ack != hostSeq+uint32(10+n+1) {
			t.Errorf("the FIN acknowledged: %v", p)
		}
	}
}

func TestUrgentDataIsSealedIntoItsFrame(t *testing.T) {
	r := newRig(t, nil, nil)
	r.host(&pkt{seq: hostSeq, ack: wireSeq, win: 65535, flags: ACK | URG, urg: 4, data: []byte("abcdef")})
	p := r.one(ToWire)
	if p.flags&URG == 0 || int(p.urg) != len(p.data) || len(p.data) != 6+22 {
		t.Errorf("sent %v", p)
	}
	if f := r.open(initLen, p.data); !f[0].URG || f[0].Urgent != 3 || string(f[0].Data) != "abcdef" {
		t.Errorf("frame %+v", f)
	}
}

func TestFullUrgentSegmentBecomesTwoFrames(t *testing.T) {
	r := newRig(t, nil, nil)
	text := pattern(1, 1440)
	r.host(&pkt{seq: hostSeq, ack: wireSeq, win: 65535, flags: ACK | URG | FIN, urg: 1440, data: text})
	_, w := r.take()
	if len(w) != 2 {
		t.Fatalf("sent %v", w)
	}
	a, b := r.open(initLen, w[0].data)[0], r.open(initLen+len(w[0].data), w[1].data)[0]
	if !bytes.Equal(append(a.Data, b.Data...), text) || a.FIN || !b.FIN || w[0].flags&FIN != 0 || w[1].flags&FIN == 0 {
		t.Error("the data is not whole, or the FIN is at the wrong place")
	}
	if !a.URG || a.Urgent != 1439 || !b.URG || int(b.Urgent) != 1439-len(a.Data) {
		t.Errorf("urgent %d and %d", a.Urgent, b.Urgent)
	}
	if len(w[0].data) > 1460 || len(w[1].data) > 1460 {
		t.Error("a segment is longer than the far end takes")
	}
}

func TestFarEndsSelectiveAcknowledgementsCoverWholeFramesOnly(t *testing.T) {
	r := newRig(t, nil, nil)
	for i := range 4 {
		r.say(100*i, 0, pattern(1, 100))
	}
	r.take()
	at := func(w int) uint32 { return hostSeq + initLen + uint32(w) }
	r.wire(&pkt{seq: wireSeq + initLen, ack: at(0), win: 65535, flags: ACK, sack: [][2]uint32{{at(130), at(470)}, {at(125), at(230)}}})
	p := r.one(ToHost)
	if len(p.sack) != 1 || p.sack[0] != [2]uint32{hostSeq + 200, hostSeq + 300} {
		t.Errorf("SACK %v, want [200 300) only", p.sack)
	}
}

func TestWindowShrunkIntoFramesEndsAtABoundary(t *testing.T) {
	r := newRig(t, nil, nil)
	r.say(0, 0, pattern(1, 100))
	r.say(100, 0, pattern(1, 100))
	r.take()
	r.wire(&pkt{seq: wireSeq + initLen + 1, ack: hostSeq + initLen, win: 200, flags: ACK})
	r.wire(&pkt{seq: wireSeq + initLen, ack: hostSeq + initLen, win: 200, flags: ACK})
	h, _ := r.take()
	if p := h[len(h)-1]; p.win != 100 {
		t.Errorf("window %d, want 100", p.win)
	}
}

func TestFrameThatCannotBeSealedEndsTheConnection(t *testing.T) {
	r := newRig(t, nil, nil)
	r.g.core.cfg.Engine.Wipe(r.g.core.keyOf(r.g.rec.Local.SealKey))
	text := pattern(1, 100)
	r.say(0, 0, text)
	for _, p := range r.toWire {
		if len(p.data) > 0 {
			t.Fatalf("sent %v", p)
		}
	}
	r.aborted(shm.AbortSeal)
}

func TestPlaintextBeforeKeysIsDropped(t *testing.T) {
	r := newRig(t, nil, nil)
	r.g.rec.Egress.Flags &^= flowtable.EgressKeys
	r.say(0, 0, pattern(1, 100))
	r.silence()
	r.count(shm.DropNoKeys, 1)
}

func TestInitMessageIsSentAgainUntilItIsAcknowledgedOrHopeless(t *testing.T) {
	core, cache, _, _ := testCore(t, 100, nil)
	var rec flowtable.Record
	rec.Host, rec.Peer, rec.Role = flowtable.Endpoint{MSS: 1460}, flowtable.Endpoint{MSS: 1460, Win: 1000}, flowtable.RoleA
	core.Start(testFlow, &rec, 0)
	out := NewOutput(4)
	msg := initMessage(tcpcrypt.KindInit1, 90)
	if !core.QueueInit(testFlow, &rec, msg, 0, out) {
		t.Fatal("refused")
	}
	sent, wait := 0, int64(0)
	for now := int64(0); ; {
		for i := range out.Emits {
			e := &out.Emits[i]
			if e.Flags&RST == 0 {
				sent++
				if !bytes.Equal(e.M.Buf()[e.Off:e.Off+e.Len], msg) || e.Seq != 1 {
					t.Error("not the message")
				}
			}
			cache.Free(e.M)
		}
		if rec.Rare.Abort != 0 {
			break
		}
		out.Reset()
		d := core.Deadline(&rec)
		if d-now < wait {
			t.Errorf("waits %d after %d", d-now, wait)
		}
		wait, now = d-now, d
		core.Timeout(testFlow, &rec, now, out)
	}
	if sent != maxOwnTry+1 || shm.Counter(rec.Rare.Abort) != shm.AbortOwnTimeout {
		t.Errorf("sent %d times, aborted for %v", sent, shm.Counter(rec.Rare.Abort))
	}
}

// RFC 8548 section 3.3: the segment with the last byte of an Init message is pushed, and so is that which brings it again.
func TestEndOfAnInitMessageIsPushedWheneverItIsSent(t *testing.T) {
	const mss = 200
	for name, size := range map[string]int{"in one segment": 90, "in pieces": 500} {
		t.Run(name, func(t *testing.T) {
			core, cache, _, _ := testCore(t, 100, nil)
			var rec flowtable.Record
			rec.Host, rec.Peer, rec.Role = flowtable.Endpoint{MSS: mss}, flowtable.Endpoint{MSS: mss, Win: 1000}, flowtable.RoleA
			core.Start(testFlow, &rec, 0)
			out := NewOutput(4)
			if !core.QueueInit(testFlow, &rec, initMessage(tcpcrypt.KindInit1, size), 0, out) {
				t.Fatal("refused")
			}
			for try := range 3 {
				if want := (size + mss - 1) / mss; len(out.Emits) != want {
					t.Fatalf("try %d: %d segments, want %d", try, len(out.Emits), want)
				}
				for i := range out.Emits {
					e := &out.Emits[i]
					if last := i == len(out.Emits)-1; e.Flags&PSH != 0 != last {
						t.Errorf("try %d: segment %d of %d has flags %02x", try, i+1, len(out.Emits), e.Flags)
					}
					cache.Free(e.M)
				}
				out.Reset()
				core.Timeout(testFlow, &rec, core.Deadline(&rec), out)
			}
			for i := range out.Emits {
				cache.Free(out.Emits[i].M)
			}
		})
	}
}

func TestKeptFrameLongerThanASegmentIsSentInPieces(t *testing.T) {
	r := newRig(t, nil, nil)
	r.say(0, FIN, pattern(1, 1400))
	whole := r.one(ToWire)
	r.g.rec.Peer.MSS = 600
	r.say(0, FIN, pattern(1, 1400))
	_, w := r.take()
	var got []byte
	for i, p := range w {
		if len(p.data) > 600 || (p.flags&FIN != 0) != (i == len(w)-1) {
			t.Errorf("piece %d: %v", i, p)
		}
		got = append(got, p.data...)
	}
	if !bytes.Equal(got, whole.data) {
		t.Error("the pieces are not the frame")
	}
}
