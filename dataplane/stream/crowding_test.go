package stream

import (
	"testing"

	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/flowtable"
)

// The segments of one network's far ends that wait behind holes may take most of the places there are. Far ends of others, of whom nothing waits,
// are allowed no less for that.
func TestPlacesThatOneNetworkTakesMakeNoOthersWindowSmaller(t *testing.T) {
	c := newAssemblers(t, nil)
	honest := c.join(1, true)
	s := sealer{t: t, master: tcpcrypt.MasterKey{1}, aead: tcpcrypt.AES128GCM, d: tcpcrypt.AB}
	// window is what a far end may send once its host has acknowledged the next frame.
	window := func(idx flowtable.Index) uint64 {
		r := c.recs[idx-1]
		at := len(s.out)
		s.frame(data(1000))
		c.wire(idx, at, s.out[at:])
		m := c.cache.Alloc()
		m.Append(hdrPattern)
		seg := Segment{M: m, Off: m.DataOff() + hdrLen, Seq: 1, Ack: 1 + uint32(r.Ingress.PNext), Win: 65535, Flags: ACK}
		c.core.EgressSegment(idx, r, &seg, c.now, c.out)
		c.flush()
		return r.Ingress.WEdge - r.Ingress.WAcked
	}
	before := window(honest)
	for range 8 {
		idx := c.join(2, true)
		for i := range 40 {
			c.wire(idx, 100+2*i, []byte{1})
		}
	}
	if q := &c.core.queued; q.used < q.total-q.total/4 {
		t.Fatalf("%d of %d places are taken", q.used, q.total)
	}
	after := before
	for range 40 {
		after = window(honest)
	}
	if after < before {
		t.Errorf("a far end of another network may send %d bytes, not %d", after, before)
	}
}
