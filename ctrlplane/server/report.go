package server

import (
	"context"
	"log/slog"
	"math"
	"sync/atomic"

	"linecrypt/ctrlplane/shm"
)

// sayAgain is how long, in ns, a reason that was logged is not logged again, however often it occurs: the next line has the number.
const sayAgain = 5_000_000_000

// reported are the kinds of counters whose growth is logged: what happened to connections that was not their encryption.
var reported = map[shm.Kind]struct {
	level slog.Level
	text  string
}{
	shm.KindPlain:    {slog.LevelInfo, "connections were left in the clear"},
	shm.KindRefusal:  {slog.LevelWarn, "connections were refused"},
	shm.KindAbort:    {slog.LevelWarn, "connections were aborted"},
	shm.KindOverload: {slog.LevelWarn, "a bound was reached"},
}

// report logs every way into plaintext, refusal, abort and bound that was reached, from the counters in the segment: a line a reason
// every few seconds at most. It names no connection.
type report struct {
	log   *slog.Logger
	lines []reportLine
}

// reportLine is one reason.
type reportLine struct {
	counter shm.Counter
	info    shm.Info
	said    uint64 // count that was logged
	next    int64  // when the next line may come
}

// newReport begins with what the segment counts now: that was before this process's time.
func newReport(log *slog.Logger, seg *shm.Segment) *report {
	r := &report{log: log}
	seg.Counters().Range(func(c shm.Counter, info shm.Info) bool {
		if _, ok := reported[info.Kind]; ok {
			r.lines = append(r.lines, reportLine{counter: c, info: info, said: total(seg, c), next: math.MinInt64})
		}
		return true
	})
	return r
}

// look logs what has grown. Now is in ns of the monotonic clock.
func (r *report) look(seg *shm.Segment, now int64) {
	for i := range r.lines {
		l := &r.lines[i]
		if n := total(seg, l.counter); n > l.said && now >= l.next {
			kind := reported[l.info.Kind]
			r.log.Log(context.Background(), kind.level, kind.text, "reason", l.info.Name, "count", n-l.said, "total", n, "meaning", l.info.Help)
			l.said, l.next = n, now+sayAgain
		}
	}
}

// flush logs what has grown since the last lines, at the end.
func (r *report) flush(seg *shm.Segment) { r.look(seg, math.MaxInt64) }

// total returns a counter over all workers, or the control plane's.
func total(seg *shm.Segment, c shm.Counter) uint64 {
	if c.Control() {
		return atomic.LoadUint64(&seg.ControlCounters()[c])
	}
	var n uint64
	for i := range seg.Workers() {
		if w := seg.Worker(i); w != nil {
			n += atomic.LoadUint64(&w.Counters[c])
		}
	}
	return n
}
