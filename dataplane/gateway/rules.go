package gateway

import (
	"context"
	"errors"
	"sync"
	"time"

	"linecrypt/ctrlplane/policy"
	"linecrypt/ctrlplane/shm"
)

// loader brings what the control plane publishes to the workers: it copies, checks and indexes a set of rules beside the packet path, and
// then swaps it. What makes no sense is told, and the rules that the workers have stay.
type loader struct {
	mu       sync.Mutex
	g        *Gateway
	controls []*control
	reader   shm.RulesReader
	seen     uint64 // version that was looked at last
	set      *policy.Set
	rules    shm.Rules
	bad      uint64
}

// loadEvery is how soon published rules are in force.
const loadEvery = 10 * time.Millisecond

// firstRules are those that hold until a control plane publishes some: what the configuration says.
func (g *Gateway) firstRules() (*policy.Set, error) {
	set, err := g.opt.Config.RuleSet(nil, nil)
	if err != nil {
		return nil, err
	}
	return set.Provisional(), nil
}

// run looks for rules until ctx is done.
func (l *loader) run(ctx context.Context) {
	tick := time.NewTicker(loadEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		l.look()
	}
}

// look brings rules that were published since to the workers.
func (l *loader) look() {
	l.mu.Lock()
	defer l.mu.Unlock()
	version := l.g.seg.RulesVersion()
	if version == l.seen {
		return
	}
	rules, ok := l.reader.Look()
	if !ok || l.reader.Bad() != l.bad {
		l.bad, l.seen = l.reader.Bad(), version
		l.g.opt.Log.Error("the control plane has published rules that make no sense; the old ones stay", "version", version)
		return
	}
	fresh := *rules
	set, err := l.setOf(&fresh)
	if errors.Is(err, shm.ErrNoRuleSet) && l.g.seg.RulesVersion() != version {
		return // there are others by now
	}
	if l.seen = version; err != nil {
		l.g.opt.Log.Error("the control plane has published rules that make no sense; the old ones stay", "version", version, "error", err)
		return
	}
	for _, c := range l.controls {
		c.put(set, fresh.Usable)
	}
	if l.rules = fresh; set != nil {
		l.set = set
	}
	l.g.seg.TakeRules(l.reader.Version())
}

// setOf returns the set that rules name, nil where it is the one that the workers have.
func (l *loader) setOf(r *shm.Rules) (*policy.Set, error) {
	switch {
	case r.Set == 0 && l.set != nil && l.rules.Set == 0 && l.rules.Terms == r.Terms:
		return nil, nil
	case r.Set == 0:
		return policy.New(nil, r.Terms, l.set, nil)
	case l.set != nil && l.rules.Set == r.Set:
		return nil, nil
	}
	return l.g.seg.RuleSet(r.Set)
}
