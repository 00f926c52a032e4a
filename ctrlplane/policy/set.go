package policy

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"

	"linecrypt/flowtable"
)

// MaxNames bounds the names of a set: of its rules, and of rules of earlier sets that connections still have.
const MaxNames = 1 << 15

// Set is rules in order, of which the first that fits a connection holds, and a default rule at their end. It does not change once it is
// made, and may be used by any number of goroutines. Classify neither locks nor allocates.
type Set struct {
	number uint16
	rules  []Rule   // the last one is the default rule
	slots  []uint16 // of the rules in the table of names
	names  map[uint16]string
	bySlot map[uint16]int

	terms   []Terms  // that differ
	termsOf []uint16 // by rule

	indices [flowtable.NumSides][numFamilies]index // by opener
}

// New makes a set of rules, of which the last holds where no other does. It begins with the names of an earlier set, nil for none: a rule
// keeps its place in the table of names, and so do the names of rules that are gone for which used, nil for all of them, says so. The
// error wraps ErrRule or ErrTerms.
func New(rules []Rule, def Terms, earlier *Set, used func(slot uint16) bool) (*Set, error) {
	s := &Set{number: 1, rules: slices.Clone(rules)}
	s.rules = append(s.rules, Rule{Name: DefaultRule, Terms: def})
	if earlier != nil {
		if s.number = earlier.number + 1; s.number == 0 {
			s.number = 2 // 0 is no set, and an odd number follows an even one
		}
	}
	if err := s.check(); err != nil {
		return nil, err
	}
	if err := s.enroll(earlier, used); err != nil {
		return nil, err
	}
	s.compile()
	return s, nil
}

// check refuses rules that cannot be in force together.
func (s *Set) check() error {
	if n := len(s.rules) - 1; n > MaxRules-1 {
		return fmt.Errorf("%d rules, more than %d: %w", n, MaxRules-1, ErrRule)
	}
	places := make(map[string]int, len(s.rules))
	terms := make(map[Terms]uint16)
	items := 0
	for i := range s.rules {
		r := &s.rules[i]
		if other, ok := places[r.Name]; ok {
			return fmt.Errorf("rules %d and %d are both named %q: %w", other+1, i+1, r.Name, ErrRule)
		}
		places[r.Name] = i
		if err := errors.Join(CheckName(r.Name), r.Match.check(), r.Terms.Check()); err != nil {
			return fmt.Errorf("rule %d (%s): %w", i+1, r.Name, err)
		}
		items += r.Match.items()
		t, ok := terms[r.Terms]
		if !ok {
			t = uint16(len(s.terms))
			terms[r.Terms] = t
			s.terms = append(s.terms, r.Terms)
		}
		s.termsOf = append(s.termsOf, t)
	}
	if len(s.terms) > MaxTerms {
		return fmt.Errorf("%d different terms, more than %d: %w", len(s.terms), MaxTerms, ErrRule)
	}
	if items > MaxItems {
		return fmt.Errorf("%d prefixes and ranges, more than %d: %w", items, MaxItems, ErrRule)
	}
	return nil
}

// enroll gives each rule its place in the table of names.
func (s *Set) enroll(earlier *Set, used func(uint16) bool) error {
	s.names = map[uint16]string{0: DefaultRule}
	known := map[string]uint16{DefaultRule: 0}
	if earlier != nil {
		for slot, name := range earlier.names {
			known[name] = slot
		}
	}
	wanted := make(map[string]bool, len(s.rules))
	for i := range s.rules {
		wanted[s.rules[i].Name] = true
	}
	for name, slot := range known {
		if wanted[name] || used == nil || used(slot) {
			s.names[slot] = name
		} else {
			delete(known, name)
		}
	}
	free := uint32(1)
	for i := range s.rules {
		slot, ok := known[s.rules[i].Name]
		for !ok {
			if free >= MaxNames {
				return fmt.Errorf("%d names of rules, those of earlier ones that connections still have among them, are the most: %w", MaxNames, ErrRule)
			}
			if slot = uint16(free); s.names[slot] == "" {
				s.names[slot], ok = s.rules[i].Name, true
			}
			free++
		}
		s.slots = append(s.slots, slot)
	}
	return nil
}

// compile makes what Classify and the look-ups by reference go by.
func (s *Set) compile() {
	s.bySlot = make(map[uint16]int, len(s.slots))
	for i, slot := range s.slots {
		s.bySlot[slot] = i
	}
	var spans [flowtable.NumSides][numFamilies][numFields][]span
	for i := range len(s.rules) - 1 {
		for _, b := range s.rules[i].Match.boxes() {
			b.addSpans(&spans[b.opener][b.family], i)
		}
	}
	for o := range spans {
		for f := range spans[o] {
			x := &s.indices[o][f]
			x.first = -1
			if all := spans[o][f][fieldVLAN]; len(all) > 0 {
				x.first = all[0].rule
			}
			x.words = (len(s.rules) + 64*64 - 1) / (64 * 64)
			for i := range x.fields {
				x.fields[i] = newField(spans[o][f][i], topOf(i, family(f)))
			}
		}
	}
}

// topOf is the largest value of a field.
func topOf(field int, f family) number {
	switch {
	case field == fieldVLAN:
		return number{lo: maxVLAN}
	case field == fieldInsidePort || field == fieldOutsidePort:
		return number{lo: maxPort}
	case f == ip4:
		return number{lo: math.MaxUint32}
	}
	return number{math.MaxUint64, math.MaxUint64}
}

// addSpans adds the spans of a box.
func (b *box) addSpans(to *[numFields][]span, rule int) {
	for field, l := range map[int][]netip.Prefix{fieldInside: b.inside, fieldOutside: b.outside} {
		if len(l) == 0 {
			to[field] = append(to[field], span{high: topOf(field, b.family), rule: rule})
		}
		for _, p := range l {
			low, high := bounds(p)
			to[field] = append(to[field], span{low, high, rule})
		}
	}
	for field, l := range map[int][]Range{fieldInsidePort: b.insidePorts, fieldOutsidePort: b.outsidePts, fieldVLAN: b.vlans} {
		if len(l) == 0 {
			to[field] = append(to[field], span{high: topOf(field, b.family), rule: rule})
		}
		for _, r := range l {
			to[field] = appendAligned(to[field], r, rule)
		}
	}
}

// bounds returns the first and the last address of a prefix.
func bounds(p netip.Prefix) (low, high number) {
	if a := p.Addr(); a.Is4() {
		b := a.As4()
		low.lo = uint64(binary.BigEndian.Uint32(b[:]))
		return low, number{lo: low.lo | uint64(math.MaxUint32)>>p.Bits()}
	}
	b := p.Addr().As16()
	low = number{binary.BigEndian.Uint64(b[:]), binary.BigEndian.Uint64(b[8:])}
	high = low
	if n := p.Bits(); n < 64 {
		high.hi |= math.MaxUint64 >> n
		high.lo = math.MaxUint64
	} else {
		high.lo |= math.MaxUint64 >> (n - 64)
	}
	return low, high
}

// appendAligned cuts a range into spans that nest with all others: powers of two that begin at a multiple of their size.
func appendAligned(spans []span, r Range, rule int) []span {
	for low, end := uint64(r.Low), uint64(r.High)+1; low < end; {
		size := uint64(1) << 24
		if low != 0 {
			size = low & -low
		}
		for low+size > end {
			size >>= 1
		}
		spans = append(spans, span{number{lo: low}, number{lo: low + size - 1}, rule})
		low += size
	}
	return spans
}

// mapped is how flowtable.Key has IPv4 addresses.
const mapped = 0xffff

// Classify returns the place of the rule for a connection that a host on a side opens, the last one where no other fits.
func (s *Set) Classify(k *flowtable.Key, opener flowtable.Side) int {
	be := binary.BigEndian
	in := number{be.Uint64(k.Inside[:]), be.Uint64(k.Inside[8:])}
	out := number{be.Uint64(k.Outside[:]), be.Uint64(k.Outside[8:])}
	f := ip6
	if in.hi == 0 && in.lo>>32 == mapped && out.hi == 0 && out.lo>>32 == mapped {
		in.lo, out.lo, f = in.lo&math.MaxUint32, out.lo&math.MaxUint32, ip4
	}
	v := [numFields]number{
		fieldOutside: out, fieldInside: in,
		fieldOutsidePort: {lo: uint64(k.OutsidePort)}, fieldInsidePort: {lo: uint64(k.InsidePort)}, fieldVLAN: {lo: uint64(k.VLAN)},
	}
	if i := s.indices[opener&1][f].find(&v); i >= 0 {
		return i
	}
	return len(s.rules) - 1
}

// Provisional returns the set in the form that holds while nobody has published one: its number is 0.
func (s *Set) Provisional() *Set {
	p := *s
	p.number = 0
	return &p
}

// Number tells sets apart; it is 0 of a provisional one alone. A reference to a rule has it.
func (s *Set) Number() uint16 { return s.number }

// Len is the number of rules, the default rule included.
func (s *Set) Len() int { return len(s.rules) }

// Rule returns a rule by its place; it belongs to the set.
func (s *Set) Rule(i int) *Rule { return &s.rules[i] }

// Default returns the terms of the default rule; they belong to the set.
func (s *Set) Default() *Terms { return &s.rules[len(s.rules)-1].Terms }

// Rules returns the rules but for the default one; they belong to the set.
func (s *Set) Rules() []Rule { return s.rules[:len(s.rules)-1] }

// Ref returns the reference to a rule by its place.
func (s *Set) Ref(i int) flowtable.RuleRef { return flowtable.NewRuleRef(s.number, s.slots[i]) }

// Find returns the place of the rule that a reference of this set names, and false where there is none.
func (s *Set) Find(ref flowtable.RuleRef) (int, bool) {
	i, ok := s.bySlot[ref.Slot()]
	return i, ok && ref.Set() == s.number
}

// Name returns the name of the rule of a reference, of this set or an earlier one, and false where nobody knows it: not any more, or
// because the set was a provisional one.
func (s *Set) Name(ref flowtable.RuleRef) (string, bool) {
	if ref.Set() == 0 {
		return "", false
	}
	return s.SlotName(ref.Slot())
}

// SlotName returns the name at a place of the table of names.
func (s *Set) SlotName(slot uint16) (string, bool) {
	name, ok := s.names[slot]
	return name, ok
}

// Slots returns the places of the table of names that are in use, in order.
func (s *Set) Slots() []uint16 {
	all := make([]uint16, 0, len(s.names))
	for slot := range s.names {
		all = append(all, slot)
	}
	slices.Sort(all)
	return all
}

// Terms returns the different terms of the set; they belong to it.
func (s *Set) Terms() []Terms { return s.terms }

// TermsOf returns the place among Terms of those of a rule.
func (s *Set) TermsOf(rule int) int { return int(s.termsOf[rule]) }

// Same reports whether two sets decide alike, by rules of the same names.
func (s *Set) Same(o *Set) bool {
	return slices.EqualFunc(s.rules, o.rules, func(a, b Rule) bool {
		return a.Name == b.Name && a.Terms == b.Terms && a.Match.Equal(&b.Match)
	})
}
