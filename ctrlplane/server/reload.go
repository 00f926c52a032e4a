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
	"linecrypt/ctrlplane/tcpcrypt"
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
	if errs := fresh.Unsaid(s.flags.File(), weakened); len(errs) > 0 {
		return failed(errs...)
	}
	if err := apply(fresh); err != nil {
		return failed(err)
	}
	now, _ := config.Changes(s.current, fresh)
	_, later := config.Changes(s.started, fresh)
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
func (s *settings) inherit(r *shm.Rules) (unsaid []error, weakened []config.Change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	left := published(s.current, r)
	weakened = config.Weakened(left, s.current)
	if unsaid = s.current.Unsaid(s.flags.File(), weakened); len(unsaid) > 0 {
		s.current = left
		return unsaid, nil
	}
	return nil, weakened
}

// published returns a configuration in which what rules decide is as they say.
func published(c *config.Config, r *shm.Rules) *config.Config {
	left := *c
	left.Policy = r.Policy
	switch {
	case r.Mandatory:
		left.ApplicationAware = config.AwareMandatory
	case r.Aware:
		left.ApplicationAware = config.AwareOn
	default:
		left.ApplicationAware = config.AwareOff
	}
	left.Authenticated, left.OnMismatch = r.Authenticated == policy.AuthDemand, config.MismatchAlarm
	if r.OnMismatch == policy.MismatchReset {
		left.OnMismatch = config.MismatchReset
	}
	left.TEPs, left.AEADs = nil, nil
	for _, t := range r.TEPs() {
		left.TEPs = append(left.TEPs, tcpcrypt.TEP(t))
	}
	for _, a := range r.AEADs() {
		left.AEADs = append(left.AEADs, tcpcrypt.AEAD(a))
	}
	return &left
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
	var r shm.Rules
	if !seg.DataPlaneRuns() || !seg.Rules(&r) {
		return nil, errNothingLeft
	}
	c = published(c, &r)
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
		if err := p.logKeysTo(c); err != nil {
			return err
		}
		if err := srv.SetTerms(responder.TermsOf(c)); err != nil {
			return err
		}
		p.level.Set(c.Log.Level)
		return nil
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
	var old shm.Rules
	if !seg.Rules(&old) {
		return
	}
	unsaid, weakened := p.settings.inherit(&old)
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
