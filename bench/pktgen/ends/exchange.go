package ends

import (
	"crypto/rand"
	"fmt"

	"linecrypt/ctrlplane/eno"
	"linecrypt/ctrlplane/tcpcrypt"
)

// exchange is what a far end keeps while a connection is set up.
type exchange struct {
	key        *tcpcrypt.PrivateKey // nil where the master key is shared
	own, their []byte               // Init messages
	ownENO     []byte
	theirENO   []byte
}

// exchange makes the far end's part of a key exchange: a key, and with KindInit1 the message.
func (e *Ends) exchange(kind tcpcrypt.InitKind) (*exchange, error) {
	if e.shared != nil && e.opener.same != nil {
		return &exchange{own: e.opener.same.own}, nil
	}
	key, err := tcpcrypt.GenerateKey(tcpcrypt.ECDHECurve25519, rand.Reader)
	if err != nil {
		return nil, err
	}
	x := &exchange{key: key}
	var nonce [tcpcrypt.InitNonceLen]byte
	if _, err := rand.Read(nonce[:]); err != nil {
		return nil, err
	}
	if kind == tcpcrypt.KindInit1 {
		x.own, err = tcpcrypt.Init1{Ciphers: []tcpcrypt.AEAD{e.sc.Traffic.AEAD}, Nonce: nonce, Public: key.Public()}.Append(nil, key.TEP())
	} else if e.shared != nil {
		x.own, err = tcpcrypt.Init2{Cipher: e.sc.Traffic.AEAD, Nonce: nonce, Public: key.Public()}.Append(nil, key.TEP())
	}
	if e.shared != nil {
		e.opener.same = x
	}
	return x, err
}

// agree derives the connection's keys.
func (e *Ends) agree(n uint32, x *exchange) error {
	f := &e.flows[n]
	if e.shared != nil {
		if f.byHost {
			same, err := e.exchange(tcpcrypt.KindInit2)
			if err != nil {
				return err
			}
			x.own = same.own
		}
		return nil
	}
	var s tcpcrypt.Session
	var err error
	if f.byHost {
		var y *exchange
		if y, err = e.exchange(tcpcrypt.KindInit2); err != nil {
			return err
		}
		var nonce [tcpcrypt.InitNonceLen]byte
		if _, err = rand.Read(nonce[:]); err != nil {
			return err
		}
		transcript := eno.AppendTranscript(nil, eno.B, x.ownENO, x.theirENO)
		x.own, s, err = tcpcrypt.AcceptInit1(y.key, byte(y.key.TEP()), transcript, x.their, []tcpcrypt.AEAD{e.sc.Traffic.AEAD}, nonce)
	} else {
		transcript := eno.AppendTranscript(nil, eno.A, x.ownENO, x.theirENO)
		s, err = tcpcrypt.AcceptInit2(x.key, byte(x.key.TEP()), transcript, x.own, x.their)
	}
	if err != nil {
		return fmt.Errorf("agree on keys: %w", err)
	}
	defer s.Wipe()
	return e.keys.install(e, f, n, &s.Master, s.AEAD)
}
