package shm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"

	"linecrypt/ctrlplane/policy"
)

// ErrRules is wrapped by errors about rules that nobody can negotiate by.
var ErrRules = errors.New("bad rules")

// Rules is what the control plane publishes for the data plane to decide on ENO by itself (RFC 8547 sections 4.2, 4.5, 4.6). They
// stay in force while the control plane is away. The zero value is no rules.
type Rules struct {
	policy.Terms
	Usable bool   // options may be sent: the source of randomness works (RFC 8547 section 10, RFC 8548 section 8)
	Set    uint16 // number of the set of rules (RuleSet) that says more, of which Terms are those of the default rule; 0: there is none
}

// The form of rules in the segment: terms, and a word with a bit that is set where options may be sent, and the number of the set.
const (
	rulesWords  = policy.TermsSize/8 + 1
	rulesBytes  = rulesWords * 8
	rulesTries  = 4
	rulesCopies = 2
)

type rulesImage [rulesWords]uint64

func (r *Rules) encode() rulesImage {
	var b [policy.TermsSize]byte
	r.Terms.Encode(&b)
	var w rulesImage
	for i := range len(b) / 8 {
		w[i] = binary.LittleEndian.Uint64(b[8*i:])
	}
	w[rulesWords-1] = uint64(r.Set) << 16
	if r.Usable {
		w[rulesWords-1] |= 1
	}
	return w
}

// decode reads what another process wrote.
func (r *Rules) decode(w *rulesImage) error {
	var b [policy.TermsSize]byte
	for i := range len(b) / 8 {
		binary.LittleEndian.PutUint64(b[8*i:], w[i])
	}
	last := w[rulesWords-1]
	*r = Rules{Usable: last&1 == 1, Set: uint16(last >> 16)}
	if err := r.Terms.Decode(&b); err != nil || last&0xfffe != 0 || last>>32 != 0 {
		*r = Rules{}
		return ErrRules
	}
	return nil
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
	if err := r.Check(); err != nil {
		return fmt.Errorf("publish rules: %w: %w", err, ErrRules)
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
