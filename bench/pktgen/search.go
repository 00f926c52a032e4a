package pktgen

import (
	"context"
	"math"
)

// device is what a search asks: whether a rate, in packets a second, goes without more loss than is allowed.
type device interface {
	try(ctx context.Context, rate float64) (ok bool)
}

// leastRate is the share of what a search begins with below which it gives up.
const leastRate = 1e-4

// search looks for the largest rate without loss between 0 and most, by halving the range until it is narrower than a share of the
// rate (RFC 2544 section 26.1). It tells before each trial how many it has done of about how many. Where ctx ends it, the result is
// the largest rate that was found to go.
func search(ctx context.Context, d device, most, resolution float64, tell func(done, about int, rate float64)) float64 {
	low, high := 0.0, most
	about := int(math.Ceil(math.Log2(1/resolution))) + 1
	for done := 0; ctx.Err() == nil; done++ {
		rate := (low + high) / 2
		if done == 0 {
			rate = most // it may go as it is
		}
		tell(done, max(about, done+1), rate)
		switch ok := d.try(ctx, rate); {
		case ctx.Err() != nil:
		case ok:
			low = rate
		default:
			high = rate
		}
		if low >= most || high-low <= resolution*high || high < most*leastRate {
			break
		}
	}
	return low
}

// A rate that does not go for longer is lowered by a share of it that grows: a trial that is just too high is soon one that goes, and a
// machine that has become much slower since the search is caught up with.
const (
	confirmations  = 10
	confirmStep    = 0.03
	confirmGrowth  = 1.5
	confirmStepMax = 0.5
)

// confirm returns the largest rate that goes for longer of some, the first of which is what a search has found (RFC 2544 section 24): 0
// where none does, or where ctx ends it.
func confirm(ctx context.Context, d device, rate float64) float64 {
	step := confirmStep
	for range confirmations {
		if ctx.Err() != nil || rate == 0 {
			return 0
		}
		if d.try(ctx, rate) {
			return rate
		}
		rate *= 1 - step
		step = min(confirmGrowth*step, confirmStepMax)
	}
	return 0
}
