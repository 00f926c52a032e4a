package stream

import (
	"testing"

	"linecrypt/ctrlplane/shm"
)

// filledHole has the far end send eight frames of 1,000 bytes, the first of them last, and returns where each begins on the wire.
func filledHole(r *rig) (at []int) {
	for range 8 {
		from, _ := r.farFrame(data(1000))
		at = append(at, from)
	}
	at = append(at, len(r.seal.out))
	for i := range 7 {
		r.far(at[i+1], at[i+2], 0)
	}
	r.take()
	r.far(at[0], at[1], 0)
	return at
}

func TestWhatFillsAHoleIsAcknowledgedAtOnce(t *testing.T) {
	for _, c := range []struct {
		name string
		acks []int // of the host, in frames
		told []int // of these, what the far end hears
	}{
		{"by a host that acknowledges every second segment", []int{2, 4, 6, 8}, []int{8}},
		{"by one that waits with the last of them", []int{1, 3, 5, 7}, []int{7}},
		{"but for what it says twice", []int{2, 2, 4, 8}, []int{2, 4, 8}},
		{"by one that acknowledges all at once", []int{8}, []int{8}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, nil, nil)
			at := filledHole(r)
			h, _ := r.take()
			if len(h) != 8 {
				t.Fatalf("%d segments for the host", len(h))
			}
			var told []uint32
			for _, frames := range c.acks {
				r.hostAcks(1000 * frames)
				_, w := r.take()
				for _, p := range w {
					told = append(told, p.ack)
				}
			}
			if len(told) != len(c.told) {
				t.Fatalf("the far end hears %d, want what acknowledges %d frames", told, c.told)
			}
			for i, frames := range c.told {
				if told[i] != wireSeq+uint32(at[frames]) {
					t.Errorf("acknowledgement %d is of %d, want the end of frame %d", i, told[i]-wireSeq, frames)
				}
			}
			// Whatever comes next is acknowledged as ever, and on the short way.
			from, to := r.farFrame(data(10))
			r.far(from, to, 0)
			r.hostAcks(8000)
			r.take()
			r.hostAcks(8010)
			if p := r.one(ToWire); p.ack != wireSeq+uint32(to) {
				t.Errorf("behind it: %v", p)
			}
			if !r.g.rec.Local.Common {
				t.Errorf("not in the common state: %s", r.g.state())
			}
		})
	}
}

func TestDataOfTheHostAcknowledgesWhatItHas(t *testing.T) {
	r := newRig(t, nil, nil)
	at := filledHole(r)
	r.take()
	r.hostAcks(2000)
	r.silence()
	r.host(&pkt{seq: hostSeq, ack: wireSeq + 4000, win: 65535, flags: ACK, data: pattern(1, 10)})
	if p := r.one(ToWire); p.ack != wireSeq+uint32(at[4]) {
		t.Errorf("its segment acknowledges %d", p.ack-wireSeq)
	}
	r.count(shm.AbsorbedAcks, 1)
	r.host(&pkt{seq: hostSeq + 10, ack: wireSeq + 8000, win: 65535, flags: ACK, data: pattern(1, 10)})
	if p := r.one(ToWire); p.ack != wireSeq+uint32(at[8]) || !r.g.rec.Local.Common {
		t.Errorf("its segment acknowledges %d: %s", p.ack-wireSeq, r.g.state())
	}
}
