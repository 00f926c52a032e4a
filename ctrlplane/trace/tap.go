package trace

// Tap is a worker's end of a region. It neither locks nor allocates.
type Tap struct {
	r    *region
	turn uint64
	on   bool
	f    Filter
	left uint32
}

// NewTap makes the worker's end of a region; of none, one that is never on.
func NewTap(r Region) Tap { return Tap{r: r.mem} }

// Look is called once for each poll, with its time in ns of CLOCK_MONOTONIC, and reports whether anything is to be traced.
func (t *Tap) Look(now int64) bool {
	if t.r == nil {
		return false
	}
	until := t.r.until.Load()
	if until <= now {
		t.on = false
		return false
	}
	if turn := t.r.turn.Load(); turn != t.turn && turn&1 == 0 {
		f := t.r.filter
		if t.r.turn.Load() != turn {
			return t.on
		}
		t.turn, t.f, t.left, t.on = turn, f, f.Packets, true
	}
	return t.on
}

// Fits reports whether a packet is one of those that are traced.
func (t *Tap) Fits(src, dst *[16]byte, srcPort, dstPort uint16) bool {
	return t.on && t.f.Fits(src, dst, srcPort, dstPort)
}

// Take counts a packet that was received, and reports false when it is one too many.
func (t *Tap) Take() bool {
	if t.left == 0 {
		return false
	}
	t.left--
	return true
}

// Write adds an event, in the place of the oldest.
func (t *Tap) Write(e *Event) {
	n := t.r.written.Load()
	s := &t.r.ring[n%Events]
	s.turn.Store(0)
	s.event = *e
	s.turn.Store(n + 1)
	t.r.written.Store(n + 1)
}
