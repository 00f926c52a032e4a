package tcpcrypt

import (
	"errors"
	"fmt"
)

// TEP is a TCP encryption protocol identifier of tcpcrypt: seven bits, without the "v" bit (RFC 8548 section 7, table 4).
type TEP uint8

// The TEPs of RFC 8548, each naming a key-agreement scheme.
const (
	ECDHEP256       TEP = 0x21
	ECDHEP521       TEP = 0x22
	ECDHECurve25519 TEP = 0x23
	ECDHECurve448   TEP = 0x24
)

// ErrTEP is wrapped by every error about a TEP identifier or name that is not one of RFC 8548's.
var ErrTEP = errors.New("not a tcpcrypt TEP")

// TEPs returns all TEPs of RFC 8548 in the order of table 2's requirement levels: required, recommended, optional.
func TEPs() []TEP {
	return []TEP{ECDHECurve25519, ECDHECurve448, ECDHEP256, ECDHEP521}
}

// Valid reports whether t is one of RFC 8548's TEPs.
func (t TEP) Valid() bool { return t >= ECDHEP256 && t <= ECDHECurve448 }

// String returns the scheme's name as in RFC 8548 table 4 without "TCPCRYPT_", for example ECDHE_Curve25519.
func (t TEP) String() string {
	switch t {
	case ECDHEP256:
		return "ECDHE_P256"
	case ECDHEP521:
		return "ECDHE_P521"
	case ECDHECurve25519:
		return "ECDHE_Curve25519"
	case ECDHECurve448:
		return "ECDHE_Curve448"
	}
	return fmt.Sprintf("TEP(0x%02x)", uint8(t))
}

// ParseTEP returns the TEP that String names. The error wraps ErrTEP.
func ParseTEP(name string) (TEP, error) {
	for _, t := range TEPs() {
		if t.String() == name {
			return t, nil
		}
	}
	return 0, fmt.Errorf("tep %q: %w", name, ErrTEP)
}

// AEAD is a sym_cipher identifier (RFC 8548 section 7, table 5). Values off the wire may be unknown: see Valid.
type AEAD uint16

// The AEAD algorithms of RFC 8548.
const (
	AES128GCM        AEAD = 0x0001
	AES256GCM        AEAD = 0x0002
	ChaCha20Poly1305 AEAD = 0x0010
)

// ErrAEAD is wrapped by every error about an AEAD identifier or name that is not one of RFC 8548's.
var ErrAEAD = errors.New("not a tcpcrypt AEAD")

// AEADs returns all AEAD algorithms of RFC 8548 in the order of table 3.
func AEADs() []AEAD { return []AEAD{AES128GCM, AES256GCM, ChaCha20Poly1305} }

// Valid reports whether a is one of RFC 8548's algorithms.
func (a AEAD) Valid() bool { return a.KeyLen() != 0 }

// KeyLen returns ae_key_len in bytes (RFC 8548 table 3), or 0 for an unknown algorithm.
func (a AEAD) KeyLen() int {
	switch a {
	case AES128GCM:
		return 16
	case AES256GCM, ChaCha20Poly1305:
		return 32
	}
	return 0
}

// String returns the algorithm's name as in RFC 8548 table 5 without "AEAD_", for example AES_128_GCM.
func (a AEAD) String() string {
	switch a {
	case AES128GCM:
		return "AES_128_GCM"
	case AES256GCM:
		return "AES_256_GCM"
	case ChaCha20Poly1305:
		return "CHACHA20_POLY1305"
	}
	return fmt.Sprintf("AEAD(0x%04x)", uint16(a))
}

// ParseAEAD returns the AEAD that String names. The error wraps ErrAEAD.
func ParseAEAD(name string) (AEAD, error) {
	for _, a := range AEADs() {
		if a.String() == name {
			return a, nil
		}
	}
	return 0, fmt.Errorf("aead %q: %w", name, ErrAEAD)
}

// Direction is the direction of a stream of frames, named by the roles of the original session: a resumed session keeps
// the directions of the session its secret came from, whatever the roles of the new connection (RFC 8548 section 3.5).
type Direction uint8

// The two directions. They may be used as indices.
const (
	AB Direction = 0 // sealed by the original host A with k_ab
	BA Direction = 1 // sealed by the original host B with k_ba
)

// Reverse returns the other direction.
func (d Direction) Reverse() Direction { return d ^ 1 }

// String returns "ab" or "ba".
func (d Direction) String() string {
	if d == AB {
		return "ab"
	}
	return "ba"
}
