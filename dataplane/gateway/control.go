package gateway

import (
	"sync/atomic"

	"linecrypt/ctrlplane/policy"
	"linecrypt/ctrlplane/shm"
	"linecrypt/dataplane/handshake"
	"linecrypt/flowtable"
)

// control is what one worker knows of the control plane.
type control struct {
	seg   *shm.Segment
	runs  *atomic.Bool
	views atomic.Pointer[views]
	lost  handshake.Rules // of a connection whose rules nobody has any more
}

// views are the rules in force, and before them those that connections which are being set up may have been decided on by. They do not
// change but for what the worker remembers in them.
type views struct {
	all    [keptSets]*view // the one in force first
	usable bool            // options may be sent
}

// keptSets is how many sets of rules are remembered. A connection is set up by the set that it was decided on by; there are as many
// reloads within the time that takes that it loses it.
const keptSets = 8

// view is a set of rules as a worker uses it.
type view struct {
	set   *policy.Set
	rules []handshake.Rules // by the set's terms
}

func newView(set *policy.Set) *view {
	v := &view{set: set, rules: make([]handshake.Rules, len(set.Terms()))}
	for i := range v.rules {
		v.rules[i].Init(&set.Terms()[i])
	}
	return v
}

// newControl returns a view with the rules that hold until a control plane publishes some.
func newControl(seg *shm.Segment, runs *atomic.Bool, first *policy.Set) *control {
	c := &control{seg: seg, runs: runs}
	c.views.Store(&views{all: [keptSets]*view{newView(first)}})
	c.loseTo(first)
	return c
}

// loseTo makes the rules of connections that have lost theirs: those of the default rule of a set, in its strictest form.
func (c *control) loseTo(set *policy.Set) {
	t := *set.Default()
	c.lost.Init(&t)
	c.lost.Answer.RequireAware = true
}

// put puts a set in force, nil for the one that is.
func (c *control) put(set *policy.Set, usable bool) {
	old := c.views.Load()
	fresh := &views{all: old.all, usable: usable}
	if set != nil {
		copy(fresh.all[1:], old.all[:])
		fresh.all[0] = newView(set)
	}
	c.views.Store(fresh)
}

// Alive goes by the heartbeat. One that is late counts while the lock is held, which ends with the process and is looked at now
// and then: on a loaded machine a process that is well may be late. Without rules, or randomness, no option may be sent (RFC 8547
// section 10), as without a control plane.
func (c *control) Alive(now int64) bool {
	p := c.seg.ControlPlane()
	return c.views.Load().usable && (p.Alive(now, controlFresh) || c.runs.Load() && p.Alive(now, controlAlive))
}

// Aware reports what applications asked for; it stays while the control plane is away.
func (c *control) Aware(addr *[16]byte, port uint16) bool { return c.seg.Aware(addr, port) }

// Fresh is likewise.
func (c *control) Fresh(addr *[16]byte, port uint16) bool { return c.seg.Fresh(addr, port) }

// Decide returns the rules for a new connection.
func (c *control) Decide(k *flowtable.Key, opener flowtable.Side) (*handshake.Rules, flowtable.RuleRef) {
	v := c.views.Load().all[0]
	i := v.set.Classify(k, opener)
	return &v.rules[v.set.TermsOf(i)], v.set.Ref(i)
}

// RulesOf returns the rules of a connection that was decided on before.
func (c *control) RulesOf(ref flowtable.RuleRef) *handshake.Rules {
	for _, v := range c.views.Load().all {
		if v == nil {
			break
		}
		if i, ok := v.set.Find(ref); ok {
			return &v.rules[v.set.TermsOf(i)]
		}
	}
	return &c.lost
}
