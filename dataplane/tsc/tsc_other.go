//go:build !amd64

package tsc

import "time"

var start = time.Now()

// Now returns nanoseconds of the monotonic clock, the twin of the counter where there is none.
func Now() uint64 { return uint64(time.Since(start)) }
