package tcpcrypt

import (
	"crypto/ecdh"
	"crypto/elliptic"
	"errors"
	"fmt"
	"io"

	"github.com/cloudflare/circl/dh/x448"
)

// ErrPublicKey means that a peer's public key failed validation (RFC 8548 section 5): the connection must be aborted with
// an error distinct from end of file (3.3).
var ErrPublicKey = errors.New("public key fails validation")

// ErrPrivateKey means that private key bytes are not a private key of the TEP.
var ErrPrivateKey = errors.New("not a private key")

const (
	publicPrefixLen = 2  // pubkey_len
	maxScalarLen    = 66 // P-521's
	scalarTries     = 64 // a P-521 scalar is out of range about once in 2^257, a P-256 one in 2^32
)

// scheme holds the sizes in bytes of a key-agreement scheme (RFC 8548 section 5) and its curve in the standard library.
type scheme struct {
	scalar int            // private key
	public int            // public key on the wire, pubkey_len included
	ecdh   ecdh.Curve     // nil for X448
	nist   elliptic.Curve // nil but for the curves whose points are compressed
}

func (t TEP) scheme() (scheme, bool) {
	switch t {
	case ECDHEP256:
		return scheme{32, publicPrefixLen + 33, ecdh.P256(), elliptic.P256()}, true
	case ECDHEP521:
		return scheme{66, publicPrefixLen + 67, ecdh.P521(), elliptic.P521()}, true
	case ECDHECurve25519:
		return scheme{32, 32, ecdh.X25519(), nil}, true
	case ECDHECurve448:
		return scheme{x448.Size, x448.Size, nil, nil}, true
	}
	return scheme{}, false
}

// publicLen returns the length of a public key on the wire, or 0 for an unknown TEP.
func (t TEP) publicLen() int {
	s, _ := t.scheme()
	return s.public
}

// prefixed reports whether public keys on the wire begin with a two-byte length.
func (t TEP) prefixed() bool { return t == ECDHEP256 || t == ECDHEP521 }

// PrivateKey is an ephemeral private key with its public key. It is never to be written to storage, and to be refreshed
// often (RFC 8548 section 3.3).
type PrivateKey struct {
	tep    TEP
	scalar [maxScalarLen]byte
	public []byte           // as on the wire
	key    *ecdh.PrivateKey // nil for X448
}

// GenerateKey makes a private key for tep from bytes of rand, which outside of tests is crypto/rand.Reader. The standard
// library's own generators ignore the reader they are given; a reproducible simulation needs it heeded.
func GenerateKey(tep TEP, rand io.Reader) (*PrivateKey, error) {
	s, ok := tep.scheme()
	if !ok {
		return nil, fmt.Errorf("generate key for %v: %w", tep, ErrTEP)
	}
	var raw [maxScalarLen]byte
	defer clear(raw[:])
	var err error
	for range scalarTries {
		if _, err = io.ReadFull(rand, raw[:s.scalar]); err != nil {
			return nil, fmt.Errorf("generate key for %v: %w", tep, err)
		}
		if tep == ECDHEP521 {
			raw[0] &= 1 // 521 bits of 528
		}
		var k *PrivateKey
		if k, err = NewPrivateKey(tep, raw[:s.scalar]); err == nil {
			return k, nil
		}
	}
	return nil, fmt.Errorf("generate key for %v: no scalar in range from this reader: %w", tep, err)
}

// NewPrivateKey imports the bytes of a private key, as Bytes exports them. The bytes are copied.
func NewPrivateKey(tep TEP, raw []byte) (*PrivateKey, error) {
	s, ok := tep.scheme()
	if !ok {
		return nil, fmt.Errorf("private key for %v: %w", tep, ErrTEP)
	}
	if len(raw) != s.scalar {
		return nil, fmt.Errorf("private key of %d bytes for %v: %w", len(raw), tep, ErrPrivateKey)
	}
	k := &PrivateKey{tep: tep}
	copy(k.scalar[:], raw)
	if s.ecdh == nil {
		var public, secret x448.Key
		copy(secret[:], raw)
		x448.KeyGen(&public, &secret)
		clear(secret[:])
		k.public = public[:]
		return k, nil
	}
	key, err := s.ecdh.NewPrivateKey(raw)
	if err != nil {
		return nil, fmt.Errorf("private key for %v: %w", tep, ErrPrivateKey)
	}
	k.key = key
	k.public = key.PublicKey().Bytes()
	if s.nist != nil {
		k.public = compress(k.public)
	}
	return k, nil
}

// compress turns an uncompressed point, 4|X|Y, into the wire's form, pubkey_len|2 or 3|X.
func compress(point []byte) []byte {
	field := (len(point) - 1) / 2
	n := 1 + field
	wire := make([]byte, 0, publicPrefixLen+n)
	wire = append(wire, byte(n>>8), byte(n), 2|point[len(point)-1]&1)
	return append(wire, point[1:n]...)
}

// TEP returns the TEP the key is for.
func (k *PrivateKey) TEP() TEP { return k.tep }

// Bytes exports the private key in a new slice: the raw scalar, 32 bytes for Curve25519 and P-256, 56 for Curve448, 66
// for P-521, in the order RFC 7748 and SEC 1 give. The caller wipes it.
func (k *PrivateKey) Bytes() []byte {
	s, _ := k.tep.scheme()
	return append([]byte(nil), k.scalar[:s.scalar]...)
}

// Public returns the public key as Init1 and Init2 carry it, with its length prefix where the TEP has one. The slice is
// the key's: it is not to be changed.
func (k *PrivateKey) Public() []byte { return k.public }

// String keeps the key out of logs.
func (k *PrivateKey) String() string { return k.tep.String() + redacted }

// GoString keeps the key out of logs.
func (k *PrivateKey) GoString() string { return k.String() }

// Wipe erases the scalar and makes the key useless. What the standard library's key holds goes with the next garbage
// collection.
func (k *PrivateKey) Wipe() {
	clear(k.scalar[:])
	k.key, k.public = nil, nil
}

// Shared returns the ephemeral secret ES of k and the peer's public key as on the wire (RFC 8548 section 5), in a new
// slice that the caller wipes. An error wraps ErrPublicKey: wrong length, an uncompressed point, a point that is not on
// the curve or at infinity, or one that makes the shared secret zero.
func (k *PrivateKey) Shared(peer []byte) ([]byte, error) {
	s, ok := k.tep.scheme()
	if !ok {
		return nil, fmt.Errorf("shared secret for %v: %w", k.tep, ErrTEP)
	}
	if len(peer) != s.public {
		return nil, fmt.Errorf("public key of %d bytes for %v: %w", len(peer), k.tep, ErrPublicKey)
	}
	if k.public == nil {
		return nil, fmt.Errorf("shared secret for %v with a wiped key: %w", k.tep, ErrPrivateKey)
	}
	if s.ecdh == nil {
		return k.sharedX448(peer)
	}
	point := peer
	if s.nist != nil {
		var err error
		if point, err = decompress(s.nist, peer); err != nil {
			return nil, fmt.Errorf("public key for %v: %w", k.tep, err)
		}
	}
	public, err := s.ecdh.NewPublicKey(point)
	if err != nil {
		return nil, fmt.Errorf("public key for %v: %w", k.tep, ErrPublicKey)
	}
	es, err := k.key.ECDH(public)
	if err != nil {
		return nil, fmt.Errorf("public key for %v makes the shared secret zero: %w", k.tep, ErrPublicKey)
	}
	return es, nil
}

func (k *PrivateKey) sharedX448(peer []byte) ([]byte, error) {
	var shared, secret, public x448.Key
	copy(secret[:], k.scalar[:])
	copy(public[:], peer)
	ok := x448.Shared(&shared, &secret, &public)
	clear(secret[:])
	// The sum is RFC 7748 section 6's check of the result, beside circl's check of the point.
	var sum byte
	for _, b := range shared {
		sum |= b
	}
	if !ok || sum == 0 {
		return nil, fmt.Errorf("public key for %v makes the shared secret zero: %w", k.tep, ErrPublicKey)
	}
	return shared[:], nil
}

// decompress turns the wire's form of a point, pubkey_len|2 or 3|X, into the uncompressed form 4|X|Y, and refuses what is
// not a point of the curve. The curves have cofactor 1, so a point on the curve is of the right order.
func decompress(curve elliptic.Curve, wire []byte) ([]byte, error) {
	if len(wire) < publicPrefixLen || int(wire[0])<<8|int(wire[1]) != len(wire)-publicPrefixLen {
		return nil, fmt.Errorf("pubkey_len: %w", ErrPublicKey)
	}
	x, y := elliptic.UnmarshalCompressed(curve, wire[publicPrefixLen:])
	if x == nil {
		return nil, fmt.Errorf("not a compressed point of the curve: %w", ErrPublicKey)
	}
	field := (curve.Params().BitSize + 7) / 8
	point := make([]byte, 1+2*field)
	point[0] = 4
	x.FillBytes(point[1 : 1+field])
	y.FillBytes(point[1+field:])
	return point, nil
}
