package policy

import (
	"errors"
	"testing"

	"linecrypt/ctrlplane/eno"
	"linecrypt/flowtable"
)

// testTerms returns terms that may be in force.
func testTerms(t testing.TB, p flowtable.Policy) Terms {
	t.Helper()
	r := Terms{
		Policy: p, Aware: true, Mandatory: true, Resume: true, Authenticated: AuthDemand, OnMismatch: MismatchReset,
		RekeyFrames: 1 << 40, RekeyBytes: 3, RekeyTime: 1e9,
	}
	for _, err := range []error{r.SetOffer([]byte{eno.Kind, 4, 0x01, 0x23}), r.SetTEPs([]eno.TEP{0x23, 0x21}), r.SetAEADs([]uint16{1, 0x10})} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func TestTermsSurviveTheWayToAnotherProcess(t *testing.T) {
	plain := testTerms(t, flowtable.Disabled)
	plain.Aware, plain.Mandatory, plain.Resume, plain.Authenticated, plain.OnMismatch, plain.RekeyTime = false, false, false, 0, 0, 0
	for _, want := range []Terms{testTerms(t, flowtable.Require), testTerms(t, flowtable.Opportunistic), plain} {
		var b [TermsSize]byte
		var got Terms
		want.Encode(&b)
		if err := got.Decode(&b); err != nil || got != want {
			t.Errorf("%+v became %+v (%v)", want, got, err)
		}
	}
}

func TestTermsThatNobodyCanNegotiateByAreRefused(t *testing.T) {
	for name, change := range map[string]func(*Terms){
		"no policy":           func(r *Terms) { r.Policy = flowtable.PolicyUnset },
		"unknown policy":      func(r *Terms) { r.Policy = flowtable.NumPolicies },
		"no offer":            func(r *Terms) { r.nOffer = 0 },
		"length of the offer": func(r *Terms) { r.offer[1]++ },
		"no teps":             func(r *Terms) { r.nTEPs = 0 },
		"tep":                 func(r *Terms) { r.teps[1] = 0x11 },
		"no ciphers":          func(r *Terms) { r.nAEADs = 0 },
		"mandatory":           func(r *Terms) { r.Aware = false },
		"authentication":      func(r *Terms) { r.Authenticated = numAuthentications },
		"answer to mismatch":  func(r *Terms) { r.OnMismatch = numMismatches },
		"time":                func(r *Terms) { r.RekeyTime = -1 },
	} {
		r := testTerms(t, flowtable.Require)
		change(&r)
		var b [TermsSize]byte
		r.Encode(&b)
		var got Terms
		if err := r.Check(); !errors.Is(err, ErrTerms) {
			t.Errorf("%s: check says %v", name, err)
		}
		if err := got.Decode(&b); !errors.Is(err, ErrTerms) || got != (Terms{}) {
			t.Errorf("%s: decode says %v, and %+v", name, err, got)
		}
	}
}

func TestChoicesBeyondTheirBoundsAreRefused(t *testing.T) {
	var r Terms
	for name, err := range map[string]error{
		"short offer": r.SetOffer([]byte{69}), "long offer": r.SetOffer(make([]byte, MaxOffer+1)), "no teps": r.SetTEPs(nil),
		"many teps": r.SetTEPs(make([]eno.TEP, MaxChoices+1)), "no ciphers": r.SetAEADs(nil), "many ciphers": r.SetAEADs(make([]uint16, MaxChoices+1)),
	} {
		if !errors.Is(err, ErrTerms) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzDecodeTerms(f *testing.F) {
	good := testTerms(f, flowtable.Require)
	var b [TermsSize]byte
	good.Encode(&b)
	f.Add(b[:])
	f.Fuzz(func(t *testing.T, data []byte) {
		var b, again [TermsSize]byte
		copy(b[:], data)
		var r Terms
		if r.Decode(&b) != nil {
			return
		}
		if r.Check() != nil || len(r.TEPs()) == 0 {
			t.Fatalf("%+v passed", r)
		}
		var same Terms
		if r.Encode(&again); same.Decode(&again) != nil || same != r {
			t.Fatalf("%+v became %+v", r, same)
		}
	})
}
