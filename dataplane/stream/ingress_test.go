package stream

import (
	"bytes"
	"testing"

	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
)

func TestFrameIsDeliveredInPlace(t *testing.T) {
	r := newRig(t, nil, nil)
	a, b := r.farFrame(data(100))
	r.far(a, b, PSH)
	p := r.one(ToHost)
	if p.seq != wireSeq || !bytes.Equal(p.data, pattern(3, 100)) || p.flags != PSH|ACK {
		t.Errorf("delivered %v", p)
	}
	r.hostAcks(100)
	if p := r.one(ToWire); p.ack != wireSeq+uint32(b) {
		t.Errorf("acknowledged %v, want the frame's end", p)
	}
}

func TestFramesThatShareASegmentAreDeliveredEach(t *testing.T) {
	r := newRig(t, nil, nil)
	a, _ := r.farFrame(data(100))
	r.farFrame(data(50))
	_, b := r.farFrame(last(25))
	r.far(a, b, FIN)
	h, _ := r.take()
	if len(h) != 3 || len(h[0].data) != 100 || len(h[1].data) != 50 || len(h[2].data) != 25 || h[2].seq != wireSeq+150 {
		t.Fatalf("delivered %v", h)
	}
	if h[0].flags&FIN != 0 || h[1].flags&FIN != 0 || h[2].flags&FIN == 0 {
		t.Error("the FIN is not on the last segment, or not there alone")
	}
	r.hostAcks(120)
	if p := r.one(ToWire); p.ack != wireSeq+uint32(a)+120 {
		t.Errorf("progress inside the second frame acknowledged as %v", p)
	}
	r.hostAcks(176)
	if p := r.one(ToWire); p.ack != wireSeq+uint32(b)+1 {
		t.Errorf("the end acknowledged as %v", p)
	}
}

func TestUrgentDataComesOutOfItsFrame(t *testing.T) {
	r := newRig(t, nil, nil)
	a, b := r.farFrame(tcpcrypt.Frame{Plaintext: tcpcrypt.Plaintext{URG: true, Urgent: 3, Data: []byte("abcdef")}})
	r.far(a, b, 0)
	if p := r.one(ToHost); p.flags&URG == 0 || p.urg != 4 || string(p.data) != "abcdef" {
		t.Errorf("delivered %v", p)
	}
	a, b = r.farFrame(data(6))
	r.wire(&pkt{seq: wireSeq + uint32(a), ack: hostSeq + initLen, win: 65535, flags: ACK | URG, urg: 3, data: r.seal.out[a:b]})
	if p := r.one(ToHost); p.flags&URG != 0 || p.urg != 0 {
		t.Errorf("an unauthenticated urgent pointer was delivered: %v", p)
	}
}

func TestEmptyFrameIsAcknowledgedByTheGateway(t *testing.T) {
	r := newRig(t, nil, nil)
	a, b := r.farFrame(data(0))
	r.far(a, b, 0)
	if p := r.one(ToWire); p.ack != wireSeq+uint32(b) {
		t.Errorf("sent %v", p)
	}
}

func TestFrameInProgressIsAcknowledgedFromItsSecondSegmentOn(t *testing.T) {
	r := newRig(t, nil, nil)
	a, b := r.farFrame(data(1000))
	r.far(a, a+100, 0)
	r.silence()
	for at := a + 100; at < b-100; at += 100 {
		r.far(at, at+100, 0)
		if p := r.one(ToWire); p.ack != wireSeq+uint32(at+100) {
			t.Fatalf("sent %v, want an acknowledgement of %d", p, at+100)
		}
	}
	r.far(b-20, b, 0)
	h, w := r.take()
	if len(h) != 1 || !bytes.Equal(h[0].data, pattern(3, 1000)) || len(w) != 1 || w[0].ack != wireSeq+uint32(b) {
		t.Errorf("delivered %v, acknowledged %v", h, w)
	}
	r.count(shm.DeliveryFrames, 1)
}

func TestFrameInProgressWaitsForTheFramesInFront(t *testing.T) {
	r := newRig(t, nil, nil)
	a, m := r.farFrame(data(100))
	_, b := r.farFrame(data(1000))
	r.far(a, m+300, 0)
	h, w := r.take()
	if len(h) != 1 || len(w) != 0 {
		t.Fatalf("sent %v and %v", h, w)
	}
	r.hostAcks(100)
	if p := r.one(ToWire); p.ack != wireSeq+uint32(m)+300 {
		t.Errorf("acknowledged %v, want the piece too", p)
	}
	r.far(m+300, b, 0)
	h, w = r.take()
	if len(h) != 1 || len(h[0].data) != 1000 || len(w) != 1 || w[0].ack != wireSeq+uint32(b) {
		t.Errorf("sent %v and %v", h, w)
	}
}

func TestAcknowledgedFrameIsDeliveredAgainUntilTheHostHasIt(t *testing.T) {
	r := newRig(t, nil, func(l *link) { l.serverWin = 3000 })
	a, b := r.farFrame(data(5000))
	for at := a; at < b; at += 1000 {
		r.far(at, min(at+1000, b), 0)
	}
	h, _ := r.take()
	if len(h) != 2 || len(h[0].data) != 1460 || len(h[1].data) != 1460 {
		t.Fatalf("delivered %v, want two segments in a window of 3000", h)
	}
	r.pass()
	if p := r.one(ToHost); p.seq != wireSeq || len(p.data) != 1460 {
		t.Errorf("after the timeout: %v", p)
	}
	r.host(&pkt{seq: hostSeq, ack: wireSeq + 1460, win: 0, flags: ACK})
	h, _ = r.take()
	if len(h) != 0 {
		t.Errorf("into a closed window: %v", h)
	}
	r.pass()
	if p := r.one(ToHost); p.seq != wireSeq+1460 || len(p.data) != 1 {
		t.Errorf("probe of a closed window: %v", p)
	}
	r.host(&pkt{seq: hostSeq, ack: wireSeq + 1460, win: 60000, flags: ACK})
	h, _ = r.take()
	var got []byte
	for _, p := range h {
		got = append(got, p.data...)
	}
	if h[0].seq != wireSeq+2920 || !bytes.Equal(got, pattern(3, 5000)[2920:]) {
		t.Errorf("after the window opened: %d bytes from %v", len(got), h[0])
	}
	for range 3 {
		r.host(&pkt{seq: hostSeq, ack: wireSeq + 1460, win: 60000, flags: ACK})
	}
	if p := r.one(ToHost); p.seq != wireSeq+1460 || !bytes.Equal(p.data, pattern(3, 5000)[1460:2920]) {
		t.Errorf("after three duplicates: %v", p)
	}
	r.hostAcks(5000)
	if r.g.rec.Local.Reassembly != 0 || len(r.g.core.large.free) != 16 {
		t.Error("the frame is still held")
	}
}

func TestUndeliverableFrameEndsTheConnection(t *testing.T) {
	r := newRig(t, nil, nil)
	a, b := r.farFrame(data(100))
	r.far(a, a+50, 0)
	r.far(a+50, b, 0)
	for range maxDeliveryTry {
		r.take()
		r.pass()
	}
	r.take()
	r.pass()
	r.aborted(shm.AbortDelivery)
}

func TestFramesBehindAnUnsentOneKeepTheirOrder(t *testing.T) {
	r := newRig(t, nil, func(l *link) { l.serverWin = 100 })
	a, b := r.farFrame(data(150))
	r.far(a, a+50, 0)
	r.far(a+50, b, 0)
	_, c := r.farFrame(data(30))
	r.far(b, c, 0)
	h, _ := r.take()
	if len(h) != 1 || len(h[0].data) != 100 {
		t.Fatalf("delivered %v", h)
	}
	r.hostAcks(100)
	h, _ = r.take()
	if len(h) != 2 || len(h[0].data) != 50 || h[1].seq != wireSeq+150 || len(h[1].data) != 30 {
		t.Errorf("delivered %v", h)
	}
}

func TestSegmentsBehindAHoleAreStoredAndReported(t *testing.T) {
	r := newRig(t, nil, nil)
	a, m := r.farFrame(data(100))
	_, n := r.farFrame(data(100))
	_, o := r.farFrame(data(100))
	_, e := r.farFrame(data(100))
	at := func(w int) uint32 { return wireSeq + uint32(w) }
	r.far(o, e, 0)
	if p := r.one(ToWire); p.ack != at(a) || len(p.sack) != 1 || p.sack[0] != [2]uint32{at(o), at(e)} {
		t.Errorf("sent %v", p)
	}
	r.far(m, n, 0)
	if p := r.one(ToWire); len(p.sack) != 2 || p.sack[0] != [2]uint32{at(m), at(n)} || p.sack[1] != [2]uint32{at(o), at(e)} {
		t.Errorf("sent %v, want the most recent block first", p)
	}
	r.far(a, m, 0)
	h, _ := r.take()
	if len(h) != 2 || h[1].seq != wireSeq+100 {
		t.Errorf("delivered %v", h)
	}
	r.far(n, o, 0)
	h, _ = r.take()
	if len(h) != 2 || h[0].seq != wireSeq+200 || h[1].seq != wireSeq+300 || r.g.rec.Local.OutOfOrder != 0 {
		t.Errorf("delivered %v", h)
	}
}

func TestStoredSegmentsAreWorkedAsTheOutputHasRoom(t *testing.T) {
	r := newRig(t, nil, nil)
	r.g.out = NewOutput(1)
	const n = 90
	var text []byte
	var starts []int
	for i := range n {
		fr := data(10 + i)
		a, _ := r.farFrame(fr)
		starts, text = append(starts, a), append(text, fr.Data...)
	}
	starts = append(starts, len(r.seal.out))
	for i := n - 1; i >= 0; i-- {
		r.far(starts[i], starts[i+1], 0)
		r.toWire = nil
	}
	for r.g.core.Deadline(&r.g.rec) != 0 {
		r.pass()
	}
	var got []byte
	h, _ := r.take()
	for _, p := range h {
		got = append(got, p.data...)
	}
	if !bytes.Equal(got, text) || r.g.rec.Local.OutOfOrder != 0 {
		t.Errorf("%d bytes delivered of %d: %s", len(got), len(text), r.g.state())
	}
	r.count(shm.DropNoOutput, 0)
}

func TestStoredSegmentsAreBounded(t *testing.T) {
	r := newRig(t, func(c *Config) { c.FlowOutOfOrder = 2 }, nil)
	r.farFrame(data(1000))
	for i := range 3 {
		r.far(initLen+100+100*i, initLen+150+100*i, 0)
	}
	r.count(shm.OutOfOrderSegments, 2)
	r.count(shm.DropIngressLimit, 1)
}

func TestSegmentsOutsideOfTheWindowAreDropped(t *testing.T) {
	r := newRig(t, nil, nil)
	a, b := r.farFrame(data(100))
	r.wire(&pkt{seq: wireSeq + 70000, ack: hostSeq + initLen, win: 65535, flags: ACK, data: r.seal.out[a:b]})
	if p := r.one(ToWire); p.ack != wireSeq+uint32(a) {
		t.Errorf("sent %v", p)
	}
	r.count(shm.DropIngressWindow, 1)
}

func TestFrameLostInsideIsDeliveredAgainFromTheWire(t *testing.T) {
	r := newRig(t, nil, nil)
	a, b := r.farFrame(data(100))
	r.far(a, b, 0)
	r.take()
	r.far(a, b, 0)
	if p := r.one(ToHost); p.seq != wireSeq || !bytes.Equal(p.data, pattern(3, 100)) {
		t.Errorf("delivered %v", p)
	}
	r.hostAcks(100)
	r.take()
	r.far(a, b, 0)
	if p := r.one(ToWire); p.ack != wireSeq+uint32(b) {
		t.Errorf("after the host has it: %v", p)
	}
	r.count(shm.RedeliveredFrames, 1)
}

func TestFrameLostInsideIsDeliveredAgainFromPieces(t *testing.T) {
	r := newRig(t, nil, nil)
	a, b := r.farFrame(data(100))
	r.far(a, b, 0)
	r.take()
	for i, want := range []int{a, a + 60} {
		r.far(a, a+60, 0)
		if p := r.one(ToWire); p.ack != wireSeq+uint32(want) {
			t.Errorf("piece %d: sent %v", i, p)
		}
	}
	r.far(a+60, b, 0)
	h, w := r.take()
	if len(h) != 1 || h[0].seq != wireSeq || !bytes.Equal(h[0].data, pattern(3, 100)) || len(w) != 1 || w[0].ack != wireSeq+uint32(b) {
		t.Errorf("delivered %v, acknowledged %v", h, w)
	}
}

func TestFrameOfThePreviousGenerationIsDeliveredAgain(t *testing.T) {
	r := newRig(t, nil, nil)
	a, b := r.farFrame(data(100))
	re := data(50)
	re.Rekey = true
	_, c := r.farFrame(re)
	r.far(a, b, 0)
	r.far(b, c, 0)
	r.take()
	r.far(a, b, 0)
	if p := r.one(ToHost); p.seq != wireSeq || !bytes.Equal(p.data, pattern(3, 100)) {
		t.Errorf("delivered %v", p)
	}
	if r.g.rec.Local.PrevKey == 0 {
		t.Error("the previous key is gone too early")
	}
	r.hostAcks(150)
	if r.g.rec.Local.PrevKey != 0 {
		t.Error("the previous key is kept although every frame of its generation is acknowledged")
	}
}

// spoil returns the bytes with one bit wrong.
func spoil(b []byte, at int) []byte {
	b = bytes.Clone(b)
	b[at] ^= 4
	return b
}

func (r *rig) farSpoiled(from, to, at int) {
	r.wire(&pkt{seq: wireSeq + uint32(from), ack: hostSeq + initLen, win: 65535, flags: ACK, data: spoil(r.seal.out[from:to], at)})
}

func TestUnacknowledgedFrameThatFailsMayComeAgain(t *testing.T) {
	r := newRig(t, nil, nil)
	a, m := r.farFrame(data(100))
	_, b := r.farFrame(data(100))
	for range 2 {
		r.batch = true
		r.farSpoiled(a, m, 50)
		r.far(m, b, 0)
		r.batch = false
		r.flush()
		r.silence()
	}
	r.count(shm.DropIngressAuth, 2)
	r.count(shm.DropIngressBehindFailure, 2)
	r.far(a, m, 0)
	if p := r.one(ToHost); !bytes.Equal(p.data, pattern(3, 100)) {
		t.Errorf("delivered %v", p)
	}
	r.far(m, b, 0)
	r.one(ToHost)
}

func TestFramesThatKeepFailingEndTheConnection(t *testing.T) {
	r := newRig(t, nil, nil)
	a, b := r.farFrame(data(100))
	for range 300 {
		r.farSpoiled(a, b, 120-1)
		r.silence()
	}
	r.w.now += failurePatience
	r.farSpoiled(a, b, 10)
	h, w := r.aborted(shm.AbortAuth)
	if h.seq != wireSeq || w.seq != hostSeq+initLen {
		t.Errorf("RST %v to the host, %v to the wire", h, w)
	}
}

func TestAcknowledgedFrameThatFailsEndsTheConnection(t *testing.T) {
	r := newRig(t, nil, nil)
	a, b := r.farFrame(data(100))
	r.far(a, a+20, 0)
	r.far(a+20, a+50, 0)
	r.one(ToWire)
	r.farSpoiled(a+50, b, 30)
	r.aborted(shm.AbortAuth)
}

func TestFailedRekeyingFrameLeavesTheGeneration(t *testing.T) {
	r := newRig(t, nil, nil)
	re := data(50)
	re.Rekey = true
	a, b := r.farFrame(re)
	r.farSpoiled(a, b, 20)
	r.silence()
	if rec := &r.g.rec; rec.Local.NextKey != 0 || rec.Rare.OpenGen != 0 {
		t.Fatal("the generation changed")
	}
	r.far(a, b, 0)
	h, w := r.take()
	if len(h) != 1 || len(w) != 1 || r.g.rec.Rare.OpenGen != 1 {
		t.Errorf("delivered %v, answered %v", h, w)
	}
}

func TestWireEndWithoutAuthenticatedEndIsAnErrorOfItsOwn(t *testing.T) {
	t.Run("behind a frame", func(t *testing.T) {
		r := newRig(t, nil, nil)
		a, b := r.farFrame(data(100))
		r.far(a, b, 0)
		r.take()
		r.wire(&pkt{seq: wireSeq + uint32(b), ack: hostSeq + initLen, win: 65535, flags: ACK | FIN})
		r.aborted(shm.AbortFinWithoutFinp)
	})
	t.Run("in a frame", func(t *testing.T) {
		r := newRig(t, nil, nil)
		a, _ := r.farFrame(data(100))
		r.far(a, a+50, FIN)
		r.aborted(shm.AbortFinWithoutFinp)
	})
	t.Run("a whole frame that waits for its key is looked at first", func(t *testing.T) {
		r := newRig(t, nil, nil)
		re, fin := data(50), last(50)
		re.Rekey, fin.Rekey = true, true
		_, a := r.farFrame(data(100))
		_, b := r.farFrame(re)
		_, c := r.farFrame(fin)
		r.far(initLen, a, 0)
		r.far(a, b, 0)
		r.far(b, b+10, 0)
		r.far(b+10, c, FIN)
		r.count(shm.AbortFinWithoutFinp, 0)
		r.take()
		r.hostAcks(150)
		r.take()
		r.pass()
		if h, _ := r.take(); len(h) != 1 || h[0].flags&FIN == 0 || !bytes.Equal(h[0].data, pattern(3, 50)) {
			t.Errorf("delivered %v", h)
		}
	})
	t.Run("behind missing bytes it waits", func(t *testing.T) {
		r := newRig(t, nil, nil)
		a, m := r.farFrame(data(100))
		_, b := r.farFrame(last(100))
		r.far(m, b, FIN)
		r.one(ToWire)
		r.far(a, m, 0)
		h, _ := r.take()
		if len(h) != 2 || h[1].flags&FIN == 0 {
			t.Errorf("delivered %v", h)
		}
	})
}

func TestAuthenticatedEndMayComeBeforeTheWiresEnd(t *testing.T) {
	r := newRig(t, nil, nil)
	a, b := r.farFrame(last(100))
	r.far(a, b, 0)
	if p := r.one(ToHost); p.flags&FIN == 0 {
		t.Errorf("delivered %v", p)
	}
	r.hostAcks(101)
	if p := r.one(ToWire); p.ack != wireSeq+uint32(b) {
		t.Errorf("before the FIN: %v", p)
	}
	r.wire(&pkt{seq: wireSeq + uint32(b), ack: hostSeq + initLen, win: 65535, flags: ACK | FIN})
	h, w := r.take()
	if len(h) != 0 || len(w) == 0 || w[len(w)-1].ack != wireSeq+uint32(b)+1 {
		t.Errorf("after the FIN: %v and %v", h, w)
	}
}

func TestFrameBehindTheLastIsNeverDelivered(t *testing.T) {
	for _, burst := range []bool{false, true} {
		r := newRig(t, nil, nil)
		a, m := r.farFrame(last(100))
		_, b := r.farFrame(data(100))
		if burst {
			r.far(a, b, 0)
			h, _ := r.take()
			if len(h) != 2 || h[1].flags&RST == 0 {
				t.Errorf("delivered %v", h)
			}
			r.count(shm.AbortBehindFinp, 1)
			continue
		}
		r.far(a, m, 0)
		r.take()
		r.far(m, b, 0)
		r.silence() // it may be forged
		r.count(shm.DropIngressBehindFinp, 1)
	}
}

func TestMalformedFramesEndTheConnection(t *testing.T) {
	for _, b := range [][]byte{{0, 0, 16, 1, 2, 3}, {0, 0, 0}, {1, 0, 5}} {
		for _, cut := range []int{0, 1} {
			r := newRig(t, nil, nil)
			malformed := func() {
				if cut > 0 {
					r.wire(&pkt{seq: wireSeq + initLen, ack: hostSeq + initLen, win: 65535, flags: ACK, data: b[:cut]})
				}
				r.wire(&pkt{seq: wireSeq + initLen + uint32(cut), ack: hostSeq + initLen, win: 65535, flags: ACK, data: b[cut:]})
			}
			for range 3 - cut {
				malformed()
				r.silence()
			}
			a, e := r.farFrame(data(100))
			r.far(a, e, 0)
			r.one(ToHost) // they were forged
			r.count(shm.DropIngressMalformed, uint64(3-cut))
			r.g.core.Release(testFlow, &r.g.rec)
			r = newRig(t, nil, nil)
			for range 3 {
				malformed()
				r.w.now += failurePatience / 2
			}
			r.aborted(shm.AbortMalformed)
		}
	}
	r := newRig(t, nil, nil)
	key := r.seal.master.Traffic(r.seal.aead, tcpcrypt.AB)
	c, err := key.Cipher()
	if err != nil {
		t.Fatal(err)
	}
	nonce := key.Nonce(initLen)
	frame := []byte{0, 0, 18}
	frame = c.Seal(frame, nonce[:], []byte{tcpcrypt.FlagURG, 0}, frame)
	r.wire(&pkt{seq: wireSeq + initLen, ack: hostSeq + initLen, win: 65535, flags: ACK, data: frame})
	r.aborted(shm.AbortMalformed)
}

func TestMalformedInitEndsTheConnection(t *testing.T) {
	for _, b := range [][]byte{initMessage(tcpcrypt.KindInit2, 80), {0x15, 0x10, 0x1a, 0x0e, 0, 1, 0, 0}, {0x15, 0x10, 0x1a, 0x0e, 0, 0, 0, 7}} {
		core, cache, _, _ := testCore(t, 100, nil)
		g := &gateway{core: core, cache: cache, out: NewOutput(8)}
		l := link{mss: 1460, clientWin: 65535, serverWin: 65535, aead: tcpcrypt.AES128GCM}
		w := newWorld(t, 1)
		g.start(w, &l, false)
		r := &rig{t: t, w: w, g: g}
		g.inside, g.outside = recorder{&r.toHost}, recorder{&r.toWire}
		r.wire(&pkt{seq: 1, ack: 1, win: 65535, flags: ACK, data: b})
		r.aborted(shm.AbortInit)
	}
}

func TestFramesBeforeKeysAreStored(t *testing.T) {
	core, cache, _, batcher := testCore(t, 100, nil)
	g := &gateway{core: core, cache: cache, out: NewOutput(8), batcher: batcher}
	l := link{mss: 1460, clientWin: 65535, serverWin: 65535, aead: tcpcrypt.AES128GCM}
	w := newWorld(t, 1)
	g.start(w, &l, false)
	r := &rig{t: t, w: w, g: g}
	g.inside, g.outside = recorder{&r.toHost}, recorder{&r.toWire}
	s := &sealer{t: t, master: tcpcrypt.MasterKey{1, 2, 3}, aead: l.aead, out: initMessage(tcpcrypt.KindInit1, initLen)}
	s.frame(data(100))
	s.frame(data(1000))
	g.out.Events = g.out.Events[:0]
	seg := func(from, to int) {
		m := cache.Alloc()
		m.Append(hdrPattern)
		m.Append(s.out[from:to])
		core.IngressSegment(testFlow, &g.rec, &Segment{M: m, Off: m.DataOff() + hdrLen, Len: to - from, Seq: 1 + uint32(from), Ack: 1, Win: 65535, Flags: ACK}, w.now, g.out)
	}
	seg(0, 300)
	seg(300, len(s.out))
	if len(g.out.Opens) != 0 {
		t.Fatal("opened without keys")
	}
	r.flush()
	h, _ := r.take()
	if len(h) != 2 || !bytes.Equal(h[0].data, pattern(3, 100)) || !bytes.Equal(h[1].data, pattern(3, 1000)) {
		t.Errorf("delivered %v", h)
	}
}

func TestHostsSelectiveAcknowledgementsCoverWholeFramesOnly(t *testing.T) {
	r := newRig(t, nil, nil)
	var ends []int
	for range 4 {
		a, b := r.farFrame(data(100))
		r.far(a, b, 0)
		ends = append(ends, b)
	}
	r.take()
	at := func(p int) uint32 { return wireSeq + uint32(p) }
	r.host(&pkt{seq: hostSeq, ack: at(0), win: 65535, flags: ACK, sack: [][2]uint32{{at(150), at(400)}}})
	p := r.one(ToWire)
	if len(p.sack) != 1 || p.sack[0] != [2]uint32{at(ends[1]), at(ends[3])} {
		t.Errorf("SACK %v, want frames 3 and 4", p.sack)
	}
}

func TestWindowOfTheHostReachesTheWire(t *testing.T) {
	r := newRig(t, nil, nil)
	a, b := r.farFrame(data(100))
	r.far(a, b, 0)
	r.take()
	ack := func(p int, win uint16) *pkt {
		r.host(&pkt{seq: hostSeq, ack: wireSeq + uint32(p), win: win, flags: ACK})
		return r.one(ToWire)
	}
	if p := ack(100, 500); p.ack != wireSeq+uint32(b) || p.win != 520 {
		t.Errorf("sent %v, want a window of 520: what a frame of 500 takes", p)
	}
	if p := ack(100, 0); p.win != 0 {
		t.Errorf("sent %v, want a closed window", p)
	}
}

func TestKeepAliveOfTheFarEndReachesTheHost(t *testing.T) {
	r := newRig(t, nil, nil)
	a, b := r.farFrame(data(100))
	r.far(a, b, 0)
	r.hostAcks(100)
	r.take()
	r.wire(&pkt{seq: wireSeq + uint32(b) - 1, ack: hostSeq + initLen, win: 65535, flags: ACK})
	if p := r.one(ToHost); p.seq != wireSeq+99 || len(p.data) != 0 {
		t.Errorf("sent %v", p)
	}
	r.hostAcks(100)
	if p := r.one(ToWire); p.ack != wireSeq+uint32(b) {
		t.Errorf("answered %v", p)
	}
}

func TestAcknowledgementOfWhatWasNeverDeliveredIsRefused(t *testing.T) {
	r := newRig(t, nil, nil)
	r.hostAcks(1)
	r.one(ToHost)
	r.count(shm.DropEgressAck, 1)
}

func TestReportsOfRepeatedDataReachTheSenderThatRepeatedIt(t *testing.T) {
	r := newRig(t, nil, nil)
	a, b := r.farFrame(data(100))
	r.far(a, b, 0)
	r.host(&pkt{seq: hostSeq, ack: wireSeq, win: 65535, flags: ACK, data: pattern(1, 100)})
	r.take()
	r.wire(&pkt{seq: wireSeq + uint32(b), ack: hostSeq + initLen + 120, win: 65535, flags: ACK, sack: [][2]uint32{{hostSeq + initLen, hostSeq + initLen + 120}}})
	if p := r.one(ToHost); len(p.sack) != 1 || p.sack[0] != [2]uint32{hostSeq, hostSeq + 100} {
		t.Errorf("to the host: %v", p)
	}
	report := &pkt{seq: hostSeq + 100, ack: wireSeq + 100, win: 65535, flags: ACK, sack: [][2]uint32{{wireSeq, wireSeq + 100}}}
	r.far(a, b, 0)
	r.one(ToHost)
	r.host(report)
	if p := r.one(ToWire); len(p.sack) != 1 || p.sack[0] != [2]uint32{wireSeq + uint32(a), wireSeq + uint32(b)} {
		t.Errorf("to the wire: %v", p)
	}
	a, b = r.farFrame(data(100))
	r.far(a, b, 0)
	r.hostAcks(200)
	r.take()
	report.ack, report.sack[0] = wireSeq+200, [2]uint32{wireSeq + 100, wireSeq + 200} // the far end did not repeat this
	r.host(report)
	r.silence()
	r.count(shm.AbsorbedAcks, 1)
}

func TestDuplicatesAboutFramesThatTheGatewayDeliversStayInside(t *testing.T) {
	r := newRig(t, nil, nil)
	a, b := r.farFrame(data(3000))
	r.far(a, a+1400, 0)
	r.far(a+1400, a+2800, 0)
	r.far(a+2800, b, 0)
	r.take()
	r.host(&pkt{seq: hostSeq, ack: wireSeq, win: 65535, flags: ACK, sack: [][2]uint32{{wireSeq + 1460, wireSeq + 2920}}})
	r.silence()
	r.count(shm.AbsorbedAcks, 1)
}
