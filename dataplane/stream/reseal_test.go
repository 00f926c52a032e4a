package stream

import (
	"bytes"
	"fmt"
	"testing"

	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
)

// forget drops all bytes of frames in flight that may be dropped.
func (r *rig) forget() uint64 { return r.g.core.dropHeld(&r.g.rec, shm.KeptDropped) }

// frames makes the host send text in segments that end at the given positions, and returns the wire bytes of each.
func (r *rig) frames(text []byte, ends ...int) (frames [][]byte) {
	r.t.Helper()
	at := 0
	for _, end := range ends {
		flags := uint8(0)
		if end == len(text) {
			flags = FIN
		}
		r.say(at, flags, text[at:end])
		frames = append(frames, r.one(ToWire).data)
		at = end
	}
	return frames
}

// again lets the host send [from, to) of text again and returns the wire bytes that come of it, in order.
func (r *rig) again(text []byte, from, to int) (w []byte) {
	r.t.Helper()
	flags := uint8(0)
	if to == len(text) {
		flags = FIN
	}
	r.say(from, flags, text[from:to])
	_, sent := r.take()
	for _, p := range sent {
		if len(p.data) == 0 {
			continue
		}
		if len(w) > 0 && len(p.data) > 0 && p.seq != sent[0].seq+uint32(len(w)) {
			r.t.Errorf("segments do not follow each other: %v", sent)
		}
		w = append(w, p.data...)
	}
	return w
}

func TestDroppedFrameIsSealedAgainWhateverItsSize(t *testing.T) {
	for _, n := range []int{0, 1, 100, 492, 493, 1440} {
		for _, fin := range []bool{false, true} {
			if n == 0 && !fin {
				continue
			}
			r := newRig(t, nil, nil)
			flags := uint8(0)
			if fin {
				flags = FIN
			}
			text := pattern(1, n)
			r.say(0, flags, text)
			first := r.one(ToWire)
			if got := r.forget(); got != 1 || r.g.rec.Local.Held != 0 {
				t.Fatalf("%d bytes: %d frames dropped, %d buffers held", n, got, r.g.rec.Local.Held)
			}
			for range 2 { // the second time it is held again
				r.say(0, flags, text)
				if p := r.one(ToWire); !bytes.Equal(p.data, first.data) || p.seq != first.seq || p.flags&FIN != first.flags&FIN {
					t.Errorf("%d bytes, FIN %v: sent %v, first %v", n, fin, p, first)
				}
			}
			r.count(shm.ResealedFrames, 1)
			r.count(shm.ResentFrames, 1)
		}
	}
}

func TestDroppedFramesComeAgainWhateverTheBoundaries(t *testing.T) {
	text := pattern(1, 3000)
	ends := []int{1000, 1010, 2200, 3000}
	for _, c := range []struct {
		name string
		cuts []int
	}{
		{"the same", ends},
		{"all at once would fit", []int{1400, 2800, 3000}},
		{"small pieces", []int{300, 600, 900, 1200, 1500, 1800, 2100, 2400, 2700, 3000}},
		{"one byte apart", []int{999, 1011, 2199, 2201, 2999, 3000}},
		{"behind the middle of each", []int{600, 1700, 2700, 3000}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, nil, nil)
			want := bytes.Join(r.frames(text, ends...), nil)
			if n := r.forget(); n != 4 || r.g.rec.Local.Held != 0 {
				t.Fatalf("%d frames dropped, %d buffers are held", n, r.g.rec.Local.Held)
			}
			var got []byte
			at := 0
			for _, end := range c.cuts {
				got = append(got, r.again(text, at, end)...)
				at = end
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%d bytes came again, want %d", len(got), len(want))
			}
			r.count(shm.ResealedFrames, 4)
		})
	}
}

func TestPieceThatDoesNotFollowWhatCameBeforeIsDroppedByName(t *testing.T) {
	r := newRig(t, nil, nil)
	text := pattern(1, 1001)
	want := r.frames(text, 1000)[0]
	r.forget()
	if got := r.again(text, 500, 1000); got != nil {
		t.Errorf("sent %d bytes", len(got))
	}
	r.count(shm.DropResealPart, 1)
	r.again(text, 0, 400)
	r.again(text, 600, 800)
	r.count(shm.DropResealPart, 2)
	r.again(text, 200, 700)
	if got := r.again(text, 600, 1000); !bytes.Equal(got, want) {
		t.Errorf("sent %d bytes", len(got))
	}
	if r.g.rec.Local.Held != 1 {
		t.Errorf("%d buffers are held", r.g.rec.Local.Held)
	}
}

func TestHostThatSendsOnlyAPieceOverAndOverGetsTheRest(t *testing.T) {
	r := newRig(t, nil, nil)
	text := pattern(1, 2001)
	want := bytes.Join(r.frames(text, 1000, 2000), nil)
	r.forget()
	r.again(text, 0, 600)
	r.say(0, 0, text[:600]) // its timer runs out: it has a congestion window of one segment
	if p := r.one(ToHost); p.ack != hostSeq+600 || p.win == 0 {
		t.Fatalf("sent %v, want an acknowledgement of the piece", p)
	}
	r.forget()
	if r.g.rec.Local.Held != 1 {
		t.Fatal("what was acknowledged is not held")
	}
	got := r.again(text, 600, 1200)
	r.forget()
	got = append(got, r.again(text, 1200, 2000)...)
	if !bytes.Equal(got, want[:len(got)]) || len(got) != 1020 {
		t.Errorf("%d bytes came again", len(got))
	}
	if again := r.again(text, 600, 700); !bytes.Equal(again, want[:1020]) {
		t.Errorf("the frame is not held: %d bytes came again", len(again))
	}
	r.farAcks(initLen+1020, 65535)
	h, _ := r.take()
	if len(h) != 1 || h[0].ack != hostSeq+1000 || r.g.rec.Egress.PartAcked != 0 {
		t.Errorf("sent %v", h)
	}
}

func TestOtherBytesUnderTheNonceOfADroppedFrameNeverLeave(t *testing.T) {
	for _, c := range []struct {
		name string
		say  func(r *rig, text []byte)
	}{
		{"one bit", func(r *rig, text []byte) {
			other := bytes.Clone(text)
			other[500] ^= 1
			r.say(0, 0, other)
		}},
		{"in a second piece", func(r *rig, text []byte) {
			r.say(0, 0, text[:500])
			r.say(500, 0, bytes.Repeat([]byte{1}, 500))
		}},
		{"in a first piece", func(r *rig, text []byte) {
			r.say(0, 0, bytes.Repeat([]byte{1}, 500))
			r.say(500, 0, text[500:])
		}},
		{"all of it", func(r *rig, text []byte) { r.say(0, 0, make([]byte, len(text))) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, nil, nil)
			text := pattern(1, 1000)
			r.say(0, 0, text)
			first := r.one(ToWire)
			r.forget()
			for i := range maxMismatches - 1 {
				c.say(r, text)
				if _, w := r.take(); len(w) != 0 {
					t.Fatalf("sent %v", w)
				}
				r.count(shm.DropResealMismatch, uint64(i+1))
			}
			r.say(0, 0, text)
			if p := r.one(ToWire); !bytes.Equal(p.data, first.data) {
				t.Error("the right bytes do not come again")
			}
			r.forget()
			for range maxMismatches {
				c.say(r, text)
			}
			r.aborted(shm.AbortReseal)
			for range 3 {
				r.pass()
			}
			if n := r.g.rec.Local.Held; n != 0 {
				t.Errorf("%d buffers are held", n)
			}
		})
	}
}

func TestMismatchedFrameIsErased(t *testing.T) {
	r := newRig(t, nil, nil)
	r.say(0, 0, pattern(1, 1000))
	r.take()
	r.forget()
	r.batch = true
	r.say(0, 0, bytes.Repeat([]byte{0x5a}, 1000))
	m := r.g.out.reseals[0].m
	r.batch = false
	r.flush()
	for i, b := range m.Buf()[BuildOffset:] {
		if b != 0 {
			t.Fatalf("byte %d of the buffer is %02x", i, b)
		}
	}
}

func TestUrgentFrameIsSealedAgainWithItsOwnPointer(t *testing.T) {
	r := newRig(t, nil, nil)
	r.host(&pkt{seq: hostSeq, ack: wireSeq, win: 65535, flags: ACK | URG, urg: 4, data: []byte("abcdef")})
	first := r.one(ToWire)
	r.forget()
	r.host(&pkt{seq: hostSeq, ack: wireSeq, win: 65535, flags: ACK | URG, urg: 900, data: []byte("abcdef")}) // more is urgent now
	if p := r.one(ToWire); !bytes.Equal(p.data, first.data) || p.flags&URG == 0 {
		t.Errorf("sent %v", p)
	}
}

func TestDroppedFrameLongerThanASegmentComesInSeveral(t *testing.T) {
	r := newRig(t, nil, nil)
	r.say(0, FIN, pattern(1, 1400))
	whole := r.one(ToWire)
	r.forget()
	r.g.rec.Peer.MSS = 600
	r.say(0, 0, pattern(1, 1400)[:580])
	r.say(580, 0, pattern(1, 1400)[580:1160])
	r.say(1160, FIN, pattern(1, 1400)[1160:])
	_, w := r.take()
	var got []byte
	for i, p := range w {
		if len(p.data) > 600 || (p.flags&FIN != 0) != (i == len(w)-1) {
			t.Errorf("segment %d: %v", i, p)
		}
		got = append(got, p.data...)
	}
	if !bytes.Equal(got, whole.data) {
		t.Error("the segments are not the frame")
	}
}

func TestFramesOfTheLastGenerationAreSealedAgainUnderItsKey(t *testing.T) {
	r := newRig(t, func(c *Config) { c.RekeyFrames = 3 }, nil)
	text := pattern(1, 8000)
	var want []byte
	for at := 0; at < 5000; at += 1000 {
		r.say(at, 0, text[at:at+1000])
		_, w := r.take()
		for _, p := range w {
			want = append(want, p.data...)
		}
	}
	if r.g.rec.Rare.SealGen != 1 || r.g.rec.Local.OldKeys == 0 {
		t.Fatalf("generation %d, old key %d", r.g.rec.Rare.SealGen, r.g.rec.Local.OldKeys)
	}
	if n := r.forget(); n != 5 {
		t.Fatalf("%d frames dropped", n)
	}
	var got []byte
	for at := 0; at < 5000; at += 500 {
		got = append(got, r.again(text, at, at+500)...)
	}
	if !bytes.Equal(got, want) {
		t.Error("other bytes came again")
	}
	free := len(r.g.core.keys.free)
	r.farAcks(initLen+3*1020, 65535)
	r.farAcks(initLen+3*1020, 65535)
	if r.g.rec.Local.OldKeys != 0 || len(r.g.core.keys.free) != free+1 {
		t.Error("the old key is kept when nothing of its generation is in flight")
	}
}

func TestFramesWhoseKeyIsGoneAreNotDropped(t *testing.T) {
	r := newRig(t, func(c *Config) { c.RekeyFrames = 3 }, nil)
	r.g.core.cfg.Keys = 4 * len(r.g.core.keys.free) // so few are free that none is kept for old generations
	text := pattern(1, 8000)
	var want []byte
	for at := 0; at < 5000; at += 1000 {
		r.say(at, 0, text[at:at+1000])
		_, w := r.take()
		for _, p := range w {
			want = append(want, p.data...)
		}
	}
	if n := r.forget(); n != 2 || r.g.rec.Local.OldKeys != 0 {
		t.Fatalf("%d frames dropped, old key %d", n, r.g.rec.Local.OldKeys)
	}
	var got []byte
	for at := 0; at < 5000; at += 500 {
		got = append(got, r.again(text, at, at+500)...)
	}
	var once []byte // what is held comes again whole with each piece of it
	for i := 0; i+1020 <= len(got); i += 1020 {
		if !bytes.HasSuffix(once, got[i:i+1020]) {
			once = append(once, got[i:i+1020]...)
		}
	}
	if !bytes.Equal(once, want) {
		t.Errorf("other bytes came again")
	}
}

func TestOwnFramesAreNeverDropped(t *testing.T) {
	r := newRig(t, nil, nil)
	if !r.g.core.Rekey(testFlow, &r.g.rec, r.w.now, r.g.out) {
		t.Fatal("no rekeying")
	}
	r.flush()
	first := r.one(ToWire)
	if n := r.forget(); n != 0 {
		t.Fatalf("%d frames dropped", n)
	}
	r.pass()
	if p := r.one(ToWire); !bytes.Equal(p.data, first.data) {
		t.Errorf("sent %v", p)
	}
}

func TestDroppedFrameThatIsAcknowledgedMeanwhileIsNotSent(t *testing.T) {
	r := newRig(t, nil, nil)
	r.say(0, 0, pattern(1, 1000))
	r.take()
	r.forget()
	r.batch = true
	r.say(0, 0, pattern(1, 1000))
	r.farAcks(initLen+1020, 65535)
	r.batch = false
	r.flush()
	if _, w := r.take(); len(w) != 0 {
		t.Errorf("sent %v", w)
	}
}

// TestStreamsArriveUnchangedWhileFramesAreDropped lets what is held of frames in flight go at random. The harness fails where a wire
// position carries two different bytes.
func TestStreamsArriveUnchangedWhileFramesAreDropped(t *testing.T) {
	resealed, pieces, acked := uint64(0), uint64(0), false
	for i, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			for seed := range uint64(seeds()) {
				ok := t.Run(fmt.Sprint(seed), func(t *testing.T) {
					p := newPair(t, seed*100+uint64(i)+7000, pattern(1, s.up), pattern(2, s.down), func(c *Config) {
						if seed%2 == 1 {
							c.RekeyFrames = 20
						}
					})
					for _, g := range []*gateway{p.a, p.b} {
						g.wire, g.insideL, g.forget = &s.wire, &s.inside, 0.3
					}
					p.client.link, p.server.link = &s.inside, &s.inside
					p.client.slow, p.server.slow = s.slow, s.slow
					p.client.probeData, p.server.probeData = s.zero, s.zero
					p.start()
					p.client.shrink, p.server.shrink = seed%3 == 0, seed%3 == 1
					p.finish()
					for _, g := range []*gateway{p.a, p.b} {
						resealed += g.core.n[shm.ResealedFrames]
						pieces += g.core.n[shm.DropResealPart]
						acked = acked || g.partAcked
						if g.core.n[shm.DropResealMismatch] != 0 {
							t.Errorf("%s: an honest host's bytes did not match", g.name)
						}
					}
				})
				if !ok {
					return
				}
			}
		})
	}
	if resealed < 100 || pieces == 0 || !acked {
		t.Errorf("%d frames were sealed again, %d pieces did not fit, a part was acknowledged: %v", resealed, pieces, acked)
	}
}

// TestLyingHostsNeverGetASecondTextOut has a host that changes bytes of what it sends again. The harness fails where a wire position
// carries two different bytes.
func TestLyingHostsNeverGetASecondTextOut(t *testing.T) {
	caught := 0
	for seed := range uint64(4 * seeds()) {
		p := newPair(t, seed, pattern(1, 60000), pattern(2, 20000), nil)
		loss := &impairment{loss: 0.05}
		for _, g := range []*gateway{p.a, p.b} {
			g.wire, g.forget = loss, 0.3
		}
		p.client.lie, p.client.framed = 0.2, &p.a.rec.Egress.PNext
		p.start()
		p.w.run(p.w.now+600e9, func() bool { return p.client.done() && p.server.done() || p.client.reset && p.server.reset })
		if p.a.core.n[shm.DropResealMismatch] > 0 {
			caught++
		}
		if i := firstDifference(p.server.in, p.client.out[:min(len(p.server.in), len(p.client.out))]); i >= 0 {
			t.Fatalf("seed %d: the far end got other bytes than were framed first, at %d", seed, i)
		}
		if p.a.core.n[shm.AbortAuth]+p.b.core.n[shm.AbortAuth] > 0 {
			t.Fatalf("seed %d: a frame failed authentication", seed)
		}
	}
	if caught == 0 {
		t.Error("no lie was caught")
	}
}

func TestSealingAgainAllocatesNothing(t *testing.T) {
	s := newBench(t, tcpcrypt.AB)
	s.same = true
	if n := testing.AllocsPerRun(100, func() { s.resealBurst(t, 1000) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if s.core.n[shm.ResealedFrames] == 0 || s.core.n[shm.DropResealMismatch] != 0 {
		t.Error("nothing was sealed again")
	}
}

// resealBurst sends a burst, drops it, sends it again and acknowledges it.
func (b *bench) resealBurst(tb testing.TB, n int) {
	at := b.rec.Egress.PNext
	b.hostBurst(at, n)
	b.work()
	if dropped := b.core.dropHeld(&b.rec, shm.KeptDropped); dropped != benchBurst {
		tb.Fatalf("%d frames dropped", dropped)
	}
	b.hostBurst(at, n)
	b.work()
	b.ackBurst()
}

func BenchmarkSealAgain(b *testing.B) {
	s := newBench(b, tcpcrypt.AB)
	s.same = true
	b.SetBytes(1380)
	b.ReportAllocs()
	for i := 0; i < b.N; i += benchBurst {
		s.resealBurst(b, 1380)
	}
}
