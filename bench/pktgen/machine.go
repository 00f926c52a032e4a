package pktgen

import (
	"sync"
	"time"

	"linecrypt/dataplane/tsc"
)

// tscRate is the rate of the time-stamp counter a second.
var tscRate = sync.OnceValue(func() float64 { return tsc.PerSecond(50 * time.Millisecond) })
