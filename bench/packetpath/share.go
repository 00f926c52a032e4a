package packetpath

import (
	"time"

	"golang.org/x/sys/unix"
)

// Share returns a function that says how much of the time since then the calling thread had a core, 0 to 1. The goroutine is
// locked to it. Where other processes have taken their part of the core, a figure is no figure.
func Share() func() float64 {
	start, used := time.Now(), threadTime()
	return func() float64 { return min(float64(threadTime()-used)/float64(time.Since(start)), 1) }
}

// threadTime is the time that the calling thread has had, 0 where the kernel does not say.
func threadTime() time.Duration {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts) != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}
