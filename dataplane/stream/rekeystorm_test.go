package stream

import (
	"bytes"
	"testing"

	"linecrypt/flowtable"
)

// A far end may change its keys as often as it likes, by empty frames, and acknowledge none of those that follow it: each of them is kept, in no
// share, until it is acknowledged.
func TestFarEndThatChangesItsKeysAndAcknowledgesNothingHoldsLittle(t *testing.T) {
	r := newRig(t, nil, func(l *link) { l.flags |= flowtable.FlagWScale; l.clientWS, l.serverWS = 10, 10 })
	buffers, rekeys := r.g.cache.Avail(), uint32(200)
	ack := hostSeq + uint32(r.g.rec.Egress.WNext)
	for range rekeys {
		re := data(0)
		re.Rekey = true
		a, b := r.farFrame(re)
		r.wire(&pkt{seq: wireSeq + uint32(a), ack: ack, win: 65535, flags: ACK, data: bytes.Clone(r.seal.out[a:b])})
	}
	if held := buffers - r.g.cache.Avail(); held > minFlight {
		t.Errorf("%d buffers are held", held)
	}
	if n := r.g.rec.Egress.Queue.Count; n > minFlight || n == 0 {
		t.Errorf("%d frames are in flight", n)
	}
	// It is followed to the end as soon as it acknowledges.
	for range rekeys {
		r.wire(&pkt{seq: wireSeq + uint32(len(r.seal.out)), ack: hostSeq + uint32(r.g.rec.Egress.WNext), win: 65535, flags: ACK})
		if d := r.g.core.Deadline(&r.g.rec); d != 0 && d <= r.w.now {
			r.pass()
		}
	}
	if rare := &r.g.rec.Rare; rare.OpenGen != rekeys || rare.SealGen != rekeys {
		t.Errorf("generations %d and %d, want %d", rare.OpenGen, rare.SealGen, rekeys)
	}
	if held := buffers - r.g.cache.Avail(); held != 0 {
		t.Errorf("%d buffers are held at the end", held)
	}
}
