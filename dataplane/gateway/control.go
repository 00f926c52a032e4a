package gateway

import (
	"slices"
	"sync/atomic"

	"linecrypt/ctrlplane/eno"
	"linecrypt/ctrlplane/policy"
	"linecrypt/ctrlplane/shm"
	"linecrypt/dataplane/handshake"
	"linecrypt/flowtable"
)

// control is what one worker knows of the control plane.
type control struct {
	seg   *shm.Segment
	runs  *atomic.Bool
	read  shm.RulesReader
	seen  uint64
	rules handshake.Rules
	ok    bool // rules were published, and options may be sent by them
}

// newControl returns a view with the policy that holds until a control plane publishes one.
func newControl(seg *shm.Segment, runs *atomic.Bool, fallback flowtable.Policy) *control {
	return &control{seg: seg, runs: runs, read: seg.RulesReader(), rules: handshake.Rules{Policy: fallback, Terms: policy.Terms{Policy: fallback}}}
}

// Alive goes by the heartbeat. One that is late counts while the lock is held, which ends with the process and is looked at now
// and then: on a loaded machine a process that is well may be late. Without rules, or randomness, no option may be sent (RFC 8547
// section 10), as without a control plane.
func (c *control) Alive(now int64) bool {
	p := c.seg.ControlPlane()
	return c.ok && (p.Alive(now, controlFresh) || c.runs.Load() && p.Alive(now, controlAlive))
}

// Aware reports what applications asked for; it stays while the control plane is away.
func (c *control) Aware(addr *[16]byte, port uint16) bool { return c.seg.Aware(addr, port) }

// RulesOf returns the rules of a connection that was decided on before: those of the same kind as long as there is one rule.
func (c *control) RulesOf(flowtable.RuleRef) *handshake.Rules { return c.Rules() }

// Decide returns the rules for a new connection.
func (c *control) Decide(*flowtable.Key, flowtable.Side) (*handshake.Rules, flowtable.RuleRef) {
	return c.Rules(), 0
}

// Rules returns what is in force, which outlives the control plane.
func (c *control) Rules() *handshake.Rules {
	published, ok := c.read.Look()
	if v := c.read.Version(); ok && v != c.seen {
		c.seen, c.ok = v, published.Usable
		c.rules = handshake.Rules{
			Policy: published.Policy, Terms: published.Terms, Offer: slices.Clone(published.Offer()),
			Answer: eno.AnswerRules{
				Prefer: slices.Clone(published.TEPs()), Aware: published.Aware, RequireAware: published.Mandatory,
				Valid: handshake.Resumable,
			},
		}
	}
	return &c.rules
}
