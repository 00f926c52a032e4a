package stream

import "testing"

func TestAnOutputHasRoomForWhatItHasSpare(t *testing.T) {
	o := NewOutput(64)
	if o.Spare() < 16 {
		t.Fatalf("room for %d segments in an empty output", o.Spare())
	}
	for o.Spare() > 0 {
		for range o.Spare() { // each takes as much as a segment may
			if !o.Room() {
				t.Fatalf("no room with %d emits, %d seals, %d opens, %d events", len(o.Emits), len(o.Seals), len(o.Opens), len(o.Events))
			}
			o.Emits = o.Emits[:len(o.Emits)+segmentEmits]
			o.Seals, o.Opens = o.Seals[:len(o.Seals)+segmentOps], o.Opens[:len(o.Opens)+segmentOps]
			o.Events = o.Events[:len(o.Events)+8]
		}
	}
}
