package resumption

import "sync/atomic"

// Stats counts what a Cache has done since it was made. It may be read at any time.
type Stats struct {
	kept, full, advanced, expired, evicted, flushed atomic.Uint64
}

// Kept is how many secrets were kept for later connections.
func (s *Stats) Kept() uint64 { return s.kept.Load() }

// Full is how many were not, because nothing could go for them.
func (s *Stats) Full() uint64 { return s.full.Load() }

// Advanced is how many were claimed in vain and followed by the next one.
func (s *Stats) Advanced() uint64 { return s.advanced.Load() }

// Expired is how many reached the end of their lifetime.
func (s *Stats) Expired() uint64 { return s.expired.Load() }

// Evicted is how many went for others.
func (s *Stats) Evicted() uint64 { return s.evicted.Load() }

// Flushed is how many were forgotten because somebody wanted so.
func (s *Stats) Flushed() uint64 { return s.flushed.Load() }

// Stats returns the counters; those of a nil Cache are 0.
func (c *Cache) Stats() *Stats {
	if c == nil {
		return new(Stats)
	}
	return &c.stats
}

// Capacity returns how many secrets may be kept.
func (c *Cache) Capacity() int {
	if c == nil {
		return 0
	}
	return c.t.Capacity()
}

// Len returns how many secrets there are, those that connections have claimed included. It looks at all slots.
func (c *Cache) Len() int {
	if c == nil {
		return 0
	}
	n := 0
	for i := range c.t.slots {
		switch statusOf(c.t.slots[i].state.Load()) {
		case ready, claimed, answered:
			n++
		}
	}
	return n
}
