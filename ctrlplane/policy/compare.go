package policy

import (
	"fmt"
	"slices"
	"strings"

	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/flowtable"
)

// Weakness is something in which terms protect less than others.
type Weakness struct {
	Key      string // of the configuration
	Old, New string
}

// String returns "key (old -> new)".
func (w Weakness) String() string { return fmt.Sprintf("%s (%s -> %s)", w.Key, w.Old, w.New) }

// Weaker returns in what fresh terms protect less than old ones: a policy that lets more pass in the clear, an application-aware bit or an
// authentication that is not demanded any more, a mismatch that is only told, a key agreement or a cipher that was not agreed to before.
func Weaker(old, fresh *Terms) []Weakness {
	if *old == *fresh || old.Policy == flowtable.Disabled {
		return nil
	}
	var all []Weakness
	note := func(weaker bool, key string, a, b any) {
		if weaker {
			all = append(all, Weakness{key, fmt.Sprint(a), fmt.Sprint(b)})
		}
	}
	note(Strength(fresh.Policy) < Strength(old.Policy), "policy", old.Policy, fresh.Policy)
	note(old.Mandatory && !fresh.Mandatory, "application_aware", "mandatory", "not demanded")
	note(old.Authenticated == AuthDemand && fresh.Authenticated != AuthDemand, "authenticated", "yes", "no")
	note(old.OnMismatch == MismatchReset && fresh.OnMismatch != MismatchReset, "on_mismatch", "reset", "alarm")
	note(Widened(old.TEPs(), fresh.TEPs()), "teps", names[tcpcrypt.TEP](old.TEPs()), names[tcpcrypt.TEP](fresh.TEPs()))
	note(Widened(old.AEADs(), fresh.AEADs()), "aeads", names[tcpcrypt.AEAD](old.AEADs()), names[tcpcrypt.AEAD](fresh.AEADs()))
	return all
}

// names writes choices as the configuration does.
func names[T interface {
	~uint8 | ~uint16
	fmt.Stringer
}, N ~uint8 | ~uint16](list []N) string {
	var all []string
	for _, x := range list {
		all = append(all, T(x).String())
	}
	return strings.Join(all, ", ")
}

// Strength orders policies by what they let pass in the clear.
func Strength(p flowtable.Policy) int {
	switch p {
	case flowtable.Require:
		return 2
	case flowtable.Opportunistic:
		return 1
	}
	return 0
}

// Widened reports whether there is a choice in fresh that was not in old.
func Widened[T comparable](old, fresh []T) bool {
	return slices.ContainsFunc(fresh, func(x T) bool { return !slices.Contains(old, x) })
}

// Overlaps reports whether a connection can fit both.
func (m *Match) Overlaps(o *Match) bool {
	mine, theirs := m.boxes(), o.boxes()
	return slices.ContainsFunc(mine, func(a box) bool {
		return slices.ContainsFunc(theirs, func(b box) bool { return a.overlaps(&b) })
	})
}

// Contains reports whether every connection that fits o fits m. It may say no where it takes several items of a list to hold one of o's.
func (m *Match) Contains(o *Match) bool {
	mine := m.boxes()
	return !slices.ContainsFunc(o.boxes(), func(b box) bool {
		return !slices.ContainsFunc(mine, func(a box) bool { return a.contains(&b) })
	})
}

// Check refuses a match that is out of bounds, or that no connection can fit. The error wraps ErrRule.
func (m *Match) Check() error { return m.check() }
