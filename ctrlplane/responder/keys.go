package responder

import (
	"errors"
	"io"

	"linecrypt/ctrlplane/eno"
	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
)

// passiveKeys is host B's part of the key exchange: Init1 came, Init2 and the keys result.
func (b *batch) passiveKeys(q *shm.Request) shm.Reply {
	n, err := eno.Negotiate(q.ENOB, q.ENOA, eno.Rules{Opener: eno.Passive, Valid: valid})
	if err != nil {
		return b.abort(NotNegotiated)
	}
	key, nonce, r := b.ephemeral(tcpcrypt.TEP(n.TEP))
	if r != 0 {
		return b.abort(r)
	}
	defer key.Wipe()
	transcript := eno.AppendTranscript(nil, eno.B, q.ENOB, q.ENOA)
	init2, session, err := tcpcrypt.AcceptInit1(key, n.B[0], transcript, q.Init1, b.rules.aeads, nonce)
	if err != nil {
		return b.abort(reasonOf(err))
	}
	defer session.Wipe()
	b.keep(q, &session, eno.B)
	return keysReply(&session, eno.B, init2)
}

// activeKeys is host A's last part of the key exchange: Init2 came, the keys result.
func (b *batch) activeKeys(q *shm.Request) shm.Reply {
	n, err := eno.Negotiate(q.ENOA, q.ENOB, eno.Rules{Opener: eno.Active, Valid: valid})
	if err != nil || n.Role != eno.A {
		return b.abort(NotNegotiated)
	}
	key, r := readSecret(q.Secret, tcpcrypt.TEP(n.TEP), q.Init1)
	if r != 0 {
		return b.abort(r)
	}
	defer key.Wipe()
	transcript := eno.AppendTranscript(nil, eno.A, q.ENOA, q.ENOB)
	session, err := tcpcrypt.AcceptInit2(key, n.B[0], transcript, q.Init1, q.Init2)
	if err != nil {
		return b.abort(reasonOf(err))
	}
	defer session.Wipe()
	b.keep(q, &session, eno.A)
	return keysReply(&session, eno.A, nil)
}

// ephemeral makes the private key and the nonce of one Init message.
func (b *batch) ephemeral(tep tcpcrypt.TEP) (*tcpcrypt.PrivateKey, [tcpcrypt.InitNonceLen]byte, Reason) {
	var nonce [tcpcrypt.InitNonceLen]byte
	if _, err := io.ReadFull(b.rand, nonce[:]); err != nil {
		return nil, nonce, NoRandomness
	}
	key, err := tcpcrypt.GenerateKey(tep, b.rand)
	if errors.Is(err, errRandomness) || errors.Is(err, tcpcrypt.ErrPrivateKey) {
		return nil, nonce, NoRandomness // the latter: no number in range, which no working source gives
	}
	if err != nil {
		return nil, nonce, Internal
	}
	return key, nonce, 0
}

// keysReply holds what the data plane needs of a session for a gateway in the given role: the first traffic keys, and the
// master key that later generations come from (RFC 8548 sections 3.3, 3.8).
func keysReply(s *tcpcrypt.Session, role eno.Role, init2 []byte) shm.Reply {
	out := tcpcrypt.AB
	if role == eno.B {
		out = tcpcrypt.BA
	}
	p := shm.Reply{Kind: shm.Keys, Role: role, TEP: s.ID[0], AEAD: uint16(s.AEAD), Init: init2}
	p.Keys.Master = s.Master
	p.Keys.SessionID = s.ID
	putTraffic(&p.Keys.Out, s, out)
	putTraffic(&p.Keys.In, s, out.Reverse())
	return p
}

func putTraffic(dst *[shm.TrafficKeySize]byte, s *tcpcrypt.Session, d tcpcrypt.Direction) {
	k := s.Master.Traffic(s.AEAD, d)
	n := copy(dst[:], k.Key[:])
	copy(dst[n:], k.NR[:])
	k.Wipe()
}
