package server

import (
	"bytes"
	"sync/atomic"
	"time"

	"linecrypt/ctrlplane/responder"
	"linecrypt/ctrlplane/shm"
)

const (
	// sliceFor is how long, in ns, a round goes on with requests for keys that wait. It is over at the end of the exchange in which that
	// time passes, so that a heartbeat is late by one exchange at most, however many wait, and a request that comes meanwhile
	// gets its place before the next.
	sliceFor = 1_000_000
	// gatherLimit is the most messages that a round takes off one ring.
	gatherLimit = 256
)

// round takes messages off all rings, answers what is cheap, and then answers requests for keys for a while. It reports whether
// there was anything to do.
func (s *Server) round() bool {
	worked := false
	for i := range s.lanes {
		worked = s.lanes[i].flush() || worked
		if len(s.lanes[i].kept) == 0 {
			worked = s.gather(i) || worked
		}
		if len(s.lanes[i].kept) == 0 { // keys come before an order about them
			worked = s.orders.flush(i, &s.lanes[i]) || worked
		}
	}
	worked = s.judge() || worked
	return s.exchange(monotonic()) || worked
}

// gather takes messages off one worker's ring and reports whether there were any. They are copied first: the data plane can
// write where they were. A request that is lost if the process is killed behind this is asked again.
func (s *Server) gather(at int) bool {
	l := &s.lanes[at]
	for n := range gatherLimit {
		msg, err := l.requests.Peek()
		if err != nil {
			s.events.damaged.Add(1)
			return true
		}
		if msg == nil {
			return n > 0
		}
		s.message = append(s.message[:0], msg...)
		l.requests.Release()
		s.take(at, s.message)
		clear(s.message)
		if len(l.kept) > 0 {
			return true
		}
	}
	return true
}

// take answers the message of a worker at once, or lets it wait for its turn where keys are to be computed.
func (s *Server) take(at int, msg []byte) {
	var q shm.Request
	if q.Decode(msg) != nil {
		s.responder.Stats().Malformed()
		return
	}
	if s.answered(at, &q) {
		s.count(shm.KeysAnswered)
		return
	}
	if work, ok := responder.WorkFor(&q); ok {
		own := bytes.Clone(msg)
		_ = q.Decode(own) // as before
		s.enqueue(at, &q, own, work)
		return
	}
	s.answer(at, &q, time.Now())
}

// answer works a request and sends what results.
func (s *Server) answer(at int, q *shm.Request, since time.Time) {
	var p shm.Reply
	q.Fresh = s.seg.Fresh(&q.Tuple.Inside, q.Tuple.InsidePort)
	s.responder.Handle(q, &p)
	s.logKeys(q, &p)
	s.deliver(at, q, &p)
	s.metrics.ObserveRequest(q.Kind, time.Since(since))
}

// deliver does what a reply implies and sends it. The session ID is published before the keys go out, so that it is there
// when the application runs.
func (s *Server) deliver(at int, q *shm.Request, p *shm.Reply) {
	switch {
	case q.Kind == shm.Closed:
		s.unpublish(at, q)
		return
	case p.Kind == shm.Keys && !s.admit(at, q, p):
		responder.Wipe(p)
		*p = shm.Reply{Kind: shm.Abort, Reason: shm.ReasonUnauthenticated, Ref: q.Ref, Seq: q.Seq}
	}
	l := &s.lanes[at]
	o := noRoom
	if len(l.kept) == 0 {
		o = l.send(p)
	}
	switch o {
	case noRoom:
		l.kept = append(l.kept, *p)
		s.events.kept.Add(1)
		p.Secret = nil // its blob goes on in the kept reply
	case unfit:
		s.events.unfit.Add(1)
	}
	responder.Wipe(p)
}

// count counts for the segment that is served.
func (s *Server) count(c shm.Counter) { atomic.AddUint64(&s.seg.ControlCounters()[c], 1) }
