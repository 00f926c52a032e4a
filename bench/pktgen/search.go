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
