// Package tsc reads the processor's time-stamp counter, the clock of the per-stage cycle counters. Where there is none
// (other architectures than amd64) it counts nanoseconds instead. It does not tell wall time.
package tsc

import "time"

//go:generate sh -c "cd _gen && go run . -out ../tsc_amd64.s -stubs ../tsc_amd64.go -pkg tsc"

// PerSecond measures the counter's rate against the monotonic clock over d; ten milliseconds give four digits.
func PerSecond(d time.Duration) float64 {
	t0, c0 := time.Now(), Now()
	time.Sleep(d)
	c1, t1 := Now(), time.Now()
	return float64(c1-c0) / t1.Sub(t0).Seconds()
}
