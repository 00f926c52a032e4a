package shm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"

	"linecrypt/ctrlplane/eno"
	"linecrypt/flowtable"
)

// ErrRules is wrapped by errors about rules that nobody can negotiate by.
var ErrRules = errors.New("bad rules")

// MaxChoices is the most key agreements, and the most ciphers, that rules hold.
const MaxChoices = 8

// Rules is what the control plane publishes for the data plane to decide on ENO by itself (RFC 8547 sections 4.2, 4.5, 4.6). They
// stay in force while the control plane is away. The zero value is no rules.
type Rules struct {
	Policy    flowtable.Policy
	Usable    bool // options may be sent: the source of randomness works (RFC 8547 section 10, RFC 8548 section 8)
	Aware     bool // bit a of the gateway's own options
	Mandatory bool // a far end must send a = 1 (mandatory application-aware mode)

	offer  [MaxENO]byte
	nOffer uint8
	teps   [MaxChoices]eno.TEP
	nTEPs  uint8
	aeads  [MaxChoices]uint16
	nAEADs uint8
}

// SetOffer says what an active opener sends: a whole option, 2 to MaxENO bytes. The error wraps ErrRules.
func (r *Rules) SetOffer(option []byte) error {
	if len(option) < 2 || len(option) > MaxENO {
		return fmt.Errorf("offer of %d bytes: %w", len(option), ErrRules)
	}
	r.offer = [MaxENO]byte{}
	r.nOffer = uint8(copy(r.offer[:], option))
	return nil
}

// Offer returns the option of an active opener; the slice is part of the rules.
func (r *Rules) Offer() []byte { return r.offer[:r.nOffer:r.nOffer] }

// SetTEPs says by which TEPs a passive opener answers, the preferred one first (RFC 8547 section 4.5). The error wraps ErrRules.
func (r *Rules) SetTEPs(teps []eno.TEP) error {
	if len(teps) == 0 || len(teps) > MaxChoices {
		return fmt.Errorf("%d teps: %w", len(teps), ErrRules)
	}
	r.teps = [MaxChoices]eno.TEP{}
	r.nTEPs = uint8(copy(r.teps[:], teps))
	return nil
}

// TEPs returns the TEPs of a passive opener, the preferred one first; the slice is part of the rules, and what
// eno.AnswerRules.Prefer takes.
func (r *Rules) TEPs() []eno.TEP { return r.teps[:r.nTEPs:r.nTEPs] }

// SetAEADs says which ciphers are agreed to, the preferred one first. Keys are the control plane's business: this is for a control
// plane that comes after it. The error wraps ErrRules.
func (r *Rules) SetAEADs(aeads []uint16) error {
	if len(aeads) == 0 || len(aeads) > MaxChoices {
		return fmt.Errorf("%d ciphers: %w", len(aeads), ErrRules)
	}
	r.aeads = [MaxChoices]uint16{}
	r.nAEADs = uint8(copy(r.aeads[:], aeads))
	return nil
}

// AEADs returns the ciphers, the preferred one first; the slice is part of the rules.
func (r *Rules) AEADs() []uint16 { return r.aeads[:r.nAEADs:r.nAEADs] }

// check refuses what cannot be in force.
func (r *Rules) check() error {
	if !r.Policy.Valid() {
		return fmt.Errorf("policy %v: %w", r.Policy, ErrRules)
	}
	if o := r.Offer(); len(o) < 2 || o[0] != eno.Kind || int(o[1]) != len(o) {
		return fmt.Errorf("offer % x: %w", bytes.Clone(o), ErrRules) // a copy, so that the rules stay off the heap
	}
	for _, t := range r.TEPs() {
		if t < eno.MinTEP || t > eno.MaxTEP {
			return fmt.Errorf("tep 0x%02x: %w", uint8(t), ErrRules)
		}
	}
	if r.nTEPs == 0 || r.nAEADs == 0 {
		return fmt.Errorf("%d teps, %d ciphers: %w", r.nTEPs, r.nAEADs, ErrRules)
	}
	if r.Mandatory && !r.Aware {
		return fmt.Errorf("mandatory application-aware mode without the bit: %w", ErrRules)
	}
	return nil
}

// The form of rules in the segment: policy, flags, three lengths, three bytes of zero, offer, teps, ciphers.
const (
	rulesFlags  = 1
	rulesOffer  = 8
	rulesTEPs   = rulesOffer + MaxENO
	rulesAEADs  = rulesTEPs + MaxChoices
	rulesBytes  = rulesAEADs + 2*MaxChoices
	rulesWords  = rulesBytes / 8
	flagUsable  = 1 << 0
	flagAware   = 1 << 1
	flagMust    = 1 << 2
	allOfFlags  = flagUsable | flagAware | flagMust
	rulesTries  = 4
	rulesCopies = 2
)

type rulesImage [rulesWords]uint64

func (r *Rules) encode() rulesImage {
	var b [rulesBytes]byte
	b[0] = byte(r.Policy)
	if r.Usable {
		b[rulesFlags] |= flagUsable
	}
	if r.Aware {
		b[rulesFlags] |= flagAware
	}
	if r.Mandatory {
		b[rulesFlags] |= flagMust
	}
	b[2], b[3], b[4] = r.nOffer, r.nTEPs, r.nAEADs
	copy(b[rulesOffer:], r.offer[:])
	for i, t := range r.teps {
		b[rulesTEPs+i] = byte(t)
	}
	for i, a := range r.aeads {
		binary.LittleEndian.PutUint16(b[rulesAEADs+2*i:], a)
	}
	var w rulesImage
	for i := range w {
		w[i] = binary.LittleEndian.Uint64(b[8*i:])
	}
	return w
}

// decode reads what another process wrote.
func (r *Rules) decode(w *rulesImage) error {
	var b [rulesBytes]byte
	for i := range w {
		binary.LittleEndian.PutUint64(b[8*i:], w[i])
	}
	*r = Rules{Policy: flowtable.Policy(b[0]), nOffer: b[2], nTEPs: b[3], nAEADs: b[4]}
	flags := b[rulesFlags]
	r.Usable, r.Aware, r.Mandatory = flags&flagUsable != 0, flags&flagAware != 0, flags&flagMust != 0
	if flags&^allOfFlags != 0 || b[5]|b[6]|b[7] != 0 || r.nOffer > MaxENO || r.nTEPs > MaxChoices || r.nAEADs > MaxChoices {
		*r = Rules{}
		return ErrRules
	}
	copy(r.offer[:], b[rulesOffer:rulesTEPs])
	for i := range r.teps {
		r.teps[i] = eno.TEP(b[rulesTEPs+i])
		r.aeads[i] = binary.LittleEndian.Uint16(b[rulesAEADs+2*i:])
	}
	return r.check()
}

// rulesBlock is where the rules lie: two copies, of which the one that version names is in force. The control plane alone
// writes here; one that is killed between copy and version has changed nothing.
type rulesBlock struct {
	version atomic.Uint64 // 0 while nothing was published
	_       [64 - 8]byte
	copies  [rulesCopies][rulesWords]atomic.Uint64
	_       [(64 - rulesCopies*rulesBytes%64) % 64]byte
}

// PublishRules puts rules in force, for the time when the control plane is away too. Only the control plane may, from one goroutine
// at a time. The error wraps ErrRules, and the old ones stay.
func (s *Segment) PublishRules(r *Rules) error {
	if s.part != partControl {
		return fmt.Errorf("publish rules: not the control plane: %w", ErrRules)
	}
	if err := r.check(); err != nil {
		return fmt.Errorf("publish rules: %w", err)
	}
	b := &s.hdr.rules
	next := b.version.Load() + 1
	if next == 0 {
		next = rulesCopies
	}
	w := r.encode()
	to := &b.copies[next%rulesCopies]
	for i := range w {
		to[i].Store(w[i])
	}
	b.version.Store(next)
	s.hdr.control.word.Store(uint64(r.Policy))
	return nil
}

// Rules copies the rules in force to r and reports whether there are any that make sense. Workers use a RulesReader.
func (s *Segment) Rules(r *Rules) bool {
	reader := s.RulesReader()
	rules, ok := reader.Look()
	if ok {
		*r = *rules
	}
	return ok
}

// RulesReader looks at the rules in force, without a lock and without an allocation, at the price of one atomic load while
// they stay the same. It belongs to one goroutine and is of no use once the segment is closed.
type RulesReader struct {
	block *rulesBlock
	seen  uint64
	rules Rules
	ok    bool
	bad   uint64
}

// RulesReader returns a reader that has seen nothing.
func (s *Segment) RulesReader() RulesReader { return RulesReader{block: &s.hdr.rules} }

// Look returns the rules in force, and false while none were published. They belong to the reader and are valid until the next
// Look. Rules that make no sense, which only a faulty control plane publishes, are counted, and the last good ones stay.
func (r *RulesReader) Look() (*Rules, bool) {
	version := r.block.version.Load()
	if version == r.seen {
		return &r.rules, r.ok
	}
	for range rulesTries {
		var w rulesImage
		from := &r.block.copies[version%rulesCopies]
		for i := range w {
			w[i] = from[i].Load()
		}
		again := r.block.version.Load()
		if again != version {
			version = again // the copy may have been written meanwhile
			continue
		}
		r.seen = version
		var fresh Rules
		if fresh.decode(&w) != nil {
			r.bad++
			break
		}
		r.rules, r.ok = fresh, true
		break
	}
	return &r.rules, r.ok
}

// Version changes whenever the reader has seen other rules.
func (r *RulesReader) Version() uint64 { return r.seen }

// Bad returns how often rules that make no sense were seen.
func (r *RulesReader) Bad() uint64 { return r.bad }
