package tsc

import (
	"testing"
	"time"
)

func TestCounterNeverRunsBackwards(t *testing.T) {
	last := Now()
	for range 1_000_000 {
		now := Now()
		if now < last {
			t.Fatalf("counter went from %d to %d", last, now)
		}
		last = now
	}
}

func TestRateIsThatOfAClock(t *testing.T) {
	rate := PerSecond(20 * time.Millisecond)
	if rate < 1e8 || rate > 1e10 {
		t.Fatalf("%.0f ticks a second: not a time-stamp counter", rate)
	}
}

func BenchmarkNow(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		Now()
	}
}
