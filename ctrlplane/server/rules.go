package server

import (
	"errors"
	"time"

	"linecrypt/ctrlplane/policy"
	"linecrypt/ctrlplane/shm"
	"linecrypt/flowtable"
)

// publishRules tells the data plane what to decide on ENO by, where that has changed: the rules, or whether there is randomness.
func (s *Server) publishRules(seg *shm.Segment) {
	s.publishing.Lock()
	defer s.publishing.Unlock()
	var old shm.Rules
	fresh := s.responder.Rules()
	there := seg.Rules(&old)
	if there && old == fresh {
		return
	}
	if !fresh.Usable {
		s.log.Error("the source of randomness does not work; no connection is encrypted until it does")
	}
	if !there || old.Set != fresh.Set {
		if err := seg.PublishRuleSet(s.responder.Set()); err != nil {
			s.log.Error("the data plane goes on by the rules that it has", "error", err)
			return
		}
	}
	if err := seg.PublishRules(&fresh); err != nil {
		s.log.Error("the data plane goes on by the rules that it has", "error", err)
	}
}

// takenWithin is how long a reload waits for the data plane to go by new rules.
const takenWithin = 2 * time.Second

// awaitTaken waits until the data plane goes by the rules that were published last, so that who asked for them finds them in force.
func (s *Server) awaitTaken(seg *shm.Segment) {
	for end := time.Now().Add(takenWithin); seg.RulesTaken() != seg.RulesVersion(); time.Sleep(time.Millisecond) {
		if !seg.Ready() {
			return // the data plane looks at them before it says that it is ready
		}
		if time.Now().After(end) {
			s.log.Warn("the data plane does not go by the new rules yet")
			return
		}
	}
}

// leftRules returns the rules that an earlier control plane left in a segment, nil where there is no set.
func leftRules(seg *shm.Segment) (*shm.Rules, *policy.Set, error) {
	var r shm.Rules
	if !seg.Rules(&r) {
		return nil, nil, nil
	}
	if r.Set == 0 {
		return &r, nil, nil
	}
	set, err := seg.RuleSet(r.Set)
	return &r, set, err
}

// continueRules has the rules in force follow those that the data plane goes by.
func (s *Server) continueRules(seg *shm.Segment) {
	_, set, err := leftRules(seg)
	if err == nil && set != nil {
		err = s.responder.Continue(set)
	}
	if err != nil && !errors.Is(err, shm.ErrNoRuleSet) {
		s.log.Error("the rules of the control plane before this one cannot be used; the names of rules of connections that it met may be wrong", "error", err)
	}
}

// manyNames is how many names there may be before those that no connection has are forgotten.
const manyNames = policy.MaxNames / 4

// namesInUse returns a function that says which names of rules connections have, nil while there are few names.
func (s *Server) namesInUse() func(uint16) bool {
	if set := s.responder.Set(); set == nil || len(set.Slots()) < manyNames {
		return nil
	}
	used := make(map[uint16]bool)
	complete := false
	s.View(func(seg *shm.Segment) {
		complete = true
		for i := range seg.Workers() {
			table, err := seg.Worker(i).Flows()
			if err != nil {
				complete = false
				return
			}
			table.Range(func(_ flowtable.Index, r *flowtable.Record) bool {
				used[r.Rule.Slot()] = true
				return true
			})
		}
	})
	if !complete {
		return nil
	}
	return func(slot uint16) bool { return used[slot] }
}
