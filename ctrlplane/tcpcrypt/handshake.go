package tcpcrypt

import "fmt"

// AcceptInit1 is host B's whole part of a fresh key exchange (RFC 8548 section 3.3): given its private key, the TEP byte
// it sent in its ENO option ("v" bit included), the negotiation transcript, Init1 exactly as received (message_len
// bytes), its AEADs in order of preference and a fresh random nonce, it returns Init2 to be sent and the session. Any
// error asks for an abort of the connection. The private key stays the caller's, who wipes it.
func AcceptInit1(key *PrivateKey, tepByte byte, transcript, init1 []byte, prefer []AEAD, nonce [InitNonceLen]byte) ([]byte, Session, error) {
	m1, err := ParseInit1(key.tep, init1)
	if err != nil {
		return nil, Session{}, err
	}
	selected, err := SelectCipher(prefer, m1.Ciphers)
	if err != nil {
		return nil, Session{}, err
	}
	init2, err := Init2{Cipher: selected, Nonce: nonce, Public: key.public}.Append(nil, key.tep)
	if err != nil {
		return nil, Session{}, err
	}
	s, err := agree(key, m1.Public, tepByte, transcript, init1, init2)
	if err != nil {
		return nil, Session{}, err
	}
	return init2, s, nil
}

// AcceptInit2 is host A's last part of a fresh key exchange (RFC 8548 section 3.3): given the private key of the Init1 it
// sent, the TEP byte host B sent ("v" bit included), the negotiation transcript, its Init1 and the received Init2 exactly
// as transmitted (message_len bytes each), it returns the session. Any error asks for an abort of the connection. The
// private key stays the caller's, who wipes it.
func AcceptInit2(key *PrivateKey, tepByte byte, transcript, init1, init2 []byte) (Session, error) {
	m2, err := ParseInit2(key.tep, init2)
	if err != nil {
		return Session{}, err
	}
	return agree(key, m2.Public, tepByte, transcript, init1, init2)
}

func agree(key *PrivateKey, peer []byte, tepByte byte, transcript, init1, init2 []byte) (Session, error) {
	if TEP(tepByte&^vBit) != key.tep {
		return Session{}, fmt.Errorf("TEP byte 0x%02x with a key for %v: %w", tepByte, key.tep, ErrTEP)
	}
	es, err := key.Shared(peer)
	if err != nil {
		return Session{}, err
	}
	defer clear(es)
	return NewSession(tepByte, transcript, init1, init2, es)
}
