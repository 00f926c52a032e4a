package policy

import (
	"bytes"
	"errors"
	"fmt"

	"linecrypt/ctrlplane/eno"
	"linecrypt/flowtable"
)

// ErrTerms is wrapped by errors about terms that nobody can negotiate by.
var ErrTerms = errors.New("bad terms")

// Bounds of terms.
const (
	MaxOffer   = 40 // bytes of an ENO option
	MaxChoices = 8  // key agreements, and ciphers
)

// Authentication is what a connection must be before its host may use it.
type Authentication uint8

// The kinds of authentication. The numbers are part of the shared-memory contract.
const (
	AuthNone   Authentication = iota // an encrypted connection is good enough
	AuthDemand                       // the gateway at the other end has confirmed the session ID first
	numAuthentications
)

// OnMismatch is what happens to a connection of which the other end tells another session ID.
type OnMismatch uint8

// The answers to a mismatch. The numbers are part of the shared-memory contract.
const (
	MismatchAlarm OnMismatch = iota // it is told, and counted
	MismatchReset                   // and the connection is reset
	numMismatches
)

// Terms are what holds for a connection from its first segment to its end. They hold no pointer, so that two can be compared.
type Terms struct {
	Policy        flowtable.Policy
	Aware         bool // bit a of the gateway's own options
	Mandatory     bool // a far end must send a = 1 (mandatory application-aware mode, RFC 8547 section 4.2)
	Resume        bool // sessions may be resumed, and kept to be (RFC 8548 section 3.5)
	Authenticated Authentication
	OnMismatch    OnMismatch
	RekeyFrames   uint64 // frames sealed under one key at most, 0: as many as the AEAD allows
	RekeyBytes    uint64 // and bytes
	RekeyTime     int64  // ns that one key is used for at most, 0: no bound

	offer  [MaxOffer]byte
	nOffer uint8
	teps   [MaxChoices]eno.TEP
	nTEPs  uint8
	aeads  [MaxChoices]uint16
	nAEADs uint8
}

// SetOffer says what an active opener sends: a whole option, 2 to MaxOffer bytes. The error wraps ErrTerms.
func (t *Terms) SetOffer(option []byte) error {
	if len(option) < 2 || len(option) > MaxOffer {
		return fmt.Errorf("offer of %d bytes: %w", len(option), ErrTerms)
	}
	t.offer = [MaxOffer]byte{}
	t.nOffer = uint8(copy(t.offer[:], option))
	return nil
}

// Offer returns the option of an active opener; the slice is part of the terms.
func (t *Terms) Offer() []byte { return t.offer[:t.nOffer:t.nOffer] }

// SetTEPs says by which TEPs a passive opener answers, the preferred one first (RFC 8547 section 4.5). The error wraps ErrTerms.
func (t *Terms) SetTEPs(teps []eno.TEP) error {
	if len(teps) == 0 || len(teps) > MaxChoices {
		return fmt.Errorf("%d teps: %w", len(teps), ErrTerms)
	}
	t.teps = [MaxChoices]eno.TEP{}
	t.nTEPs = uint8(copy(t.teps[:], teps))
	return nil
}

// TEPs returns the TEPs of a passive opener, the preferred one first; the slice is part of the terms, and what
// eno.AnswerRules.Prefer takes.
func (t *Terms) TEPs() []eno.TEP { return t.teps[:t.nTEPs:t.nTEPs] }

// SetAEADs says which ciphers are agreed to, the preferred one first. The error wraps ErrTerms.
func (t *Terms) SetAEADs(aeads []uint16) error {
	if len(aeads) == 0 || len(aeads) > MaxChoices {
		return fmt.Errorf("%d ciphers: %w", len(aeads), ErrTerms)
	}
	t.aeads = [MaxChoices]uint16{}
	t.nAEADs = uint8(copy(t.aeads[:], aeads))
	return nil
}

// AEADs returns the ciphers, the preferred one first; the slice is part of the terms.
func (t *Terms) AEADs() []uint16 { return t.aeads[:t.nAEADs:t.nAEADs] }

// Check refuses what cannot be in force. The error wraps ErrTerms.
func (t *Terms) Check() error {
	if !t.Policy.Valid() {
		return fmt.Errorf("policy %v: %w", t.Policy, ErrTerms)
	}
	if o := t.Offer(); len(o) < 2 || o[0] != eno.Kind || int(o[1]) != len(o) {
		return fmt.Errorf("offer % x: %w", bytes.Clone(o), ErrTerms) // a copy, so that the terms stay off the heap
	}
	for _, tep := range t.TEPs() {
		if tep < eno.MinTEP || tep > eno.MaxTEP {
			return fmt.Errorf("tep 0x%02x: %w", uint8(tep), ErrTerms)
		}
	}
	if t.nTEPs == 0 || t.nAEADs == 0 {
		return fmt.Errorf("%d teps, %d ciphers: %w", t.nTEPs, t.nAEADs, ErrTerms)
	}
	if t.Mandatory && !t.Aware {
		return fmt.Errorf("mandatory application-aware mode without the bit: %w", ErrTerms)
	}
	if t.Authenticated >= numAuthentications || t.OnMismatch >= numMismatches || t.RekeyTime < 0 {
		return fmt.Errorf("authentication %d, answer to a mismatch %d, rekey after %d ns: %w", t.Authenticated, t.OnMismatch, t.RekeyTime, ErrTerms)
	}
	return nil
}
