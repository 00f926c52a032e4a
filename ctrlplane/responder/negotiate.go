package responder

import (
	"linecrypt/ctrlplane/eno"
	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
)

// activeAnswer goes by RFC 8547 section 4.6 through what the data plane has negotiated, and begins the key exchange. Encryption
// is not yet enabled here, so whatever fails is a fallback.
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
