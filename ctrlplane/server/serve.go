package server

import (
	"context"

	"golang.org/x/sys/unix"
)

// Intervals in ns of the monotonic clock.
const (
	beatEvery      = 50_000_000
	reconcileEvery = 30_000_000_000
	rulesEvery     = 1_000_000_000
	reportEvery    = 1_000_000_000
	keepKeys       = 10_000_000_000 // for another data plane to take the connections over
)

// beatPer is for how many sessions a loop goes without a heartbeat.
const beatPer = 4096

// ticker is what is looked at from time to time beside the rings.
type ticker struct {
	due       int64 // of the next heartbeat
	reconcile int64
	rules     int64
	report    int64
	running   bool   // the data plane, when last looked at,
	silent    bool   // and whether it gave no sign of life though it ran
	forget    int64  // when the keys of a data plane that ended are erased, 0 for never
	epoch     uint64 // of the data plane
}

// serve answers requests until ctx is done or the data plane has made another segment.
func (s *Server) serve(ctx context.Context) {
	var idle idler
	done := ctx.Done()
	for {
		select {
		case <-done:
			return
		case job := <-s.jobs:
			job()
		default:
		}
		worked := s.round()
		now := monotonic()
		if now >= s.tick.due {
			s.tick.due = now + beatEvery
			s.seg.Beat(now)
			if !s.seg.Current() {
				s.log.Info("the data plane has ended or has made a new segment; waiting for one")
				return
			}
			s.watch(now, worked)
		}
		if worked {
			idle.reset()
		} else {
			idle.wait(now)
		}
	}
}

// beatIn keeps the heartbeat going in a loop over all sessions, of which this is number n: there may be so many that the loop takes
// longer than the data plane waits for a sign of life, and new connections would go in the clear.
func (s *Server) beatIn(n int) {
	if s.beating && n%beatPer == beatPer-1 {
		s.seg.Beat(monotonic())
	}
}

// watch notices that the data plane ended, that another one took its segment over, and that the session table is due.
func (s *Server) watch(now int64, busy bool) {
	t := &s.tick
	if running := s.seg.DataPlaneRuns(); running != t.running {
		t.running, t.forget = running, 0
		if !running {
			t.forget = now + keepKeys
			s.log.Warn("the data plane has ended; its connections wait for another one")
		}
	}
	if silent := t.running && !s.seg.DataPlaneAnswers(); silent != t.silent {
		if t.silent = silent; silent {
			s.log.Warn("the data plane runs, and gives no sign of life: nothing passes", "pid", s.seg.DataPlane().PID)
		} else if t.running {
			s.log.Info("the data plane gives signs of life again")
		}
	}
	if t.forget != 0 && now >= t.forget {
		t.forget = 0
		s.forgetKeys()
	}
	if epoch := s.seg.DataPlane().Epoch; epoch != t.epoch {
		t.epoch = epoch
		t.reconcile = now
		s.log.Info("another data plane has taken over", "pid", s.seg.DataPlane().PID)
	}
	s.secrets.Sweep(now, sweepParts, s.fate)
	if now >= t.rules {
		t.rules = now + rulesEvery
		s.publishRules(s.seg)
		s.sweepAware()
	}
	if now >= t.report {
		t.report = now + reportEvery
		s.report.look(s.seg, now)
	}
	if now >= t.reconcile && !busy {
		t.reconcile = now + reconcileEvery
		s.reconcile()
		s.retell()
	}
}

// forgetKeys erases the keys that a data plane left when it ended.
func (s *Server) forgetKeys() {
	if err := s.seg.ForgetKeys(); err != nil {
		s.log.Warn("keys of the data plane that ended are left in the segment", "error", err)
		return
	}
	s.log.Info("the keys of the data plane that ended are erased")
}

// monotonic returns CLOCK_MONOTONIC in ns, the clock of heartbeats.
func monotonic() int64 {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return ts.Nano()
}
