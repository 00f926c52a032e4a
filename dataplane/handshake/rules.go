package handshake

import (
	"bytes"

	"linecrypt/ctrlplane/eno"
	"linecrypt/ctrlplane/policy"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/flowtable"
)

// Rules is what a gateway offers and answers by. One worker uses it.
type Rules struct {
	Policy flowtable.Policy
	Terms  policy.Terms    // all that holds for a connection; Policy, Offer and Answer are made of it
	Offer  []byte          // the active opener's whole ENO option; empty: there is none to be sent
	Answer eno.AnswerRules // the passive opener's

	// Many far ends send the same option: what they were answered is remembered, so that an answer costs no memory.
	memo [16]answer
	next int
	room [eno.MaxOption]byte // for an answer while it is made
}

// Init makes the rules of terms.
func (r *Rules) Init(t *policy.Terms) {
	*r = Rules{Policy: t.Policy, Terms: *t}
	r.Offer = r.Terms.Offer()
	r.Answer = eno.AnswerRules{Prefer: r.Terms.TEPs(), Aware: t.Aware, RequireAware: t.Mandatory, Valid: Resumable}
}

// answer is what a SYN's ENO option led to.
type answer struct {
	syn, own flowtable.Option
	cause    Cause
	used     bool
}

// Resumable is the predicate on suboption data (RFC 8547 section 4.5 rule 2) of a gateway that resumes nothing.
func Resumable(a, b []byte) bool { return tcpcrypt.ValidSuboptions(a, b, nil) }

// answerTo returns our answer to a SYN's ENO option, or why there is none.
func (r *Rules) answerTo(syn []byte) (flowtable.Option, Cause) {
	for i := range r.memo {
		if m := &r.memo[i]; m.used && bytes.Equal(m.syn.Bytes(), syn) {
			return m.own, m.cause
		}
	}
	m := &r.memo[r.next]
	r.next = (r.next + 1) % len(r.memo)
	*m = answer{}
	m.used = m.syn.Set(syn)
	option, _, err := eno.Answer(r.room[:0], syn, r.Answer)
	m.cause = causeOf(err)
	if err == nil && !m.own.Set(option) {
		m.cause = NoOptionRoom
	}
	return m.own, m.cause
}
