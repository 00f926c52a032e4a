package responder

import (
	"slices"

	"linecrypt/ctrlplane/eno"
	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
)

// activeOpen answers a host's SYN: all TEPs of the policy, b = 0 (RFC 8547 sections 4.2, 4.3).
func (b *batch) activeOpen() shm.Reply {
	if r := b.mayStart(); r != 0 {
		return b.fall(r)
	}
	return shm.Reply{Kind: shm.Offer, ENO: slices.Clone(b.rules.offer)}
}

// passiveOpen answers the far end's SYN: b = 1 and the one TEP that the policy prefers among the valid ones (section 4.5).
func (b *batch) passiveOpen(q *shm.Request) shm.Reply {
	if r := b.mayStart(); r != 0 {
		return b.fall(r)
	}
	option, _, err := eno.Answer(nil, q.ENOA, b.rules.answer)
	if err != nil {
		return b.fall(reasonOf(err))
	}
	return shm.Reply{Kind: shm.Offer, ENO: option}
}

// activeAnswer judges the far end's SYN-ACK by section 4.6 and begins the key exchange. Up to here encryption is not yet
// enabled, so whatever fails is a fallback.
func (b *batch) activeAnswer(q *shm.Request) shm.Reply {
	if b.rules.disabled {
		return b.fall(PolicyDisabled)
	}
	n, err := eno.Negotiate(q.ENOA, q.ENOB, eno.Rules{Opener: eno.Active, RequireAware: b.rules.mandatory, Valid: valid})
	if err != nil {
		return b.fall(negotiationReason(err))
	}
	if n.Role != eno.A {
		return b.fall(BadRequest)
	}
	tep := tcpcrypt.TEP(n.TEP)
	key, nonce, r := b.ephemeral(tep)
	if r != 0 {
		return b.fall(r)
	}
	defer key.Wipe()
	init1, err := tcpcrypt.Init1{Ciphers: b.rules.aeads, Nonce: nonce, Public: key.Public()}.Append(nil, tep)
	if err != nil {
		return b.fall(reasonOf(err))
	}
	return shm.Reply{Kind: shm.Init1, TEP: n.B[0], Secret: appendSecret(nil, key), Init: init1}
}

// negotiationReason tells a fault in our own option, which only a faulty data plane can cause, from one of the far end's.
func negotiationReason(err error) Reason {
	if r := reasonOf(err); r != Internal {
		return r
	}
	return BadRequest
}
