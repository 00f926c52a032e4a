package pktgen

import (
	"context"
	"errors"
	"fmt"
	"time"

	"linecrypt/bench/pktgen/ends"
)

// driver moves packets between the ends and the gateway.
type driver interface {
	// open opens all connections. It tells how many are open now and then.
	open(ctx context.Context, tell func(done int)) error
	// trial offers rate packets a second for a time, 0 as many as go, and calls tell every now and then. Where ctx ends it, the sample
	// is of the time that it had.
	trial(ctx context.Context, rate float64, d time.Duration, tell func(s *sample, left time.Duration)) sample
	// settle waits until all that was sent is acknowledged, with repetitions, and reports whether it is.
	settle(ctx context.Context) bool
	// load returns the ends.
	load() *ends.Ends
	// about says how it is driven.
	about() setting
	close() error
}

// setting says under which conditions is measured.
type setting struct {
	mode     string // turns, beside or device
	ports    string
	checksum string
	cores    []int  // of the workers, none where they are in another process
	genCore  int    // of the generator
	engine   string // of both
	note     string // what else is to be known, or ""
}

// errStalled is wrapped by the error about connections that do not come about.
var errStalled = errors.New("connections do not come about")

// stallTime is how long nothing may happen while connections are opened.
const stallTime = 10 * time.Second

// opens watches connections being opened.
type opens struct {
	total int
	last  int
	since time.Time
	told  time.Time
}

// look returns an error when nothing has happened for too long.
func (o *opens) look(e *ends.Ends, left int, tell func(int)) error {
	now := time.Now()
	if left != o.last || o.since.IsZero() {
		o.last, o.since = left, now
	}
	if now.Sub(o.told) >= liveEvery && tell != nil {
		o.told = now
		tell(o.total - left)
	}
	if now.Sub(o.since) < stallTime && e.Wrong == 0 {
		return nil
	}
	return errors.Join(append([]error{fmt.Errorf("%w: %d of %d are open", errStalled, o.total-left, o.total)}, e.Faults()...)...)
}

// stall notices that nothing has happened for too long.
type stall struct {
	last  uint64
	since time.Time
}

// look is told a count that grows while something happens, and reports whether it has not for stallTime.
func (s *stall) look(count uint64) bool {
	if count != s.last || s.since.IsZero() {
		s.last, s.since = count, time.Now()
		return false
	}
	return time.Since(s.since) > stallTime
}
