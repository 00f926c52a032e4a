package server

import (
	"context"
	"errors"
	"slices"
	"sync"

	"linecrypt/ctrlplane/config"
	"linecrypt/ctrlplane/instance"
	"linecrypt/ctrlplane/policy"
	"linecrypt/ctrlplane/responder"
	"linecrypt/ctrlplane/sessiontable"
	"linecrypt/ctrlplane/shm"
)

// settings are the configuration that a process was started with and the one that is in force.
type settings struct {
	flags *config.Flags

	mu      sync.Mutex
	started *config.Config // what needs a restart is as it says
	current *config.Config // in force for new connections
}

// again loads the configuration and puts it in force by apply, unless that would weaken the policy without anybody's word.
func (s *settings) again(apply func(*config.Config) error) config.Reloaded {
	s.mu.Lock()
	defer s.mu.Unlock()
	fresh, err := s.flags.Load()
	if err != nil {
		return failed(err)
	}
	weakened := config.Weakened(s.current, fresh)
	byRule, unsaid := config.RuleChanges(s.current, fresh, s.flags.File())
	if errs := append(fresh.Unsaid(s.flags.File(), weakened), unsaid...); len(errs) > 0 {
		return failed(errs...)
	}
	weakened = append(weakened, byRule...)
	if err := apply(fresh); err != nil {
		return failed(err)
	}
	now, _ := config.Changes(s.current, fresh)
	if s.started.Peering.Key == "" && fresh.Peering.Key != "" { // peering has begun as it says
		begun := *s.started
		begun.Peering.Key, begun.Peering.Listen = fresh.Peering.Key, fresh.Peering.Listen
		s.started = &begun
	}
	_, later := config.Changes(s.started, fresh)
	fresh.KeepPeering(s.started)
	s.current = fresh
	return config.Reloaded{Errors: []string{}, Changed: say(now), Weakened: say(weakened), Restart: say(later)}
}

func failed(errs ...error) config.Reloaded {
	r := config.Reloaded{Errors: []string{}, Changed: []string{}, Weakened: []string{}, Restart: []string{}}
	for _, err := range errs {
		r.Errors = append(r.Errors, err.Error())
	}
	return r
}

func say(changes []config.Change) []string {
	all := []string{}
	for _, c := range changes {
		all = append(all, c.String())
	}
	return all
}

// inherit compares what the process was started with with the rules that an earlier control plane of the same data plane left in
// force. What would weaken them without anybody's word does not come into force: the file may have been edited, or emptied, since.
// It returns the errors that say so, and the keys that are weakened by somebody's word.
func (s *settings) inherit(r *shm.Rules, set *policy.Set) (unsaid []error, weakened []config.Change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	left := s.current.WithPublished(&r.Terms, set)
	weakened = config.Weakened(left, s.current)
	byRule, unsaidRules := config.RuleChanges(left, s.current, s.flags.File())
	unsaid = append(s.current.Unsaid(s.flags.File(), weakened), unsaidRules...)
	if weakened = append(weakened, byRule...); len(unsaid) > 0 {
		s.current = left
		return unsaid, nil
	}
	return nil, weakened
}

// errNothingLeft means that there is no data plane whose control plane has ended.
var errNothingLeft = errors.New("no data plane runs by rules")

// withoutFile returns a configuration to go on with while the file cannot be read: a control plane that is started again behind one that
// crashed must not leave a data plane alone for a mistake in a file. What the flags do not say and the data plane does not know is
// switched off.
func (s *settings) withoutFile() (*config.Config, error) {
	c, err := s.flags.LoadWithoutFile()
	if err != nil {
		return nil, err
	}
	in, err := instance.Find(c.Name)
	if err != nil {
		return nil, err
	}
	dir, ok := in.LeftSegment()
	if !ok {
		return nil, errNothingLeft
	}
	seg, err := shm.Open(dir, c.Name)
	if err != nil {
		return nil, err
	}
	defer seg.Close()
	r, set, err := leftRules(seg)
	if err != nil {
		return nil, err
	}
	if !seg.DataPlaneRuns() || r == nil {
		return nil, errNothingLeft
	}
	c = c.WithPublished(&r.Terms, set)
	if !c.IsSet("metrics.listen") {
		c.Metrics.Listen = ""
	}
	if !c.IsSet("session_table.group") {
		c.SessionTable.Group = sessiontable.GroupOf(in.SessionTablePath())
	}
	return c, nil
}

// terms returns what is in force.
func (s *settings) terms() responder.Terms {
	s.mu.Lock()
	defer s.mu.Unlock()
	return responder.TermsOf(s.current)
}

// reloads loads the configuration again at each SIGHUP.
func (p *process) reloads(ctx context.Context, srv *Server) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.hup:
			p.reload(srv)
		}
	}
}

// reload loads the configuration again and logs what came of it.
func (p *process) reload(srv *Server) config.Reloaded {
	r := p.settings.again(func(c *config.Config) error {
		keys, err := p.openKeyLog(c)
		if err != nil {
			return err
		}
		if err := srv.SetPeers(c); err != nil {
			keys.discard()
			return err
		}
		if err := srv.SetTerms(responder.TermsOf(c)); err != nil {
			keys.discard()
			return err
		}
		p.level.Set(c.Log.Level)
		return p.logKeysTo(keys) // no key is written by a configuration that is not in force
	})
	if len(r.Errors) > 0 {
		srv.events.badReloads.Add(1)
		for _, text := range r.Errors {
			p.log.Error("the configuration is not loaded again; the old policy stays", "error", text)
		}
		return r
	}
	srv.events.reloads.Add(1)
	for _, change := range r.Weakened {
		p.log.Warn("new connections are protected less than before, as the configuration says", "change", change)
	}
	strengthened := slices.DeleteFunc(slices.Clone(r.Changed), func(c string) bool { return slices.Contains(r.Weakened, c) })
	p.log.Info("the configuration is loaded again, for new connections", "changed", strengthened, "policy", p.settings.terms().Policy)
	if len(r.Restart) > 0 {
		p.log.Warn("keys differ that need a restart of the gateway", "keys", r.Restart)
	}
	return r
}

// inherit keeps an earlier control plane's rules in force where the configuration that this one was started with would weaken them
// without anybody's word.
func (p *process) inherit(seg *shm.Segment) {
	old, set, err := leftRules(seg)
	if err != nil {
		p.log.Error("the rules of the control plane before this one cannot be read, and are not compared with the configuration", "error", err)
	}
	if old == nil || err != nil {
		return
	}
	unsaid, weakened := p.settings.inherit(old, set)
	for _, err := range unsaid {
		p.log.Error("the policy of the control plane before this one stays", "error", err)
	}
	for _, c := range weakened {
		p.log.Warn("new connections are protected less than by the control plane before this one, as the configuration says", "change", c.String())
	}
	if len(unsaid) > 0 {
		if err := p.srv.SetTerms(p.settings.terms()); err != nil {
			p.log.Error("the policy of the control plane before this one cannot be used", "error", err)
		}
	}
}
