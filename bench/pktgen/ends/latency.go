package ends

import "math/bits"

// Histogram counts latencies in buckets that are no wider than a 32nd of what they hold. The unit is the wires'.
type Histogram struct {
	counts [buckets]uint64
	total  uint64
	most   int64
}

const (
	subBits = 5
	buckets = (64 - subBits) << subBits
)

func bucketOf(v uint64) int {
	if v < 1<<subBits {
		return int(v)
	}
	shift := bits.Len64(v) - 1 - subBits
	return (shift+1)<<subBits + int(v>>shift) - 1<<subBits
}

// lowest returns the smallest value of a bucket.
func lowest(i int) int64 {
	if i < 1<<subBits {
		return int64(i)
	}
	shift := i>>subBits - 1
	return int64(i&(1<<subBits-1)+1<<subBits) << shift
}

// Add counts one; a negative one is counted as 0.
func (h *Histogram) Add(v int64) {
	v = max(v, 0)
	h.counts[bucketOf(uint64(v))]++
	h.total++
	h.most = max(h.most, v)
}

// Quantile returns the value that a share q of all does not exceed, to the width of a bucket, and 0 where there are none.
func (h *Histogram) Quantile(q float64) int64 {
	want := uint64(q*float64(h.total) + 0.5)
	seen := uint64(0)
	for i, c := range h.counts {
		if seen += c; c > 0 && seen >= max(want, 1) {
			return min(lowest(i+1)-1, h.most)
		}
	}
	return h.most
}

// Count returns how many were counted.
func (h *Histogram) Count() uint64 { return h.total }

// Reset forgets all.
func (h *Histogram) Reset() { *h = Histogram{} }

// probes decides whether the segment being sent is one whose latency is measured: of a connection without one on its way, one in eight.
func (e *Ends) probes() bool { return e.rnd.Uint64()&7 == 0 }
