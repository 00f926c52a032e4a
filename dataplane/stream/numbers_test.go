package stream

import (
	"testing"

	"linecrypt/flowtable"
)

func TestNumbersQuotedByErrorsAreTheSendersAndInFlight(t *testing.T) {
	r := exchanged(t)
	r.host(&pkt{seq: hostSeq + 100, ack: wireSeq + 100, win: 65535, flags: ACK, ts: 1000, ecr: 5000, data: pattern(2, 10)})
	a, b := r.farFrame(data(50))
	r.wire(&pkt{seq: wireSeq + uint32(a), ack: hostSeq + initLen + 120, win: 65535, flags: ACK, ts: 5000, data: r.seal.out[a:b]})
	for _, c := range []struct {
		to        flowtable.Side
		seq, want uint32
		ok        bool
	}{
		{flowtable.Outside, hostSeq + initLen + 120, hostSeq + 100, true},
		{flowtable.Outside, hostSeq + initLen + 149, hostSeq + 100, true},
		{flowtable.Outside, hostSeq + initLen + 150, 0, false},
		{flowtable.Outside, hostSeq + initLen + 119, 0, false},
		{flowtable.Inside, wireSeq + 100, wireSeq + uint32(a), true},
		{flowtable.Inside, wireSeq + 150, 0, false},
		{flowtable.Inside, wireSeq + 99, 0, false},
	} {
		if got, ok := Quoted(&r.g.rec, c.to, c.seq); ok != c.ok || ok && got != c.want {
			t.Errorf("%v %d: %d, %v", c.to, c.seq, got, ok)
		}
	}
}

func TestAcknowledgementsOnRequestAreExact(t *testing.T) {
	r := exchanged(t)
	for _, side := range []flowtable.Side{flowtable.Inside, flowtable.Outside} {
		r.g.core.Acknowledge(testFlow, &r.g.rec, side, r.w.now, r.g.out)
		r.flush()
		if !r.answer(side) {
			t.Errorf("%v got none", side)
		}
		ends := Exact(&r.g.rec, side)
		if want := map[flowtable.Side]uint32{flowtable.Inside: hostSeq + 100, flowtable.Outside: wireSeq + initLen + 120}[side]; ends != [2]uint32{want, want} {
			t.Errorf("%v: exact are %d", side, ends)
		}
	}
}

func TestExactBehindAFINCountsIt(t *testing.T) {
	r := newRig(t, nil, nil)
	fin := uint32(ended10(r))
	if ends := Exact(&r.g.rec, flowtable.Outside); ends != [2]uint32{wireSeq + fin + 1, wireSeq + initLen} {
		t.Errorf("before the host has acknowledged it: %d", ends)
	}
	r.hostAcks(11)
	if ends := Exact(&r.g.rec, flowtable.Outside); ends != [2]uint32{wireSeq + fin + 1, wireSeq + fin + 1} {
		t.Errorf("behind that: %d", ends)
	}
}
