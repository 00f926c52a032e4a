package policy

import (
	"encoding/binary"
	"fmt"

	"linecrypt/ctrlplane/eno"
	"linecrypt/flowtable"
)

// The form of terms in shared memory: policy, flags, three lengths, authentication, answer to a mismatch, a zero byte; the rekey limits;
// offer, teps, ciphers.
const (
	atFlags  = 1
	atFrames = 8
	atBytes  = 16
	atTime   = 24
	atOffer  = 32
	atTEPs   = atOffer + MaxOffer
	atAEADs  = atTEPs + MaxChoices

	// TermsSize is the size of encoded terms in bytes, a multiple of 8.
	TermsSize = atAEADs + 2*MaxChoices

	flagAware  = 1 << 0
	flagMust   = 1 << 1
	flagResume = 1 << 2
	allOfFlags = flagAware | flagMust | flagResume
)

// Encode writes the terms for another process.
func (t *Terms) Encode(b *[TermsSize]byte) {
	*b = [TermsSize]byte{}
	b[0] = byte(t.Policy)
	for _, f := range []struct {
		set bool
		bit byte
	}{{t.Aware, flagAware}, {t.Mandatory, flagMust}, {t.Resume, flagResume}} {
		if f.set {
			b[atFlags] |= f.bit
		}
	}
	b[2], b[3], b[4] = t.nOffer, t.nTEPs, t.nAEADs
	b[5], b[6] = byte(t.Authenticated), byte(t.OnMismatch)
	le := binary.LittleEndian
	le.PutUint64(b[atFrames:], t.RekeyFrames)
	le.PutUint64(b[atBytes:], t.RekeyBytes)
	le.PutUint64(b[atTime:], uint64(t.RekeyTime))
	copy(b[atOffer:], t.offer[:])
	for i := range MaxChoices {
		b[atTEPs+i] = byte(t.teps[i])
		le.PutUint16(b[atAEADs+2*i:], t.aeads[i])
	}
}

// Decode reads what another process wrote. With an error, which wraps ErrTerms, the terms are zero.
func (t *Terms) Decode(b *[TermsSize]byte) error {
	le := binary.LittleEndian
	flags := b[atFlags]
	*t = Terms{
		Policy: flowtable.Policy(b[0]), Aware: flags&flagAware != 0, Mandatory: flags&flagMust != 0, Resume: flags&flagResume != 0,
		Authenticated: Authentication(b[5]), OnMismatch: OnMismatch(b[6]),
		RekeyFrames: le.Uint64(b[atFrames:]), RekeyBytes: le.Uint64(b[atBytes:]), RekeyTime: int64(le.Uint64(b[atTime:])),
		nOffer: b[2], nTEPs: b[3], nAEADs: b[4],
	}
	if flags&^allOfFlags != 0 || b[7] != 0 || t.nOffer > MaxOffer || t.nTEPs > MaxChoices || t.nAEADs > MaxChoices {
		*t = Terms{}
		return fmt.Errorf("encoded terms: %w", ErrTerms)
	}
	copy(t.offer[:], b[atOffer:atTEPs])
	for i := range MaxChoices {
		t.teps[i] = eno.TEP(b[atTEPs+i])
		t.aeads[i] = le.Uint16(b[atAEADs+2*i:])
	}
	if err := t.Check(); err != nil {
		*t = Terms{}
		return err
	}
	return nil
}
