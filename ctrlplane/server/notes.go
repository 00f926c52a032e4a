package server

import (
	"errors"
	"time"

	"linecrypt/ctrlplane/connections"
	"linecrypt/ctrlplane/outcome"
	"linecrypt/ctrlplane/policy"
	"linecrypt/ctrlplane/shm"
)

// noteReaders read what the workers of the segment that is being served note of connections that are not encrypted.
type noteReaders struct {
	seg     *shm.Segment
	readers []*outcome.Reader
}

// errAnotherSegment ends what was told of a segment that is not served any more.
var errAnotherSegment = errors.New("another segment is served")

// attach begins with what is noted from now on. The server's lock is held.
func (n *noteReaders) attach(seg *shm.Segment) {
	n.seg = seg
	for i := range seg.Workers() {
		if w := seg.Worker(i); w != nil {
			n.readers = append(n.readers, outcome.NewReader(w.Outcomes))
		}
	}
}

// noteEvents are the events that notes are told as.
var noteEvents = map[outcome.Kind]string{outcome.Plain: "open", outcome.Over: "close", outcome.Refused: "refused"}

// writeNotes writes what was noted since the last time. The error is errAnotherSegment where the segment is not served any more.
func (o *eventWriter) writeNotes(n *noteReaders) error {
	var list []SessionEvent
	var lost uint64
	served := false
	o.s.View(func(seg *shm.Segment) {
		if served = seg == n.seg; !served {
			return
		}
		var rules *policy.Set
		for _, d := range n.readers {
			notes, missed := d.Read()
			lost += missed
			if rules == nil && len(notes) > 0 {
				rules = o.s.responder.Set()
			}
			clock := newWallClock()
			for i := range notes {
				event, known := noteEvents[notes[i].Kind]
				if !known {
					continue
				}
				c := connections.Told(seg.Counters(), rules, &notes[i])
				one := unencrypted(&c, clock)
				list = append(list, SessionEvent{Event: event, Time: clock.at(notes[i].At), Session: &one})
			}
		}
	})
	if !served {
		return errAnotherSegment
	}
	for _, e := range list {
		if err := o.write(e); err != nil {
			return err
		}
	}
	if lost > 0 {
		if err := o.write(SessionEvent{Event: "lost", Time: time.Now(), Lost: lost}); err != nil {
			return err
		}
	}
	if len(list) == 0 && lost == 0 {
		return nil
	}
	return o.flush()
}

// unencrypted is a connection in the clear, or a refused one, in the form in which watchers get it.
func unencrypted(c *connections.Connection, clock wallClock) Session {
	return Session{
		Client: c.Client, Server: c.Server, State: c.State, VLAN: c.VLAN, Auth: c.Auth, Rule: c.Rule, Verdict: c.Verdict,
		Reason: c.Reason, Because: c.Because, Since: clock.at(c.Created),
	}
}

// wallClock tells what time it was at a reading of the monotonic clock.
type wallClock struct {
	wall time.Time
	mono int64
}

func newWallClock() wallClock { return wallClock{wall: time.Now().Round(0), mono: monotonic()} }

func (w wallClock) at(mono int64) time.Time { return w.wall.Add(time.Duration(mono - w.mono)) }
