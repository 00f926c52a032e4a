package batchsign

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"sync"
	"time"
)

// Signer gathers sessions that want a proof for a moment and signs them together. It is safe for concurrent use.
type Signer struct {
	key    ed25519.PrivateKey
	window time.Duration
	most   int

	mu      sync.Mutex
	next    *batch // that sessions join; nil for none
	batches uint64
}

// batch is sessions that will be signed together.
type batch struct {
	sessions []Session
	proofs   []Proof
	err      error
	full     chan struct{}
	done     chan struct{}
}

// NewSigner returns a signer that waits for further sessions for as long as window after the first, and signs at most so many together.
// The error wraps ErrBatch.
func NewSigner(key ed25519.PrivateKey, window time.Duration, most int) (*Signer, error) {
	if most < 1 || most > MaxBatch || len(key) != ed25519.PrivateKeySize || window < 0 {
		return nil, fmt.Errorf("batches of %d after %v under a key of %d bytes: %w", most, window, len(key), ErrBatch)
	}
	return &Signer{key: key, window: window, most: most}, nil
}

// Prove returns the proof for a session. It waits for the batch to be signed, or for ctx, which leaves the session in the batch.
// The error wraps ErrSession, ErrRole or that of ctx.
func (s *Signer) Prove(ctx context.Context, session Session) (Proof, error) {
	if err := check(session.Role, session.ID); err != nil {
		return Proof{}, err // one that cannot be signed must not spoil the batch
	}
	b, i := s.join(session)
	select {
	case <-b.done:
	case <-ctx.Done():
		return Proof{}, fmt.Errorf("proof for a session: %w", ctx.Err())
	}
	if b.err != nil {
		return Proof{}, b.err
	}
	return b.proofs[i], nil
}

// Batches returns how many signatures were made.
func (s *Signer) Batches() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.batches
}

// join puts a session into the next batch, and returns it with the session's number there.
func (s *Signer) join(session Session) (*batch, int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next == nil {
		s.next = &batch{full: make(chan struct{}), done: make(chan struct{})}
		go s.sign(s.next)
	}
	b := s.next
	b.sessions = append(b.sessions, Session{ID: append([]byte(nil), session.ID...), Role: session.Role})
	if len(b.sessions) == s.most {
		s.next = nil
		close(b.full)
	}
	return b, len(b.sessions) - 1
}

// sign waits until the batch is full or its time is over, and signs it.
func (s *Signer) sign(b *batch) {
	timer := time.NewTimer(s.window)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-b.full:
	}
	s.mu.Lock()
	if s.next == b {
		s.next = nil
	}
	s.batches++
	s.mu.Unlock()
	b.proofs, b.err = Sign(s.key, b.sessions)
	close(b.done)
}
