package server

import (
	"net/netip"

	"linecrypt/ctrlplane/resumption"
	"linecrypt/ctrlplane/sessiontable"
	"linecrypt/flowtable"
)

// sweepParts is in how many looks, one a heartbeat, all session secrets are looked through.
const sweepParts = 20

// fate tells what became of a connection that has claimed a session secret, as far as the flow table tells.
func (s *Server) fate(f resumption.Flow, h resumption.Handle) resumption.Fate {
	r, known := s.record(f)
	switch {
	case !known:
		return resumption.Pending
	case r == nil:
		return resumption.Failed
	}
	switch r.State {
	case flowtable.Free, flowtable.Plain, flowtable.PlainSyn, flowtable.Closing:
		return resumption.Failed
	case flowtable.Encrypted:
		if r.Setup.Resume != uint32(h) {
			return resumption.Missed
		}
		return resumption.Done
	}
	if r.Setup.Resume != uint32(h) {
		return resumption.Missed
	}
	return resumption.Pending
}

// record returns the record of a connection, nil where it is gone; known is false while that cannot be told.
func (s *Server) record(f resumption.Flow) (r *flowtable.Record, known bool) {
	if int(f.Worker) >= len(s.lanes) {
		return nil, true
	}
	flows := s.lanes[f.Worker].flows()
	if flows == nil {
		return nil, false
	}
	return flows.Get(f.Index, f.Gen), true
}

func (s *Server) exists(f resumption.Flow) bool {
	r, known := s.record(f)
	return !known || r != nil
}

// Resumption is what is kept to resume with.
type Resumption struct {
	Secrets  int `json:"secrets"`
	Capacity int `json:"capacity"`
	Flushed  int `json:"flushed"` // by the call that answers this
}

// Resumption returns how much is kept.
func (s *Server) Resumption() (r Resumption) {
	s.cached(func(c *resumption.Cache) { r = Resumption{Secrets: c.Len(), Capacity: c.Capacity()} })
	return r
}

// FlushResumption forgets all that is kept to resume with.
func (s *Server) FlushResumption() (n int) {
	s.cached(func(c *resumption.Cache) { n = c.FlushAll() })
	return n
}

// FlushPeer forgets what is kept of sessions with hosts of a prefix.
func (s *Server) FlushPeer(p netip.Prefix) (n int) {
	s.cached(func(c *resumption.Cache) { n = c.FlushPeer(p) })
	return n
}

// FlushConnection forgets what was used for a connection's set-up or is kept because of it; false where no such connection is known.
// The ends are given in either order.
func (s *Server) FlushConnection(a, b netip.AddrPort) (n int, known bool) {
	s.cached(func(c *resumption.Cache) {
		if s.sessions == nil {
			return
		}
		for _, k := range []flowtable.Key{
			{Inside: a.Addr().As16(), Outside: b.Addr().As16(), InsidePort: a.Port(), OutsidePort: b.Port()},
			{Inside: b.Addr().As16(), Outside: a.Addr().As16(), InsidePort: b.Port(), OutsidePort: a.Port()},
		} {
			var found [maxVLANs]sessiontable.Entry
			for i := range min(s.sessions.Find(&k, found[:]), len(found)) {
				known = true
				e := &found[i]
				n += c.FlushConnection(resumption.Flow{Worker: e.Worker, Index: e.Index, Gen: e.Gen})
			}
		}
	})
	return n, known
}

// cached calls f with the secrets of the segment that is served, nil where none are kept; without a segment f is not called.
func (s *Server) cached(f func(*resumption.Cache)) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.seg != nil {
		f(s.secrets)
	}
}
