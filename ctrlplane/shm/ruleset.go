package shm

import (
	"errors"
	"fmt"
	"hash/crc64"
	"sync/atomic"
	"unsafe"

	"linecrypt/ctrlplane/policy"
)

// Errors of sets of rules in the segment.
var (
	ErrNoRuleSet = errors.New("no such set of rules")
	ErrRuleSet   = errors.New("damaged set of rules")
)

// ruleSetLine is where the sets of rules lie behind: two images, of which number n is in the one that n is congruent to. The control plane
// writes one that nobody is told of yet (Rules.Set), so that one that is killed meanwhile has changed nothing.
type ruleSetLine struct {
	images [ruleSets]struct {
		number atomic.Uint64 // 0 while it is written
		size   atomic.Uint64 // bytes
		sum    atomic.Uint64
	}
	taken atomic.Uint64 // version of the rules that the data plane goes by
	_     [128 - 8*(3*ruleSets+1)]byte
}

const ruleSets = 2

var crcTable = crc64.MakeTable(crc64.ECMA)

func (s *Segment) ruleSetMemory(number uint16) []byte {
	at := s.regions.rules + int(number%ruleSets)*policy.MaxImage
	return s.mem[at : at+policy.MaxImage]
}

// PublishRuleSet writes a set into the segment, for PublishRules to put in force. Only the control plane may, from one goroutine at a
// time. The error wraps ErrRules or policy.ErrRule.
func (s *Segment) PublishRuleSet(set *policy.Set) error {
	if s.part != partControl {
		return fmt.Errorf("publish set of rules: not the control plane: %w", ErrRules)
	}
	image, err := set.Image()
	if err != nil {
		return fmt.Errorf("publish set of rules: %w", err)
	}
	at := &s.hdr.ruleSet.images[set.Number()%ruleSets]
	at.number.Store(0)
	copy(s.ruleSetMemory(set.Number()), image)
	at.size.Store(uint64(len(image)))
	at.sum.Store(crc64.Checksum(image, crcTable))
	at.number.Store(uint64(set.Number()))
	return nil
}

// RuleSet returns the set of a number, from a copy of what is in the segment, which is not believed. It takes milliseconds where there are
// many rules. The error wraps ErrNoRuleSet where the number is not, or not any more, of one of the sets there, else ErrRuleSet.
func (s *Segment) RuleSet(number uint16) (*policy.Set, error) {
	at := &s.hdr.ruleSet.images[number%ruleSets]
	size, sum := at.size.Load(), at.sum.Load()
	if number == 0 || at.number.Load() != uint64(number) {
		return nil, fmt.Errorf("set %d: %w", number, ErrNoRuleSet)
	}
	if size > policy.MaxImage {
		return nil, fmt.Errorf("set %d of %d bytes: %w", number, size, ErrRuleSet)
	}
	image := make([]byte, size)
	copy(image, s.ruleSetMemory(number))
	if at.number.Load() != uint64(number) {
		return nil, fmt.Errorf("set %d: %w", number, ErrNoRuleSet)
	}
	if crc64.Checksum(image, crcTable) != sum {
		return nil, fmt.Errorf("set %d: the sum is wrong: %w", number, ErrRuleSet)
	}
	set, err := policy.Decode(image)
	if err != nil {
		return nil, fmt.Errorf("set %d: %w: %w", number, err, ErrRuleSet)
	}
	if set.Number() != number {
		return nil, fmt.Errorf("set %d has number %d: %w", number, set.Number(), ErrRuleSet)
	}
	return set, nil
}

// RulesVersion changes whenever rules are published.
func (s *Segment) RulesVersion() uint64 { return s.hdr.rules.version.Load() }

// TakeRules says which version of the rules the data plane goes by. Only the data plane may.
func (s *Segment) TakeRules(version uint64) {
	if s.part == partData {
		s.hdr.ruleSet.taken.Store(version)
	}
}

// RulesTaken returns the version of the rules that the data plane goes by.
func (s *Segment) RulesTaken() uint64 { return s.hdr.ruleSet.taken.Load() }

// Verdicts counts what became of connections, by the place of their rule in the table of names. One worker writes it.
type Verdicts [policy.MaxNames][policy.NumVerdicts]uint64

// Add counts a connection of a rule.
func (v *Verdicts) Add(slot uint16, verdict policy.Verdict) {
	atomic.AddUint64(&v[slot%policy.MaxNames][verdict%policy.NumVerdicts], 1)
}

// Get returns a count; its worker may be writing.
func (v *Verdicts) Get(slot uint16, verdict policy.Verdict) uint64 {
	return atomic.LoadUint64(&v[slot%policy.MaxNames][verdict%policy.NumVerdicts])
}

// Verdicts returns what worker i counts by rule.
func (s *Segment) Verdicts(i int) *Verdicts {
	at := s.regions.workers + i*s.regions.perOne + s.regions.verdicts
	return (*Verdicts)(unsafe.Pointer(unsafe.SliceData(s.mem[at : at+int(unsafe.Sizeof(Verdicts{}))])))
}

// RuleConnections returns how many connections of a rule have come to a verdict, of all workers.
func (s *Segment) RuleConnections(slot uint16, verdict policy.Verdict) uint64 {
	var n uint64
	for i := range s.Workers() {
		n += s.Verdicts(i).Get(slot, verdict)
	}
	return n
}
