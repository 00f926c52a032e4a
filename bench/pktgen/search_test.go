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

func TestARateIsLoweredUntilItGoesForLonger(t *testing.T) {
	for _, tt := range []struct{ capacity, least float64 }{
		{1e6, 1e6}, {1.2e6, 1e6}, {0.99e6, 0.96e6}, {0.9e6, 0.84e6}, {0.5e6, 0.33e6}, {0.1e6, 0.05e6},
	} {
		d := &simulated{capacity: tt.capacity}
		if got := confirm(context.Background(), d, 1e6); got < tt.least || got > min(tt.capacity, 1e6) {
			t.Errorf("a device of %g goes at %g, behind %d trials", tt.capacity, got, d.trials)
		}
	}
	d := &simulated{capacity: -1}
	if got := confirm(context.Background(), d, 1e6); got != 0 || d.trials != confirmations {
		t.Errorf("a dead device goes at %g, behind %d trials", got, d.trials)
	}
	if got := confirm(context.Background(), d, 0); got != 0 || d.trials != confirmations {
		t.Errorf("a rate of 0 is tried, and goes at %g", got)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	d = &simulated{capacity: -1, stop: cancel, stopAt: 2}
	if got := confirm(ctx, d, 1e6); got != 0 || d.trials != 2 {
		t.Errorf("a stopped one goes at %g, behind %d trials", got, d.trials)
	}
}
