package eno

import (
	"errors"
	"fmt"
	"slices"
)

// Errors of the functions that build options. They are about what the caller asked for, not about a peer.
var (
	ErrOptionTooLong   = errors.New("eno option too long")
	ErrTEPRange        = errors.New("tep identifier not in 0x20 to 0x7f")
	ErrSuboption       = errors.New("suboption cannot be encoded")
	ErrUnaskedVacuous  = errors.New("vacuous answer to a syn without an eno option")
	ErrPassiveRole     = errors.New("passive opener must have role B")
	ErrOwnOption       = errors.New("own eno option")
	ErrRepeatedInOffer = errors.New("tep identifier given twice")
)

// Global is what a sender chooses in its global suboption (RFC 8547 section 4.2); the reserved bits are zero.
type Global struct {
	Role     Role
	Aware    bool // bit a; off by default
	Explicit bool // send the suboption even where it is 0x00, which is implied otherwise
}

func (g Global) byte() byte {
	b := byte(0)
	if g.Role == B {
		b = bBit
	}
	if g.Aware {
		b |= aBit
	}
	return b
}

// Append appends a SYN-form ENO option with the given suboptions in order, length bytes before all suboptions with data
// but the last (RFC 8547 section 4.4). It refuses what the format cannot express, and an option of more than 40 bytes;
// dst is returned unchanged then.
func Append(dst []byte, g Global, subs ...Suboption) ([]byte, error) {
	start := len(dst)
	out := append(dst, Kind, 0)
	if g.byte() != 0 || g.Explicit {
		out = append(out, g.byte())
	}
	for i, s := range subs {
		if len(s) == 0 || !s.V() && len(s.Data()) > 0 {
			return dst, fmt.Errorf("suboption %d: %w", i, ErrSuboption)
		}
		if s.TEP() < MinTEP {
			return dst, fmt.Errorf("suboption %d: 0x%02x: %w", i, uint8(s.TEP()), ErrTEPRange)
		}
		if n := len(s.Data()); s.V() && i < len(subs)-1 {
			if n == 0 || n > maxCounted {
				return dst, fmt.Errorf("suboption %d: %d bytes of data before the last suboption: %w", i, n, ErrSuboption)
			}
			out = append(out, vBit|byte(n-1))
		}
		out = append(out, s...)
	}
	if n := len(out) - start; n > MaxOption {
		return dst, fmt.Errorf("%d bytes: %w", n, ErrOptionTooLong)
	}
	out[start+1] = byte(len(out) - start)
	return out, nil
}

// Offer is what an active opener puts into its SYN segment.
type Offer struct {
	Global           // Role is A but where a simultaneous open was agreed on (RFC 8547 section 4.2)
	TEPs   []TEP     // offered without data; where the role is B, in order of increasing priority
	Resume Suboption // a suboption with data, for example to resume a session; nil if there is none
}

// AppendOffer appends an active opener's SYN-form ENO option. The suboption with data goes last, where it needs no length
// byte, and in place of its TEP without data. An offer of nothing is a vacuous option, which an active opener may send.
// The same bytes must go into every retransmission (RFC 8547 section 4.6).
func AppendOffer(dst []byte, o Offer) ([]byte, error) {
	subs := make([]Suboption, 0, len(o.TEPs)+1)
	for i, t := range o.TEPs {
		if t < MinTEP || t > MaxTEP {
			return dst, fmt.Errorf("offer of 0x%02x: %w", uint8(t), ErrTEPRange)
		}
		if slices.Contains(o.TEPs[:i], t) {
			return dst, fmt.Errorf("offer of 0x%02x: %w", uint8(t), ErrRepeatedInOffer)
		}
		if len(o.Resume) == 0 || o.Resume.TEP() != t {
			subs = append(subs, Suboption{byte(t)})
		}
	}
	if len(o.Resume) > 0 {
		subs = append(subs, o.Resume)
	}
	return Append(dst, o.Global, subs...)
}

// AnswerRules is what a passive opener answers by.
type AnswerRules struct {
	Prefer       []TEP // enabled TEPs, the most preferred first
	Aware        bool  // bit a of the answer
	RequireAware bool  // mandatory application-aware mode (RFC 8547 section 4.2)

	// Valid is the TEPs' predicate on suboption data: see Rules.
	Valid func(a, b []byte) bool
	// Resume, where not nil, is asked about each suboption with data of an enabled TEP, and returns the suboption to
	// answer it with; such an answer goes before the order of Prefer.
	Resume func(syn Suboption) (answer Suboption, ok bool)
}

// Answer appends a passive opener's SYN-form ENO option to a SYN whose ENO option is syn (nil: none): b = 1 and exactly
// one TEP, which is valid for the connection (RFC 8547 section 4.5). If there is none, the error wraps a Reason, dst is
// returned unchanged, and the SYN-ACK goes without ENO.
func Answer(dst, syn []byte, r AnswerRules) ([]byte, Negotiated, error) {
	if len(syn) == 0 {
		return dst, Negotiated{}, NoOption
	}
	var offered dissected
	if _, bad := offered.parse(syn); bad != ReasonNone {
		return dst, Negotiated{}, bad
	}
	nearest := NoCommonTEP
	for i := range offered.n {
		s := offered.sub(i)
		if r.Resume == nil || !s.V() || !slices.Contains(r.Prefer, s.TEP()) {
			continue
		}
		if answer, ok := r.Resume(s); ok {
			out, n, err := r.answerWith(dst, syn, answer)
			if fits(err, &nearest) {
				return out, n, err
			}
		}
	}
	for _, t := range r.Prefer {
		out, n, err := r.answerWith(dst, syn, identifiers[int(t):int(t)+1:int(t)+1])
		if fits(err, &nearest) {
			return out, n, err
		}
	}
	return dst, Negotiated{}, nearest
}

// answerWith appends the answer with that suboption.
func (r *AnswerRules) answerWith(dst, syn []byte, s Suboption) ([]byte, Negotiated, error) {
	out, err := Append(dst, Global{Role: B, Aware: r.Aware}, s)
	if err != nil {
		return dst, Negotiated{}, fmt.Errorf("answer: %w", err)
	}
	n, err := Negotiate(out[len(dst):], syn, Rules{Opener: Passive, RequireAware: r.RequireAware, Valid: r.Valid, TEPs: r.Prefer})
	if err != nil {
		return dst, Negotiated{}, err
	}
	return out, n, nil
}

// fits reports whether an answer is settled: it is good, or no other TEP's would be better. Of those that are not the reason that came
// nearest is kept.
func fits(err error, nearest *Reason) bool {
	reason := ReasonOf(err)
	if reason < NoCommonTEP {
		return true
	}
	*nearest = max(*nearest, reason)
	return false
}

// identifiers are suboptions without data, by their one byte.
var identifiers = func() (all [256]byte) {
	for i := range all {
		all[i] = byte(i)
	}
	return all
}()

// AppendVacuousAnswer appends a passive opener's option without a TEP identifier, which says that ENO is supported but
// not available. It may only answer a SYN that had an ENO option, whose bytes syn are: several, or an ill-formed one, are
// as none (RFC 8547 sections 4.1, 4.4, 4.6).
func AppendVacuousAnswer(dst, syn []byte, aware bool) ([]byte, error) {
	if _, err := Parse(syn); err != nil {
		return dst, ErrUnaskedVacuous
	}
	return Append(dst, Global{Role: B, Aware: aware})
}
