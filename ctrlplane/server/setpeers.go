package server

import (
	"errors"
	"slices"

	"linecrypt/ctrlplane/config"
	"linecrypt/ctrlplane/peering/book"
	"linecrypt/ctrlplane/sessiontable"
)

// errEnded means that there is nobody any more to do what was asked.
var errEnded = errors.New("the control plane is ending")

// do has f called by the goroutine of Run, and waits for that.
func (s *Server) do(f func()) error {
	done := make(chan struct{})
	select {
	case s.jobs <- func() { f(); close(done) }:
		<-done
		return nil
	case <-s.ended:
		return errEnded
	}
}

// SetPeers puts the peers of a configuration in force, for the sessions there are too. Where there was no peering, and the configuration
// names a key for it, it begins. With an error, which is one of the configuration's, the old peers stay.
func (s *Server) SetPeers(c *config.Config) error {
	var err error
	return errors.Join(s.do(func() { err = s.setPeers(c) }), err)
}

func (s *Server) setPeers(c *config.Config) error {
	node := s.peering.Load()
	if node == nil {
		node, err := NewPeering(c, s.log)
		if node == nil || err != nil {
			return err
		}
		s.peering.Store(node)
		s.runPeering(node)
		s.retell()
		return nil
	}
	released, err := node.SetPeers(peersOf(c))
	if err != nil {
		return c.Err("peers", err)
	}
	s.release(released)
	s.retell()
	return nil
}

// release does what follows for sessions for which their peer's word does not count any more: nothing is known of them until another
// peer has spoken.
func (s *Server) release(released []book.Session) {
	gone := map[[33]byte]bool{}
	for i := range released {
		gone[released[i].ID] = true
	}
	s.verdicts = slices.DeleteFunc(s.verdicts, func(v book.Verdict) bool { return gone[v.Session.ID] })
	if s.sessions == nil {
		return
	}
	for i := range released {
		r := &released[i]
		s.sessions.SetAuth(&r.Tuple, r.Ref.Worker, r.Ref.Index, r.Ref.Gen, sessiontable.AuthNone)
	}
}
