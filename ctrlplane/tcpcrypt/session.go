package tcpcrypt

import (
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
)

// Sizes of what names a session, in bytes.
const (
	SessionIDLen   = 1 + KeyLen // TEP byte and K_LEN bytes (RFC 8548 section 3.4)
	ResumeHalfLen  = 9          // half of a resumption identifier (3.5)
	ResumeIDLen    = 2 * ResumeHalfLen
	MaxResumeNonce = 8 // longest resumption nonce (3.5)
)

// ErrResumeNonce means that a resumption nonce is longer than MaxResumeNonce.
var ErrResumeNonce = errors.New("resumption nonce longer than 8 bytes")

// SessionID identifies a connection to the applications at both ends; it is not secret (RFC 8548 section 3.4).
type SessionID [SessionIDLen]byte

// String returns the ID in hexadecimal, TEP byte first.
func (id SessionID) String() string { return hex.EncodeToString(id[:]) }

// Secret is a session secret ss[i] (RFC 8548 section 3.3). It has no pointers.
type Secret [KeyLen]byte

// Next returns ss[i+1].
func (s *Secret) Next() Secret {
	var next Secret
	s.expandInto(next[:], constNextK, nil)
	return next
}

// Master returns mk[0] of the session with session nonce sn: empty for a fresh session, nonce_a followed by nonce_b for
// a resumed one (RFC 8548 sections 3.3, 3.5).
func (s *Secret) Master(sn []byte) MasterKey {
	var mk MasterKey
	s.expandInto(mk[:], constRekey, sn)
	return mk
}

// SessionID returns the ID of the session with session nonce sn. The TEP byte is the one host B sent, "v" bit included.
func (s *Secret) SessionID(tepByte byte, sn []byte) SessionID {
	id := SessionID{tepByte}
	s.expandInto(id[1:], constSessID, sn)
	return id
}

// ResumeID returns the resumption identifier resume[i]: the original host A sends its first half, the original host B
// its second (RFC 8548 section 3.5).
func (s *Secret) ResumeID() [ResumeIDLen]byte {
	var id [ResumeIDLen]byte
	s.expandInto(id[:], constResume, nil)
	return id
}

// Wipe erases the secret.
func (s *Secret) Wipe() { clear(s[:]) }

// String keeps the secret out of logs.
func (s Secret) String() string { return redacted }

// GoString keeps the secret out of logs.
func (s Secret) GoString() string { return redacted }

// Session is what the key schedule yields for one connection.
type Session struct {
	TEP    TEP
	AEAD   AEAD
	ID     SessionID
	Secret Secret    // ss[i]; keep ss[i+1] for resumption, if at all, and wipe this one (RFC 8548 section 3.5)
	Master MasterKey // mk[0]
}

// Wipe erases the secrets of the session; its ID stays.
func (s *Session) Wipe() {
	s.Secret.Wipe()
	s.Master.Wipe()
}

// NewSession derives a session from a fresh key agreement (RFC 8548 section 3.3). The TEP byte is the one host B sent,
// "v" bit included; transcript is RFC 8547's (section 4.8); init1 and init2 are the messages exactly as transmitted,
// message_len bytes each, ignored bytes included; es is the ephemeral secret of PrivateKey.Shared. The AEAD is the one
// init2 selects. All inputs stay the caller's, who wipes es.
func NewSession(tepByte byte, transcript, init1, init2, es []byte) (Session, error) {
	tep := TEP(tepByte &^ vBit)
	i1, err := ParseInit1(tep, init1)
	if err != nil {
		return Session{}, err
	}
	i2, err := ParseInit2(tep, init2)
	if err != nil {
		return Session{}, err
	}
	if err := CheckSelected(i1, i2); err != nil {
		return Session{}, err
	}
	ikm := make([]byte, 0, len(transcript)+len(init1)+len(init2)+len(es))
	for _, part := range [][]byte{transcript, init1, init2, es} {
		ikm = append(ikm, part...)
	}
	defer clear(ikm)
	prk, err := hkdf.Extract(sha256.New, ikm, i1.Nonce[:])
	if err != nil {
		return Session{}, fmt.Errorf("session key extraction: %w", err)
	}
	defer clear(prk)
	return derive(tepByte, i2.Cipher, Secret(prk), nil), nil
}

// ResumeSession derives a session from the cached session secret ss[i] of an earlier one (RFC 8548 section 3.5). The TEP
// byte is the one host B of the new connection sent; the AEAD is the original session's; nonceA and nonceB are the
// resumption nonces of the original session's hosts A and B, at most 8 bytes each.
func ResumeSession(tepByte byte, aead AEAD, ss Secret, nonceA, nonceB []byte) (Session, error) {
	if !TEP(tepByte &^ vBit).Valid() {
		return Session{}, fmt.Errorf("resumption with TEP byte 0x%02x: %w", tepByte, ErrTEP)
	}
	if !aead.Valid() {
		return Session{}, fmt.Errorf("resumption with %v: %w", aead, ErrAEAD)
	}
	if len(nonceA) > MaxResumeNonce || len(nonceB) > MaxResumeNonce {
		return Session{}, fmt.Errorf("resumption with nonces of %d and %d bytes: %w", len(nonceA), len(nonceB), ErrResumeNonce)
	}
	var sn [2 * MaxResumeNonce]byte
	n := copy(sn[:], nonceA)
	n += copy(sn[n:], nonceB)
	return derive(tepByte, aead, ss, sn[:n]), nil
}

func derive(tepByte byte, aead AEAD, ss Secret, sn []byte) Session {
	return Session{
		TEP:    TEP(tepByte &^ vBit),
		AEAD:   aead,
		ID:     ss.SessionID(tepByte, sn),
		Secret: ss,
		Master: ss.Master(sn),
	}
}

// expandInto fills dst, of at most 32 bytes, with CPRF(s, constant | sn, len(dst)), HKDF-Expand-SHA256. Of a session nonce only what two
// resumption nonces can take counts.
func (s *Secret) expandInto(dst []byte, constant byte, sn []byte) {
	var msg [1 + 2*MaxResumeNonce + 1]byte
	msg[0] = constant
	n := 1 + copy(msg[1:1+2*MaxResumeNonce], sn)
	msg[n] = 1
	okm := hmac((*[KeyLen]byte)(s), msg[:n+1])
	copy(dst, okm[:])
	clear(okm[:])
	clear(msg[:])
}
