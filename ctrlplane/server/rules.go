package server

import "linecrypt/ctrlplane/shm"

// publishRules tells the data plane what to decide on ENO by, where that has changed: the terms, or whether there is randomness.
func (s *Server) publishRules(seg *shm.Segment) {
	s.publishing.Lock()
	defer s.publishing.Unlock()
	var old shm.Rules
	fresh := s.responder.Rules()
	if seg.Rules(&old) && old == fresh {
		return
	}
	if !fresh.Usable {
		s.log.Error("the source of randomness does not work; no connection is encrypted until it does")
	}
	if err := seg.PublishRules(&fresh); err != nil {
		s.log.Error("the data plane goes on by the rules that it has", "error", err)
	}
}
