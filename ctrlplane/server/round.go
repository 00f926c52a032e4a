package server

import (
	"time"

	"linecrypt/ctrlplane/responder"
	"linecrypt/ctrlplane/shm"
)

// batchLimit is the most requests of a round, so that a heartbeat is never late, however dear the curve.
const batchLimit = 64

// batch is the requests of one round, of all lanes. Its memory is used again.
type batch struct {
	perLane int
	lanes   []int // of each request
	reqs    []shm.Request
	replies []shm.Reply
	arena   []byte // what the requests point into
}

// round takes requests off all rings and answers them. It reports whether there was anything to do.
func (s *Server) round() bool {
	worked := false
	for i := range s.lanes {
		worked = s.lanes[i].flush() || worked
		if len(s.lanes[i].kept) == 0 {
			worked = s.gather(i) || worked
		}
	}
	b := &s.batch
	if len(b.reqs) == 0 {
		return worked
	}
	begin := time.Now()
	b.replies = append(b.replies[:0], make([]shm.Reply, len(b.reqs))...)
	s.responder.HandleBatch(b.reqs, b.replies)
	for i := range b.reqs {
		s.deliver(b.lanes[i], &b.reqs[i], &b.replies[i])
		s.metrics.ObserveRequest(b.reqs[i].Kind, time.Since(begin))
	}
	b.wipe()
	return true
}

// gather takes requests off one worker's ring and reports whether there were any. They are copied first: the data plane can
// write where they were. A request that is lost if the process is killed behind this is asked again.
func (s *Server) gather(at int) bool {
	l, b := &s.lanes[at], &s.batch
	for n := range b.perLane {
		msg, err := l.requests.Peek()
		if err != nil {
			s.events.damaged.Add(1)
			return true
		}
		if msg == nil {
			return n > 0
		}
		begin := len(b.arena)
		b.arena = append(b.arena, msg...)
		l.requests.Release()
		var q shm.Request
		if q.Decode(b.arena[begin:]) != nil {
			s.responder.Stats().Malformed()
			continue
		}
		if s.duplicate(at, &q) {
			s.events.duplicates.Add(1)
			clear(q.Secret)
			continue
		}
		b.lanes = append(b.lanes, at)
		b.reqs = append(b.reqs, q)
	}
	return true
}

// deliver does what a reply implies and sends it. The session ID is published before the keys go out, so that it is there
// when the application runs.
func (s *Server) deliver(at int, q *shm.Request, p *shm.Reply) {
	switch {
	case q.Kind == shm.Closed:
		s.unpublish(at, q)
		return
	case p.Kind == shm.Keys:
		s.publish(at, q, p)
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

// wipe erases what the batch held of secrets and makes it empty.
func (b *batch) wipe() {
	for i := range b.reqs {
		clear(b.reqs[i].Secret)
	}
	clear(b.arena)
	clear(b.reqs)
	clear(b.replies)
	b.lanes, b.reqs, b.replies, b.arena = b.lanes[:0], b.reqs[:0], b.replies[:0], b.arena[:0]
}
