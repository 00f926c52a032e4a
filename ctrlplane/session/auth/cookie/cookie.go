// Package cookie authenticates a tcpcrypt connection between two ends that share a secret: each proves to the other, by an HMAC of
// the connection's session ID under the secret, that it knows the secret and that both have the same connection. Somebody in the
// middle who ended tcpcrypt on both sides has two connections with two session IDs; what one end proves is of no use with the other.
//
// The role (A or B) is part of what is proven, so that an end's proof cannot be sent back to it (RFC 8547 sections 5.1 and 8.3). A
// session ID is never used twice, so that nothing can be replayed and no nonce is exchanged.
//
// What is proven is that the far end had the secret and this session ID when it made its proof. What was sent on the connection
// before Authenticate returned may have been read and changed by anybody: send nothing of value earlier.
//
// A cookie is random: New takes one of 16 bytes or more. A password is not: whoever is in the middle, or simply accepts the connection
// of the end with role A, gets that end's proof and may try passwords against it at leisure, without another word to
// anybody (offline guessing; an end with role B proves nothing to who does not know the secret). FromPassword makes each
// try cost 64 MiB of memory and tens of milliseconds, which helps a good password and does not save a bad one. Where passwords are
// chosen by people and the network is hostile, use a password-authenticated key exchange with the session ID as its channel binding.
package cookie

import (
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"golang.org/x/crypto/argon2"

	"linecrypt/flowtable"
)

// Sizes in bytes.
const (
	ProofSize     = sha256.Size
	MinSecret     = 16 // a cookie shorter than this can be guessed
	MinPassword   = 8
	MinSessionID  = 33 // RFC 8547 section 5.1
	maxSessionID  = 255
	keySize       = 32
	argonTime     = 3
	argonMemory   = 64 << 10 // KiB
	argonParallel = 4
)

// Errors.
var (
	ErrSecret  = errors.New("secret is too short")
	ErrSession = errors.New("not a session ID")
	ErrRole    = errors.New("not a role")
	// ErrProof means that the far end does not know the secret, or has another connection than this end: somebody is in the middle.
	ErrProof = errors.New("the far end does not prove that it has this connection and the secret")
)

// Key is what proofs are made and checked with. It is safe for concurrent use.
type Key struct{ key [keySize]byte }

// New makes a key of a cookie, MinSecret random bytes or more. Service says what the secret is for; both ends say the same, and one
// cookie for two services makes keys that have nothing to do with each other.
func New(service string, cookie []byte) (*Key, error) {
	if len(cookie) < MinSecret {
		return nil, fmt.Errorf("cookie of %d bytes, not %d or more: %w", len(cookie), MinSecret, ErrSecret)
	}
	return derive("cookie", service, cookie), nil
}

// FromPassword makes a key of a password by Argon2id with the parameters of RFC 9106 section 4 (second choice: 3 passes, 64 MiB, 4
// lanes); it takes tens of milliseconds, once. Service and user are the salt.
func FromPassword(service, user, password string) (*Key, error) {
	if len(password) < MinPassword {
		return nil, fmt.Errorf("password of %d bytes, not %d or more: %w", len(password), MinPassword, ErrSecret)
	}
	salt := sha256.Sum256([]byte(fmt.Sprintf("linecrypt cookie salt\x00%d:%s%d:%s", len(service), service, len(user), user)))
	slow := argon2.IDKey([]byte(password), salt[:], argonTime, argonMemory, argonParallel, keySize)
	defer clear(slow)
	return derive("password", service, slow), nil
}

func derive(kind, service string, secret []byte) *Key {
	mac := hmac.New(sha256.New, secret)
	fmt.Fprintf(mac, "linecrypt %s key\x00%s", kind, service)
	k := new(Key)
	mac.Sum(k.key[:0])
	return k
}

// Proof returns what the end with a role proves its knowledge of the secret and the session ID with. The error wraps ErrSession or
// ErrRole.
func (k *Key) Proof(role flowtable.Role, sessionID []byte) (proof [ProofSize]byte, err error) {
	if len(sessionID) < MinSessionID || len(sessionID) > maxSessionID {
		return proof, fmt.Errorf("session ID of %d bytes: %w", len(sessionID), ErrSession)
	}
	if !role.Valid() {
		return proof, fmt.Errorf("role %d: %w", role, ErrRole)
	}
	mac := hmac.New(sha256.New, k.key[:])
	mac.Write([]byte("linecrypt session proof\x00"))
	mac.Write([]byte{byte(role), byte(len(sessionID))})
	mac.Write(sessionID)
	mac.Sum(proof[:0])
	return proof, nil
}

// Verify reports by a nil error that a proof is that of the end with a role, in constant time. The error wraps ErrProof, ErrSession
// or ErrRole.
func (k *Key) Verify(role flowtable.Role, sessionID, proof []byte) error {
	want, err := k.Proof(role, sessionID)
	if err != nil {
		return err
	}
	if !hmac.Equal(want[:], proof) {
		return fmt.Errorf("proof of role %v: %w", role, ErrProof)
	}
	return nil
}

// Authenticate exchanges proofs on the connection itself before anything else is sent there: role A's first, role B's only when A's is
// right. It reads and writes ProofSize bytes each way. Role is this end's. With any error the connection must be closed; one that wraps
// ErrProof tells of somebody in the middle, or of another secret. Set a deadline on the connection first: a far end may say nothing.
func (k *Key) Authenticate(conn io.ReadWriter, role flowtable.Role, sessionID []byte) error {
	own, err := k.Proof(role, sessionID)
	if err != nil {
		return err
	}
	send := func() error {
		if _, err := conn.Write(own[:]); err != nil {
			return fmt.Errorf("send proof of role %v: %w", role, err)
		}
		return nil
	}
	if role == flowtable.RoleA {
		if err := send(); err != nil {
			return err
		}
	}
	var theirs [ProofSize]byte
	if _, err := io.ReadFull(conn, theirs[:]); err != nil {
		return fmt.Errorf("proof of role %v: %w", role.Peer(), err)
	}
	if err := k.Verify(role.Peer(), sessionID, theirs[:]); err != nil {
		return err
	}
	if role == flowtable.RoleB {
		return send()
	}
	return nil
}
