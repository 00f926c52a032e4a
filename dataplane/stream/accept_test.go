package stream

import (
	"testing"

	"linecrypt/ctrlplane/shm"
	"linecrypt/flowtable"
)

// stampedRig is a rig whose ends agreed on timestamps; the record knows 1000 of the host and 5000 of the far end.
func stampedRig(t *testing.T) *rig {
	r := newRig(t, nil, func(l *link) { l.flags |= flowtable.FlagTimestamps })
	r.g.rec.Host.TSVal, r.g.rec.Peer.TSVal = 1000, 5000
	return r
}

// exchanged is a rig on which 100 bytes went each way and are acknowledged: the host is at plaintext position 100, the far end at
// wire position initLen+120.
func exchanged(t *testing.T) *rig {
	r := stampedRig(t)
	a, b := r.farFrame(data(100))
	r.far(a, b, 0)
	r.say(0, 0, pattern(1, 100))
	r.wire(&pkt{seq: wireSeq + uint32(b), ack: hostSeq + initLen + 120, win: 65535, flags: ACK})
	r.hostAcks(100)
	r.take()
	return r
}

// forgeries are segments that no receiver believes, as offsets from the exact numbers.
var forgeries = []struct {
	name     string
	seq, ack uint32
	flags    uint8
	ts       uint32 // 0: the latest
	n        int
	inside   shm.Counter // what counts it where it comes from inside, and from the wire
	wire     shm.Counter
	answered bool
}{
	{"RST in the window", 1000, 0, RST, 0, 0, shm.DropEgressRST, shm.DropIngressRST, true},
	{"RST and ACK in the window", 1000, 0, RST | ACK, 0, 0, shm.DropEgressRST, shm.DropIngressRST, true},
	{"RST before what is expected", ^uint32(0), 0, RST, 0, 0, shm.DropEgressRST, shm.DropIngressRST, false},
	{"RST far before", ^uint32(99999), 0, RST, 0, 0, shm.DropEgressRST, shm.DropIngressRST, false},
	{"RST beyond the window", 1 << 20, 0, RST, 0, 0, shm.DropEgressRST, shm.DropIngressRST, false},
	{"SYN with the exact number", 0, 0, SYN, 0, 0, shm.DropEgressSYN, shm.DropIngressSYN, true},
	{"SYN elsewhere", 1 << 30, 0, SYN, 0, 0, shm.DropEgressSYN, shm.DropIngressSYN, true},
	{"SYN-ACK", 1 << 30, 0, SYN | ACK, 0, 0, shm.DropEgressSYN, shm.DropIngressSYN, true},
	{"ACK of what was never sent", 0, 1, ACK, 0, 0, shm.DropEgressAck, shm.DropIngressAck, true},
	{"ACK older than a window", 0, ^uint32(65536), ACK, 0, 0, shm.DropEgressAck, shm.DropIngressAck, true},
	{"data with an ACK older than a window", 0, ^uint32(65536), ACK, 0, 50, shm.DropEgressAck, shm.DropIngressAck, true},
	{"data without ACK", 0, 0, PSH, 0, 50, shm.DropEgressAck, shm.DropIngressAck, true},
	{"FIN with a wrong ACK", 0, 1 << 28, FIN | ACK, 0, 0, shm.DropEgressAck, shm.DropIngressAck, true},
	{"old ACK with a timestamp far ahead", ^uint32(5000000), 0, ACK, 1 << 30, 0, shm.DropEgressOld, shm.DropIngressOld, true},
	{"ACK beyond the window with a timestamp far ahead", 1 << 20, 0, ACK, 1 << 30, 0, shm.DropEgressOutside, shm.DropIngressWindow, true},
	{"data beyond the window", 1 << 20, 0, ACK, 0, 50, shm.DropEgressOutside, shm.DropIngressWindow, true},
	{"ACK with an older timestamp", 0, 0, ACK, ^uint32(0), 0, shm.DropEgressPAWS, shm.DropIngressPAWS, true},
	{"data with a much older timestamp", 0, 0, ACK, ^uint32(1 << 20), 50, shm.DropEgressPAWS, shm.DropIngressPAWS, true},
	{"FIN before what is expected", ^uint32(0), 0, FIN | ACK, 0, 0, shm.DropEgressOld, shm.DropIngressOld, true},
}

func TestNothingIsLearntFromWhatNoReceiverBelieves(t *testing.T) {
	for _, c := range forgeries {
		for _, side := range []flowtable.Side{flowtable.Inside, flowtable.Outside} {
			t.Run(c.name+"/"+side.String(), func(t *testing.T) {
				r := exchanged(t)
				p := &pkt{win: 0, flags: c.flags, data: pattern(7, c.n), ecr: 77}
				why := c.inside
				if side == flowtable.Inside {
					p.seq, p.ack, p.ts = hostSeq+100+c.seq, wireSeq+100+c.ack, 1000+c.ts
				} else {
					p.seq, p.ack, p.ts, why = wireSeq+initLen+120+c.seq, hostSeq+initLen+120+c.ack, 5000+c.ts, c.wire
				}
				before := r.g.rec
				r.feed(int(side), p)
				r.count(why, 1)
				after := r.g.rec
				after.Rare.Challenged = before.Rare.Challenged
				if after != before {
					t.Errorf("the record changed from\n%+v to\n%+v", before, after)
				}
				if r.answer(side) != c.answered {
					t.Errorf("answered: %v", !c.answered)
				}
				if len(r.g.events) > 1 {
					t.Errorf("events %v", r.g.events)
				}
				r.ordinary()
			})
		}
	}
}

// answer reports whether the side got one acknowledgement with the exact numbers and the timestamps that are known; nothing else
// may have been sent.
func (r *rig) answer(side flowtable.Side) bool {
	r.t.Helper()
	h, w := r.take()
	seq, ack, ts := wireSeq+100, uint32(hostSeq+100), uint32(5000)
	if side == flowtable.Outside {
		h, w = w, h
		seq, ack, ts = hostSeq+initLen+120, wireSeq+initLen+120, 1000
	}
	if len(w) > 0 || len(h) > 1 {
		r.t.Fatalf("sent %v, and to the other side %v", h, w)
	}
	if len(h) == 1 && (h[0].seq != seq || h[0].ack != ack || h[0].flags != ACK || h[0].ts != ts || len(h[0].data) > 0) {
		r.t.Errorf("answered %v with timestamp %d", h[0], h[0].ts)
	}
	return len(h) == 1
}

// ordinary fails unless data still goes both ways.
func (r *rig) ordinary() {
	r.t.Helper()
	a, b := r.farFrame(data(10))
	r.wire(&pkt{seq: wireSeq + uint32(a), ack: hostSeq + initLen + 120, win: 65535, flags: ACK, ts: 5001, ecr: 1000, data: r.seal.out[a:b]})
	if p := r.one(ToHost); len(p.data) != 10 || p.ts != 5001 {
		r.t.Errorf("delivered %v with timestamp %d", p, p.ts)
	}
	r.host(&pkt{seq: hostSeq + 100, ack: wireSeq + 110, win: 65535, flags: ACK, ts: 1001, ecr: 5001, data: pattern(2, 10)})
	if p := r.one(ToWire); len(p.data) != 30 || p.ts != 1001 || p.ack != wireSeq+uint32(b) {
		r.t.Errorf("sealed %v with timestamp %d", p, p.ts)
	}
}

func TestChallengesAreRateLimitedBySide(t *testing.T) {
	r := exchanged(t)
	syn := func(side flowtable.Side) (answered bool) {
		p := &pkt{seq: 1, flags: SYN}
		r.feed(int(side), p)
		h, w := r.take()
		return len(h)+len(w) == 1
	}
	for range 20 {
		if got := syn(flowtable.Inside); got != (r.g.core.n[shm.DropEgressSYN] == 1) {
			t.Errorf("SYN %d answered: %v", r.g.core.n[shm.DropEgressSYN], got)
		}
	}
	if !syn(flowtable.Outside) {
		t.Error("one side's limit holds for the other")
	}
	r.count(shm.ChallengesSpared, 19)
	r.w.now += challengeInterval
	if !syn(flowtable.Inside) {
		t.Error("not answered after a while")
	}
}

func TestTimestampsCountAgainAfterAMonthOfSilence(t *testing.T) {
	r := exchanged(t)
	ack := &pkt{seq: wireSeq + initLen + 120, ack: hostSeq + initLen + 120, win: 60000, flags: ACK, ts: 4000}
	r.w.now += 23 * 24 * 3600 * 1e9
	r.wire(ack)
	r.count(shm.DropIngressPAWS, 1)
	r.w.now += 2 * 24 * 3600 * 1e9
	r.wire(ack)
	r.count(shm.DropIngressPAWS, 1)
	if ts := r.g.rec.Peer.TSVal; ts != 4000 {
		t.Errorf("the timestamp is %d", ts)
	}
}

func TestTimestampOfDataBehindAHoleWaitsUntilTheHoleIsFilled(t *testing.T) {
	r := exchanged(t)
	a, m := r.farFrame(data(50))
	_, b := r.farFrame(data(50))
	send := func(from, to int, ts uint32) {
		r.wire(&pkt{seq: wireSeq + uint32(from), ack: hostSeq + initLen + 120, win: 65535, flags: ACK, ts: ts, ecr: 1000, data: r.seal.out[from:to]})
	}
	send(m, b, 6000)
	if p := r.one(ToWire); p.ecr != 5000 {
		t.Errorf("echoed %d while bytes before are missing", p.ecr)
	}
	send(a, m, 5500)
	h, _ := r.take()
	if len(h) != 2 || h[0].ts != 5500 || h[1].ts != 5500 {
		t.Errorf("delivered %v", h)
	}
}

func TestFrameDeliveredAgainHasTheTimestampOfItsRetransmission(t *testing.T) {
	for _, c := range []struct {
		name   string
		behind bool  // another frame follows, which is not sent again
		cuts   []int // where the segments of the retransmission end
	}{
		{"whole", false, []int{120}},
		{"in two segments", false, []int{40, 120}},
		{"whole, with another frame behind it", true, []int{120}},
		{"in two segments, with another frame behind it", true, []int{40, 120}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := exchanged(t)
			a, b := r.farFrame(data(100))
			end := b
			if c.behind {
				_, end = r.farFrame(data(100))
			}
			send := func(at int, ts uint32, data []byte) {
				r.wire(&pkt{seq: wireSeq + uint32(at), ack: hostSeq + initLen + 120, win: 65535, flags: ACK, ts: ts, ecr: 1000, data: data})
			}
			send(a, 6000, r.seal.out[a:b])
			if c.behind {
				send(b, 6001, r.seal.out[b:end])
			}
			r.take()
			// It is lost inside. What is forged in its place tells no time.
			send(a, 1<<30, pattern(9, b-a))
			ts, from := uint32(6200), 0
			for _, to := range c.cuts {
				ts++
				send(a+from, ts, r.seal.out[a+from:a+to])
				from = to
			}
			if h, _ := r.take(); len(h) != 1 || h[0].ts != ts {
				t.Errorf("delivered again %v, want timestamp %d", h, ts)
			}
		})
	}
}

func TestPartOfAFrameThatComesAgainIsAcknowledgedWithItsTimestamp(t *testing.T) {
	r := exchanged(t)
	a, _ := r.farFrame(data(100))
	part := func(ts uint32) *pkt {
		return &pkt{seq: wireSeq + uint32(a), ack: hostSeq + initLen + 120, win: 65535, flags: ACK, ts: ts, ecr: 1000, data: r.seal.out[a : a+40]}
	}
	r.wire(part(6000))
	r.take()
	r.wire(part(6200))
	if p := r.one(ToWire); p.ack != wireSeq+uint32(a)+40 || p.ecr != 6200 {
		t.Errorf("acknowledged %v, echo %d", p, p.ecr)
	}
}

func TestSegmentWithoutTimestampsEchoesNoOthers(t *testing.T) {
	b := newBench(t, 0)
	b.rec.Host.TSVal, b.rec.Peer.TSVal = 11, 22
	m := b.cache.Alloc()
	m.SetBounds(200, hdrLen+100)
	seg := Segment{M: m, Off: 200 + hdrLen, Len: 100, Seq: 1, Ack: 1, Win: 30000, Flags: ACK, TSVal: 333, TSEcr: 444}
	b.core.EgressSegment(1, &b.rec, &seg, b.now, b.out)
	if em := &b.out.Emits[0]; em.TSVal != 11 || em.TSEcr != 22 || em.NewTS {
		t.Errorf("emitted timestamps %d %d", em.TSVal, em.TSEcr)
	}
	b.work()
}

func TestKeepAlivesPassWithoutBeingLearntFrom(t *testing.T) {
	r := exchanged(t)
	before := r.g.rec
	r.wire(&pkt{seq: wireSeq + initLen + 119, ack: hostSeq + initLen + 120, win: 3, flags: ACK, ts: 9000, ecr: 1000})
	if p := r.one(ToHost); p.seq != wireSeq+99 || p.ts != 5000 || p.win != before.Egress.WinTold {
		t.Errorf("to the host: %v", p)
	}
	r.host(&pkt{seq: hostSeq + 99, ack: wireSeq + 100, win: 3, flags: ACK, ts: 9000, ecr: 5000})
	if p := r.one(ToWire); p.seq != hostSeq+initLen+119 || p.ts != 1000 || p.win != before.Ingress.WinTold {
		t.Errorf("to the wire: %v", p)
	}
	if r.g.rec != before {
		t.Errorf("the record changed to %+v", r.g.rec)
	}
}

func TestRepeatedDataIsReportedToItsSender(t *testing.T) {
	r := exchanged(t)
	r.host(&pkt{seq: hostSeq + 20, ack: wireSeq + 100, win: 65535, flags: ACK, ts: 1001, ecr: 5000, data: pattern(1, 80)})
	if p := r.one(ToHost); len(p.sack) != 1 || p.sack[0] != [2]uint32{hostSeq + 20, hostSeq + 100} || p.ecr != 1001 {
		t.Errorf("to the host: %v, echo %d", p, p.ecr)
	}
	r.wire(&pkt{seq: wireSeq + initLen, ack: hostSeq + initLen + 120, win: 65535, flags: ACK, ts: 5001, ecr: 1000, data: r.seal.out[initLen:]})
	if p := r.one(ToWire); len(p.sack) != 1 || p.sack[0] != [2]uint32{wireSeq + initLen, wireSeq + initLen + 120} || p.ecr != 5001 {
		t.Errorf("to the wire: %v, echo %d", p, p.ecr)
	}
	if host, peer := r.g.rec.Host.TSVal, r.g.rec.Peer.TSVal; host != 1000 || peer != 5000 {
		t.Errorf("learnt the timestamps %d and %d", host, peer)
	}
}

func TestAnswerToARetransmissionEchoesItsTimestampWhereTheFirstOneWasLostInside(t *testing.T) {
	for _, lost := range []bool{true, false} {
		r := exchanged(t)
		a, b := r.farFrame(data(100))
		frame := &pkt{seq: wireSeq + uint32(a), ack: hostSeq + initLen + 120, win: 65535, flags: ACK, ts: 6000, ecr: 1000, data: r.seal.out[a:b]}
		answer := &pkt{seq: hostSeq + 100, ack: wireSeq + 200, win: 65535, flags: ACK, ts: 1001, ecr: 6000}
		r.wire(frame)
		again := *frame
		again.ts = 6200
		r.wire(&again)
		r.take()
		want := uint32(6200)
		if !lost {
			r.host(answer) // late
			want = 6000
		}
		report := *answer
		report.ts, report.sack = 1002, [][2]uint32{{wireSeq + 100, wireSeq + 200}}
		r.host(&report)
		if _, w := r.take(); len(w) == 0 || w[0].ack != wireSeq+uint32(b) || w[0].ecr != want {
			t.Errorf("first answer lost %v: %v, want echo %d", lost, w, want)
		}
	}
}
