package responder

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"linecrypt/ctrlplane/config"
	"linecrypt/ctrlplane/policy"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/flowtable"
)

// ErrTerms is wrapped by the error about terms that nothing can be negotiated by.
var ErrTerms = errors.New("bad terms")

// Terms are what a Responder decides by, and what it has the data plane decide by: what holds where no rule does, and the rules.
type Terms struct {
	Policy flowtable.Policy
	Aware  config.Awareness // off is a = 0, on is a = 1, mandatory also demands a = 1 of the far end (RFC 8547 section 4.2)
	TEPs   []tcpcrypt.TEP   // in order of preference, not empty
	AEADs  []tcpcrypt.AEAD  // in order of preference, not empty

	Resume        bool // sessions may be resumed
	Authenticated policy.Authentication
	OnMismatch    policy.OnMismatch
	RekeyFrames   uint64 // 0: as many as the AEAD allows
	RekeyBytes    uint64
	RekeyTime     time.Duration // 0: no bound

	Rules []policy.Rule // in order; the first that fits a connection holds
}

// TermsOf returns the terms of a configuration.
func TermsOf(c *config.Config) Terms {
	s := c.Spec()
	return Terms{
		Policy: c.Policy, Aware: c.ApplicationAware, TEPs: c.TEPs, AEADs: c.AEADs,
		Resume: s.Resume, Authenticated: s.Authenticated, OnMismatch: s.OnMismatch,
		RekeyFrames: c.Rekey.Frames, RekeyBytes: c.Rekey.Bytes, RekeyTime: c.Rekey.Time,
		Rules: c.PolicyRules(),
	}
}

// rules are terms in the form that the handlers use. They do not change once they are made.
type rules struct {
	disabled  bool
	require   bool
	mandatory bool
	aeads     []tcpcrypt.AEAD
	terms     policy.Terms
}

func rulesOf(t *policy.Terms) *rules {
	r := &rules{disabled: t.Policy == flowtable.Disabled, require: t.Policy == flowtable.Require, mandatory: t.Mandatory, terms: *t}
	for _, a := range t.AEADs() {
		r.aeads = append(r.aeads, tcpcrypt.AEAD(a))
	}
	return r
}

// compiled is a set of rules as the handlers use it.
type compiled struct {
	set   *policy.Set
	rules []*rules // by the set's terms
}

func compile(set *policy.Set) *compiled {
	c := &compiled{set: set}
	for i := range set.Terms() {
		c.rules = append(c.rules, rulesOf(&set.Terms()[i]))
	}
	return c
}

// policies are the set in force, and those before it that connections which are being set up may have been decided on by.
type policies []*compiled

// keptSets is how many sets are remembered.
const keptSets = 8

// of returns the rules of a connection, nil where nobody has them any more. Where no set was published, the default rule is meant.
func (p policies) of(ref flowtable.RuleRef) *rules {
	if ref == 0 {
		return p[0].rules[p[0].set.TermsOf(p[0].set.Len()-1)]
	}
	for _, c := range p {
		if i, ok := c.set.Find(ref); ok {
			return c.rules[c.set.TermsOf(i)]
		}
	}
	return nil
}

// set makes a set of the terms, which keeps the names of an earlier one.
func (t *Terms) set(earlier *policy.Set, used func(uint16) bool) (*policy.Set, error) {
	if !slices.Contains([]config.Awareness{config.AwareOff, config.AwareOn, config.AwareMandatory}, t.Aware) {
		return nil, fmt.Errorf("application-aware %q: %w", t.Aware, ErrTerms)
	}
	spec := policy.Spec{
		Policy: t.Policy, Aware: t.Aware != config.AwareOff, Mandatory: t.Aware == config.AwareMandatory, TEPs: t.TEPs, AEADs: t.AEADs,
		Resume: t.Resume, Authenticated: t.Authenticated, OnMismatch: t.OnMismatch,
		RekeyFrames: t.RekeyFrames, RekeyBytes: t.RekeyBytes, RekeyTime: t.RekeyTime,
	}
	def, err := spec.Terms()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, ErrTerms)
	}
	set, err := policy.New(t.Rules, def, earlier, used)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, ErrTerms)
	}
	if _, err := set.Image(); err != nil {
		return nil, fmt.Errorf("%w: %w", err, ErrTerms)
	}
	return set, nil
}

// valid is the TEPs' predicate on suboption data where a key exchange is to begin.
func valid(a, b []byte) bool { return tcpcrypt.ValidSuboptions(a, b, nil) }
