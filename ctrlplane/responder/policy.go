package responder

import (
	"errors"
	"fmt"
	"slices"

	"linecrypt/ctrlplane/config"
	"linecrypt/ctrlplane/eno"
	"linecrypt/ctrlplane/tcpcrypt"
)

// ErrPolicy is wrapped by the error about a policy that nothing can be negotiated by.
var ErrPolicy = errors.New("bad policy")

// Policy is what a Responder decides by.
type Policy struct {
	Mode  config.Policy
	Aware config.Awareness // off is a = 0, on is a = 1, mandatory also demands a = 1 of the far end (RFC 8547 section 4.2)
	TEPs  []tcpcrypt.TEP   // in order of preference, not empty
	AEADs []tcpcrypt.AEAD  // in order of preference, not empty
}

// PolicyOf returns the policy of a configuration.
func PolicyOf(c *config.Config) Policy {
	return Policy{Mode: c.Policy, Aware: c.ApplicationAware, TEPs: c.TEPs, AEADs: c.AEADs}
}

// rules is a policy in the form that the handlers use. It does not change once it is made.
type rules struct {
	disabled  bool
	require   bool
	offer     []byte // the active opener's option
	answer    eno.AnswerRules
	mandatory bool
	aeads     []tcpcrypt.AEAD
}

// compile checks the policy and keeps nothing of its slices.
func (p Policy) compile() (*rules, error) {
	if !slices.Contains([]config.Policy{config.Opportunistic, config.Require, config.Disabled}, p.Mode) {
		return nil, fmt.Errorf("mode %q: %w", p.Mode, ErrPolicy)
	}
	if !slices.Contains([]config.Awareness{config.AwareOff, config.AwareOn, config.AwareMandatory}, p.Aware) {
		return nil, fmt.Errorf("application-aware %q: %w", p.Aware, ErrPolicy)
	}
	if len(p.TEPs) == 0 || len(p.AEADs) == 0 {
		return nil, fmt.Errorf("%d teps, %d aeads: %w", len(p.TEPs), len(p.AEADs), ErrPolicy)
	}
	for _, a := range p.AEADs {
		if !a.Valid() {
			return nil, fmt.Errorf("%v: %w: %w", a, tcpcrypt.ErrAEAD, ErrPolicy)
		}
	}
	r := &rules{
		disabled:  p.Mode == config.Disabled,
		require:   p.Mode == config.Require,
		mandatory: p.Aware == config.AwareMandatory,
		aeads:     slices.Clone(p.AEADs),
	}
	aware := p.Aware != config.AwareOff
	r.answer = eno.AnswerRules{Aware: aware, RequireAware: r.mandatory, Valid: valid}
	for _, t := range p.TEPs {
		if !t.Valid() {
			return nil, fmt.Errorf("%v: %w: %w", t, tcpcrypt.ErrTEP, ErrPolicy)
		}
		r.answer.Prefer = append(r.answer.Prefer, eno.TEP(t))
	}
	// The far end decides by its own order, but a reader of a capture expects that of section 4.5: the best last.
	offered := slices.Clone(r.answer.Prefer)
	slices.Reverse(offered)
	var err error
	if r.offer, err = eno.AppendOffer(nil, eno.Offer{Global: eno.Global{Aware: aware}, TEPs: offered}); err != nil {
		return nil, fmt.Errorf("%w: %w", err, ErrPolicy)
	}
	return r, nil
}

// valid is the TEPs' predicate on suboption data; there is no cache of sessions to resume.
func valid(a, b []byte) bool { return tcpcrypt.ValidSuboptions(a, b, nil) }
