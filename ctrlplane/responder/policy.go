package responder

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"linecrypt/ctrlplane/config"
	"linecrypt/ctrlplane/eno"
	"linecrypt/ctrlplane/policy"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/flowtable"
)

// ErrTerms is wrapped by the error about terms that nothing can be negotiated by.
var ErrTerms = errors.New("bad terms")

// Terms are what a Responder decides by, and what it has the data plane decide by.
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
}

// TermsOf returns the terms of a configuration.
func TermsOf(c *config.Config) Terms {
	t := Terms{
		Policy: c.Policy, Aware: c.ApplicationAware, TEPs: c.TEPs, AEADs: c.AEADs,
		Resume: c.Resume, RekeyFrames: c.Rekey.Frames, RekeyBytes: c.Rekey.Bytes, RekeyTime: c.Rekey.Time,
	}
	if c.Authenticated {
		t.Authenticated = policy.AuthDemand
	}
	if c.OnMismatch == config.MismatchReset {
		t.OnMismatch = policy.MismatchReset
	}
	return t
}

// rules are the terms in the form that the handlers use. It does not change once it is made.
type rules struct {
	policy    flowtable.Policy
	disabled  bool
	require   bool
	offer     []byte    // the active opener's option
	teps      []eno.TEP // in order of preference
	aware     bool
	mandatory bool
	aeads     []tcpcrypt.AEAD
	terms     policy.Terms // in the form in which the data plane decides by them
}

// compile checks the terms and keeps nothing of its slices.
func (t Terms) compile() (*rules, error) {
	if !t.Policy.Valid() {
		return nil, fmt.Errorf("policy %v: %w", t.Policy, ErrTerms)
	}
	if !slices.Contains([]config.Awareness{config.AwareOff, config.AwareOn, config.AwareMandatory}, t.Aware) {
		return nil, fmt.Errorf("application-aware %q: %w", t.Aware, ErrTerms)
	}
	if len(t.TEPs) == 0 || len(t.AEADs) == 0 {
		return nil, fmt.Errorf("%d teps, %d aeads: %w", len(t.TEPs), len(t.AEADs), ErrTerms)
	}
	for _, a := range t.AEADs {
		if !a.Valid() {
			return nil, fmt.Errorf("%v: %w: %w", a, tcpcrypt.ErrAEAD, ErrTerms)
		}
	}
	r := &rules{
		policy:    t.Policy,
		disabled:  t.Policy == flowtable.Disabled,
		require:   t.Policy == flowtable.Require,
		aware:     t.Aware != config.AwareOff,
		mandatory: t.Aware == config.AwareMandatory,
		aeads:     slices.Clone(t.AEADs),
	}
	for _, tep := range t.TEPs {
		if !tep.Valid() {
			return nil, fmt.Errorf("%v: %w: %w", tep, tcpcrypt.ErrTEP, ErrTerms)
		}
		r.teps = append(r.teps, eno.TEP(tep))
	}
	// The far end decides by its own order, but a reader of a capture expects that of section 4.5: the best last.
	offered := slices.Clone(r.teps)
	slices.Reverse(offered)
	var err error
	if r.offer, err = eno.AppendOffer(nil, eno.Offer{Global: eno.Global{Aware: r.aware}, TEPs: offered}); err != nil {
		return nil, fmt.Errorf("%w: %w", err, ErrTerms)
	}
	r.terms = policy.Terms{
		Policy: r.policy, Aware: r.aware, Mandatory: r.mandatory, Resume: t.Resume, Authenticated: t.Authenticated, OnMismatch: t.OnMismatch,
		RekeyFrames: t.RekeyFrames, RekeyBytes: t.RekeyBytes, RekeyTime: int64(t.RekeyTime),
	}
	aeads := make([]uint16, len(r.aeads))
	for i, a := range r.aeads {
		aeads[i] = uint16(a)
	}
	if err := errors.Join(r.terms.SetOffer(r.offer), r.terms.SetTEPs(r.teps), r.terms.SetAEADs(aeads), r.terms.Check()); err != nil {
		return nil, fmt.Errorf("%w: %w", err, ErrTerms)
	}
	return r, nil
}

// valid is the TEPs' predicate on suboption data where a key exchange is to begin.
func valid(a, b []byte) bool { return tcpcrypt.ValidSuboptions(a, b, nil) }
