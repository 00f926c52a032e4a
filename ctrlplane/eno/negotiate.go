package eno

import (
	"fmt"
	"slices"
)

// Opener says how a host opens the connection (RFC 8547 section 3).
type Opener uint8

// The two openers. In a simultaneous open both hosts are active.
const (
	Active Opener = iota
	Passive
)

// String returns "active" or "passive".
func (o Opener) String() string {
	if o == Active {
		return "active"
	}
	return "passive"
}

// Rules is what a host judges a negotiation by.
type Rules struct {
	Opener       Opener // this host's
	RequireAware bool   // mandatory application-aware mode: the peer must send a = 1 (RFC 8547 section 4.2)
	TEPs         []TEP  // runtime constraint on the TEPs that are valid; nil allows all that both hosts sent

	// Valid is the TEPs' predicate on suboption data: the suboptions of hosts A and B for one TEP, initial byte and data
	// each (RFC 8547 section 4.5 rule 2). With nil no suboption may have data.
	Valid func(a, b []byte) bool
}

// Negotiated is the result of a successful negotiation (RFC 8547 section 4).
type Negotiated struct {
	TEP       TEP       // the negotiated TEP
	Role      Role      // this host's
	A, B      Suboption // the hosts' suboptions for the TEP; B[0] is the byte that begins a tcpcrypt session ID
	PeerAware bool      // the peer's application-aware bit
}

// Negotiate decides, given the SYN-form ENO options that this host sent and received (kind and length bytes included;
// nil where the peer sent none), whether the connection is encrypted and by which TEP: the last valid one in host B's
// option (RFC 8547 section 4.5). It allocates nothing but for a fault of its own. An error that wraps a Reason disables encryption for the connection; any other one is a
// fault in own or in the rules, and disables it as well.
func Negotiate(own, peer []byte, r Rules) (Negotiated, error) {
	var mine, theirs dissected
	if _, bad := mine.parse(own); bad != ReasonNone {
		return Negotiated{}, fmt.Errorf("%w: %v", ErrOwnOption, bad)
	}
	if r.Opener == Passive && mine.role() != B {
		return Negotiated{}, ErrPassiveRole
	}
	if len(peer) == 0 {
		return Negotiated{}, NoOption
	}
	if _, bad := theirs.parse(peer); bad != ReasonNone {
		return Negotiated{}, bad
	}
	if mine.role() == theirs.role() {
		return Negotiated{}, SameRole
	}
	aware := theirs.global&aBit != 0
	if r.RequireAware && !aware {
		return Negotiated{}, NotAware
	}
	if mine.n == 0 || theirs.n == 0 {
		return Negotiated{}, Vacuous
	}
	n := Negotiated{Role: mine.role(), PeerAware: aware}
	bad := ReasonNone
	if n.Role == A {
		bad = n.choose(&mine, &theirs, &r)
	} else {
		bad = n.choose(&theirs, &mine, &r)
	}
	if bad != ReasonNone {
		return Negotiated{}, bad
	}
	return n, nil
}

// choose sets the TEP and its suboptions, or returns the reason of the TEP that came nearest to being valid.
func (n *Negotiated) choose(a, b *dissected, r *Rules) Reason {
	nearest := NoCommonTEP
	for i := b.n - 1; i >= 0; i-- {
		t := b.sub(i).TEP()
		subA, inA := a.find(t)
		subB, inB := b.find(t)
		switch {
		case inA == 0 || r.TEPs != nil && !slices.Contains(r.TEPs, t):
		case inA > 1 || inB > 1:
			// No TEP of RFC 8548 defines what repetition means, so it is never well-defined here.
			nearest = max(nearest, RepeatedTEP)
		case !r.valid(subA, subB):
			nearest = max(nearest, InvalidData)
		default:
			n.TEP, n.A, n.B = t, subA, subB
			return ReasonNone
		}
	}
	return nearest
}

func (r *Rules) valid(a, b Suboption) bool {
	if r.Valid == nil {
		return !a.V() && !b.V()
	}
	return r.Valid(a, b)
}

// AppendTranscript appends the negotiation transcript: host A's option, then host B's, each exactly as in the TCP header
// (RFC 8547 section 4.8). role is this host's.
func AppendTranscript(dst []byte, role Role, own, peer []byte) []byte {
	if role == A {
		return append(append(dst, own...), peer...)
	}
	return append(append(dst, peer...), own...)
}
