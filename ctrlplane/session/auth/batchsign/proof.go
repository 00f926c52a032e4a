package batchsign

import (
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"

	"linecrypt/flowtable"
)

// Bounds.
const (
	MaxBatch     = 1 << 16 // session IDs under one signature
	MinSessionID = 33      // bytes (RFC 8547 section 5.1)
	MaxSessionID = 255     // bytes
	MaxProof     = proofFixed + 16*len(Hash{})
	proofFixed   = 4 + 4 + 1 + ed25519.SignatureSize
)

// Errors.
var (
	ErrSession = errors.New("not a session ID")
	ErrRole    = errors.New("not a role")
	ErrBatch   = errors.New("not a batch")
	ErrFormat  = errors.New("not a proof")
	// ErrProof means that the signer has not signed this session ID: it has another connection, and somebody is in the middle.
	ErrProof = errors.New("the proof is not for this session ID and this key")
)

// Proof shows that a session ID is among those that were signed.
type Proof struct {
	Leaves    int // session IDs in the batch
	Index     int // number of this one
	Path      []Hash
	Signature [ed25519.SignatureSize]byte
}

const statement = "linecrypt batch of session IDs, version 1\x00"

// signed returns the message that is signed.
func signed(leaves int, root *Hash) []byte {
	m := binary.BigEndian.AppendUint64([]byte(statement), uint64(leaves))
	return append(m, root[:]...)
}

func check(role flowtable.Role, sessionID []byte) error {
	if len(sessionID) < MinSessionID || len(sessionID) > MaxSessionID {
		return fmt.Errorf("session ID of %d bytes: %w", len(sessionID), ErrSession)
	}
	if !role.Valid() {
		return fmt.Errorf("role %d: %w", role, ErrRole)
	}
	return nil
}

// Session is a connection as its signer has it.
type Session struct {
	ID   []byte
	Role flowtable.Role // of the signer
}

// Sign signs 1 to MaxBatch sessions at once and returns a proof for each. The error wraps ErrBatch, ErrSession or ErrRole.
func Sign(key ed25519.PrivateKey, sessions []Session) ([]Proof, error) {
	if len(sessions) == 0 || len(sessions) > MaxBatch || len(key) != ed25519.PrivateKeySize {
		return nil, fmt.Errorf("%d session IDs under a key of %d bytes: %w", len(sessions), len(key), ErrBatch)
	}
	leaves, paths := make([]Hash, len(sessions)), make([][]Hash, len(sessions))
	for i, s := range sessions {
		if err := check(s.Role, s.ID); err != nil {
			return nil, fmt.Errorf("number %d: %w", i, err)
		}
		leaves[i] = leaf(s.Role, s.ID)
	}
	root := build(leaves, paths)
	signature := [ed25519.SignatureSize]byte(ed25519.Sign(key, signed(len(leaves), &root)))
	proofs := make([]Proof, len(sessions))
	for i := range proofs {
		proofs[i] = Proof{Leaves: len(leaves), Index: i, Path: paths[i], Signature: signature}
	}
	return proofs, nil
}

// Verify reports by a nil error that the owner of a public key has the session, in the role signer. The error wraps ErrProof,
// ErrSession or ErrRole.
func (p *Proof) Verify(key ed25519.PublicKey, signer flowtable.Role, sessionID []byte) error {
	if err := check(signer, sessionID); err != nil {
		return err
	}
	if p.Leaves < 1 || p.Leaves > MaxBatch || p.Index < 0 || p.Index >= p.Leaves || len(key) != ed25519.PublicKeySize {
		return fmt.Errorf("number %d of %d: %w", p.Index, p.Leaves, ErrProof)
	}
	root, ok := climb(leaf(signer, sessionID), p.Index, p.Leaves, p.Path)
	if !ok || !ed25519.Verify(key, signed(p.Leaves, &root), p.Signature[:]) {
		return fmt.Errorf("number %d of %d: %w", p.Index, p.Leaves, ErrProof)
	}
	return nil
}

// MarshalBinary returns the proof as bytes, MaxProof at most: leaves and index (4 bytes each, big endian), signature, number of hashes
// (1 byte), hashes from the leaf up.
func (p *Proof) MarshalBinary() ([]byte, error) {
	if p.Leaves < 1 || p.Leaves > MaxBatch || p.Index < 0 || p.Index >= p.Leaves || len(p.Path) > depth(p.Leaves) {
		return nil, fmt.Errorf("number %d of %d with %d hashes: %w", p.Index, p.Leaves, len(p.Path), ErrFormat)
	}
	b := binary.BigEndian.AppendUint32(make([]byte, 0, MaxProof), uint32(p.Leaves))
	b = binary.BigEndian.AppendUint32(b, uint32(p.Index))
	b = append(b, p.Signature[:]...)
	b = append(b, byte(len(p.Path)))
	for i := range p.Path {
		b = append(b, p.Path[i][:]...)
	}
	return b, nil
}

// UnmarshalBinary reads the proof that fills b, which it copies. The error wraps ErrFormat.
func (p *Proof) UnmarshalBinary(b []byte) error {
	if len(b) < proofFixed || len(b) != proofFixed+int(b[proofFixed-1])*len(Hash{}) {
		return fmt.Errorf("%d bytes: %w", len(b), ErrFormat)
	}
	leaves, index, hashes := binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:]), int(b[proofFixed-1])
	if leaves < 1 || leaves > MaxBatch || index >= leaves || hashes > depth(int(leaves)) {
		return fmt.Errorf("number %d of %d with %d hashes: %w", index, leaves, hashes, ErrFormat)
	}
	*p = Proof{Leaves: int(leaves), Index: int(index), Signature: [ed25519.SignatureSize]byte(b[8:])}
	for i := range hashes {
		p.Path = append(p.Path, Hash(b[proofFixed+i*len(Hash{}):]))
	}
	return nil
}
