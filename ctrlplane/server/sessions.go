package server

import (
	"time"

	"linecrypt/ctrlplane/eno"
	"linecrypt/ctrlplane/sessiontable"
	"linecrypt/ctrlplane/shm"
	"linecrypt/flowtable"
)

// publish enters the session ID of a connection whose keys are about to be sent, and returns the entry. A connection works without its
// entry. Known says that a peer will say what it knows of it.
func (s *Server) publish(at int, q *shm.Request, p *shm.Reply, known bool) (*sessiontable.Entry, bool) {
	if s.sessions == nil {
		return nil, false
	}
	own, peer := aware(q.ENOA), aware(q.ENOB)
	if p.Role == eno.B {
		own, peer = peer, own
	}
	e := &sessiontable.Entry{
		Tuple:     q.Tuple,
		Active:    q.Kind == shm.ActiveKeys || q.Kind == shm.ActiveResume,
		Resumed:   p.Resumed,
		Rule:      uint32(q.Rule),
		OwnAware:  own,
		PeerAware: peer,
		ENOA:      sessiontable.MakeENO(q.ENOA),
		ENOB:      sessiontable.MakeENO(q.ENOB),
		Role:      p.Role,
		TEP:       p.TEP,
		AEAD:      p.AEAD,
		SessionID: p.Keys.SessionID,
		Start:     time.Now().UnixNano(),
		Worker:    uint16(at),
		Index:     q.Ref.Index,
		Gen:       q.Ref.Gen,
	}
	if known {
		e.Auth = sessiontable.AuthWaiting
	}
	if s.peering.Load() != nil {
		var old sessiontable.Entry
		if s.sessions.Lookup(&q.Tuple, &old) && old.SessionID != e.SessionID {
			s.forgetSession(&old) // its end has not been heard of
		}
	}
	if s.sessions.Insert(e) != nil {
		s.events.unpublished.Add(1)
		return e, false
	}
	return e, true
}

// aware returns the application-aware bit of an ENO option.
func aware(option []byte) bool {
	o, err := eno.Parse(option)
	return err == nil && o.Aware()
}

// answered reports whether a request for keys was answered before. The data plane asks again when an answer takes long, and
// takes the first one that comes; a second answer of host B's has other keys, and must not replace the published session
// ID. If the first answer was never sent, because a control plane was killed between entry and reply, the flow still waits
// while nothing is in its ring, and the request is not answered.
func (s *Server) answered(at int, q *shm.Request) bool {
	if q.Kind != shm.ActiveKeys && q.Kind != shm.PassiveKeys {
		return false
	}
	var e sessiontable.Entry
	if s.sessions == nil || !s.sessions.Lookup(&q.Tuple, &e) || e.Worker != uint16(at) || e.Index != q.Ref.Index || e.Gen != q.Ref.Gen {
		return false
	}
	l := &s.lanes[at]
	if l.worker.Replies.Used() > 0 {
		return true
	}
	flows := l.flows()
	if flows == nil {
		return false
	}
	r := flows.Get(q.Ref.Index, q.Ref.Gen)
	return r == nil || r.HasKeys() || r.State != flowtable.ActiveKeys && r.State != flowtable.PassiveKeys
}

// unpublish removes the entry of a connection that is over.
func (s *Server) unpublish(at int, q *shm.Request) {
	if s.sessions == nil {
		return
	}
	var e sessiontable.Entry
	found := s.peering.Load() != nil && s.sessions.Lookup(&q.Tuple, &e)
	if s.sessions.Delete(&q.Tuple, uint16(at), q.Ref.Index, q.Ref.Gen) && found {
		s.forgetSession(&e)
	}
}

// reconcile removes entries of connections that ended without word of it: while no control plane was there, or when a ring
// was full.
func (s *Server) reconcile() {
	if s.sessions != nil {
		n := 0
		s.events.reconciled.Add(uint64(s.sessions.Reconcile(func(e *sessiontable.Entry) bool {
			s.beatIn(n)
			n++
			live := s.lives(e)
			if !live {
				s.forgetSession(e)
			}
			return live
		})))
	}
	s.secrets.Prune(s.exists)
}

// lives reports whether an entry's flow is encrypted or about to be. It is taken to live while its table cannot be read.
func (s *Server) lives(e *sessiontable.Entry) bool {
	if int(e.Worker) >= len(s.lanes) {
		return false
	}
	flows := s.lanes[e.Worker].flows()
	if flows == nil {
		return true
	}
	r := flows.Get(e.Index, e.Gen)
	if r == nil || r.Key != e.Tuple {
		return false
	}
	switch r.State {
	case flowtable.ActiveKeys, flowtable.PassiveKeys, flowtable.Encrypted, flowtable.Closing:
		return true
	}
	return false
}
