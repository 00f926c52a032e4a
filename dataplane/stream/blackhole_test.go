package stream

import (
	"bytes"
	"testing"

	"linecrypt/ctrlplane/shm"
)

func TestHostThatSendsShorterPiecesAgainHasItsFramesCut(t *testing.T) {
	for _, c := range []struct {
		name  string
		v4    bool
		piece int
		limit int // of payload on the wire from then on
	}{
		{"IPv4", true, 1024, 1024},
		{"IPv4, shorter than any path", true, 300, 512},
		{"IPv6", false, 1300, 1300},
		{"IPv6, shorter than any path", false, 1024, 1220},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, nil, nil)
			if c.v4 {
				copy(r.g.rec.Key.Inside[10:], []byte{0xff, 0xff, 10, 0, 0, 1})
			}
			text := pattern(1, 1400)
			r.say(0, 0, text)
			whole := r.one(ToWire)
			r.say(0, 0, text[:c.piece])
			_, w := r.take()
			var got []byte
			for i, p := range w {
				if len(p.data) > c.limit || i == 0 && len(p.data) != c.limit {
					t.Errorf("piece %d has %d bytes, the limit is %d", i, len(p.data), c.limit)
				}
				got = append(got, p.data...)
			}
			if !bytes.Equal(got, whole.data) {
				t.Error("the pieces are not the frame")
			}
			r.count(shm.BlackHoles, 1)
			if r.g.rec.Rare.CutUntil == 0 {
				t.Error("the sign is heeded for ever")
			}
		})
	}
}

func TestWhatIsNoSignOfASmallerPathCutsNothing(t *testing.T) {
	for name, again := range map[string][2]int{
		"the whole frame": {0, 1400}, "a byte that probes the window": {0, 1}, "the end of a frame": {1000, 1400}, "two frames": {0, 1500},
	} {
		r := newRig(t, nil, nil)
		text := pattern(1, 1500)
		r.say(0, 0, text[:1400])
		r.say(1400, 0, text[1400:])
		r.take()
		r.say(again[0], 0, text[again[0]:again[1]])
		_, w := r.take()
		if len(w) == 0 || len(w[0].data) != 1420 {
			t.Errorf("%s: sent %v", name, w)
		}
		r.count(shm.BlackHoles, 0)
	}
}
