package pktgen

import (
	"context"
	"math"
	"testing"
)

// simulated is a device that takes so many packets a second.
type simulated struct {
	capacity float64
	trials   int
	stop     func()
	stopAt   int
}

func (s *simulated) try(_ context.Context, rate float64) bool {
	if s.trials++; s.trials == s.stopAt {
		s.stop()
	}
	return rate <= s.capacity
}

func TestSearchFindsTheCapacityOfADevice(t *testing.T) {
	for _, capacity := range []float64{1e3, 1e5, 1.234e6, 2e6, 1e7} {
		for _, resolution := range []float64{0.1, 0.01, 0.001} {
			d := &simulated{capacity: capacity}
			const most = 2e6
			got := search(context.Background(), d, most, resolution, func(int, int, float64) {})
			want := math.Min(capacity, most)
			if got > want || got < want*(1-resolution) {
				t.Errorf("a device of %g is found to go at %g, with a resolution of %g", capacity, got, resolution)
			}
			if d.trials > 60 {
				t.Errorf("%d trials", d.trials)
			}
		}
	}
}

func TestSearchOfADeadDeviceEnds(t *testing.T) {
	d := &simulated{capacity: -1}
	if got := search(context.Background(), d, 1e6, 0.01, func(int, int, float64) {}); got != 0 {
		t.Errorf("found %g", got)
	}
	if d.trials > 64 {
		t.Errorf("%d trials", d.trials)
	}
}

func TestASearchThatIsStoppedReturnsWhatItKnows(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	d := &simulated{capacity: 1.4e6, stop: cancel, stopAt: 4}
	got := search(ctx, d, 2e6, 1e-6, func(int, int, float64) {})
	if d.trials != 4 || got <= 0 || got > d.capacity {
		t.Errorf("%d trials, found %g", d.trials, got)
	}
}
