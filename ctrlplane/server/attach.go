package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"linecrypt/ctrlplane/resumption"
	"linecrypt/ctrlplane/sessiontable"
	"linecrypt/ctrlplane/shm"
)

const (
	forever    = time.Duration(-1)
	retryEvery = 20 * time.Millisecond
)

var errDataPlaneGone = errors.New("its data plane has ended")

// await opens the segment of a data plane that runs. It returns nil, and no error, when ctx is done.
func (s *Server) await(ctx context.Context, wait time.Duration) (*shm.Segment, error) {
	begin := time.Now()
	var seg *shm.Segment
	var said string
	for {
		var err error
		if seg, err = s.open(seg); err == nil {
			return seg, nil
		}
		if text := err.Error(); text != said && !errors.Is(err, fs.ErrNotExist) {
			s.log.Warn("waiting for a data plane", "reason", text)
			said = text
		}
		late := wait != forever && time.Since(begin) >= wait
		select {
		case <-ctx.Done():
			err = nil
		case job := <-s.jobs:
			job()
			continue
		case <-time.After(retryEvery):
			if !late {
				continue
			}
			err = fmt.Errorf("%w within %v: %w", ErrNoDataPlane, wait, err)
		}
		if seg != nil {
			seg.Close()
		}
		return nil, err
	}
}

// open returns the segment, and an error while it is not to be served. A segment whose data plane has ended is kept, for
// another data plane may take it over.
func (s *Server) open(seg *shm.Segment) (*shm.Segment, error) {
	if seg != nil && !seg.Current() {
		seg.Close()
		seg = nil
	}
	if seg == nil {
		var err error
		if seg, err = s.opts.Open(); err != nil {
			return nil, err
		}
	}
	if !seg.DataPlaneRuns() || !seg.Current() {
		return seg, errDataPlaneGone
	}
	return seg, nil
}

// attach begins to serve a segment. The policy is there before the first heartbeat, so that the data plane never sees a
// control plane without one.
func (s *Server) attach(seg *shm.Segment) error {
	var sessions *sessiontable.Table
	if s.opts.OpenSessions != nil {
		var err error
		if sessions, err = s.opts.OpenSessions(seg); err != nil {
			seg.Close()
			return err
		}
	}
	s.continueRules(seg)
	if s.opts.Inherit != nil {
		s.opts.Inherit(seg)
	}
	table, err := seg.Resumption()
	if err != nil {
		s.log.Error("no session is resumed", "error", err)
	}
	secrets := resumption.NewCache(table, s.opts.Lifetime)
	s.responder.SetCache(secrets, monotonic)
	s.mu.Lock()
	s.seg, s.sessions, s.secrets = seg, sessions, secrets
	s.attachAware(seg)
	if sessions != nil {
		sessions.Observe(s.watchers.tell)
	}
	s.mu.Unlock()
	s.lanes = newLanes(seg)
	s.reconcile()
	s.retell()
	s.publishRules(seg)
	now := monotonic()
	seg.Beat(now)
	s.beating = true
	s.tick = ticker{due: now, reconcile: now + reconcileEvery, rules: now + rulesEvery, running: true, epoch: seg.DataPlane().Epoch}
	s.report = newReport(s.log, seg)
	s.events.attached.Add(1)
	s.log.Info("attached to the data plane", "instance", seg.Name(), "pid", seg.DataPlane().PID, "workers", seg.Workers(), "locked", seg.Locked())
	return nil
}

// detach gives segment and session table up. The data plane sees at once that there is no control plane. Keys of one that was killed
// do not outlive the control plane.
func (s *Server) detach() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.beating = false
	s.seg.Beat(0)
	s.views.forget()
	s.responder.SetCache(nil, nil)
	s.keys.Clear()
	s.orders.clear()
	if n := s.peering.Load(); n != nil {
		n.Clear()
		s.verdicts = nil
	}
	s.report.flush(s.seg)
	if s.seg.Current() && !s.seg.DataPlaneRuns() {
		s.forgetKeys()
	}
	for i := range s.lanes {
		s.lanes[i].discard()
	}
	err := s.seg.Close()
	if s.sessions != nil {
		err = errors.Join(err, s.sessions.Close())
	}
	if err != nil {
		s.log.Warn("give the segment up", "error", err)
	}
	s.seg, s.sessions, s.secrets, s.lanes = nil, nil, nil, nil
}
