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

func TestNumbersOfOwnSegmentsAreExact(t *testing.T) {
	r := exchanged(t)
	for side, want := range map[flowtable.Side][2]uint32{
		flowtable.Inside: {wireSeq + 100, hostSeq + 100}, flowtable.Outside: {hostSeq + initLen + 120, wireSeq + initLen + 120},
	} {
		if seq, ack := Numbers(&r.g.rec, side); seq != want[0] || ack != want[1] {
			t.Errorf("to %v: %d %d, want %d", side, seq, ack, want)
		}
		if ends := Exact(&r.g.rec, side); ends != [2]uint32{want[1], want[1]} {
			t.Errorf("from %v: exact are %d", side, ends)
		}
	}
}
