package policy

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"linecrypt/ctrlplane/eno"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/flowtable"
)

// Spec is terms as a configuration has them.
type Spec struct {
	Policy        flowtable.Policy
	Aware         bool
	Mandatory     bool
	Resume        bool
	Authenticated Authentication
	OnMismatch    OnMismatch
	TEPs          []tcpcrypt.TEP  // in order of preference, not empty
	AEADs         []tcpcrypt.AEAD // likewise
	RekeyFrames   uint64
	RekeyBytes    uint64
	RekeyTime     time.Duration
}

// Terms makes terms, with the ENO option that goes with them. The error wraps ErrTerms.
func (s *Spec) Terms() (Terms, error) {
	t := Terms{
		Policy: s.Policy, Aware: s.Aware, Mandatory: s.Mandatory, Resume: s.Resume, Authenticated: s.Authenticated, OnMismatch: s.OnMismatch,
		RekeyFrames: s.RekeyFrames, RekeyBytes: s.RekeyBytes, RekeyTime: int64(s.RekeyTime),
	}
	var aeads []uint16
	for _, a := range s.AEADs {
		if !a.Valid() {
			return Terms{}, fmt.Errorf("%v: %w: %w", a, tcpcrypt.ErrAEAD, ErrTerms)
		}
		aeads = append(aeads, uint16(a))
	}
	var teps []eno.TEP
	for _, tep := range s.TEPs {
		if !tep.Valid() {
			return Terms{}, fmt.Errorf("%v: %w: %w", tep, tcpcrypt.ErrTEP, ErrTerms)
		}
		teps = append(teps, eno.TEP(tep))
	}
	if err := errors.Join(t.SetTEPs(teps), t.SetAEADs(aeads)); err != nil {
		return Terms{}, err
	}
	// The far end decides by its own order, but a reader of a capture expects that of RFC 8547 section 4.5: the best last.
	offered := slices.Clone(teps)
	slices.Reverse(offered)
	offer, err := eno.AppendOffer(nil, eno.Offer{Global: eno.Global{Aware: s.Aware}, TEPs: offered})
	if err != nil {
		return Terms{}, fmt.Errorf("%w: %w", err, ErrTerms)
	}
	if err := errors.Join(t.SetOffer(offer), t.Check()); err != nil {
		return Terms{}, err
	}
	return t, nil
}
