package policy

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
)

// ErrImage is wrapped by errors about bytes that are no set of rules.
var ErrImage = errors.New("bad image of rules")

// MaxImage bounds the form in which a set goes to another process, in bytes.
const MaxImage = 2 << 20

// The image of a set: number and counts, the different terms, the rules with their places in the table of names, and the names of rules
// that are gone. All numbers are little endian. It is a list of facts: the index is made anew by who reads it.
const (
	imageMagic = 0x316c7572 // "rul1"
	imageHead  = 20
)

// Image returns the form in which the set goes to another process. The error wraps ErrRule: the rules are too long.
func (s *Set) Image() ([]byte, error) {
	le := binary.LittleEndian
	b := le.AppendUint32(nil, imageMagic)
	b = le.AppendUint32(b, uint32(s.number))
	b = le.AppendUint32(b, uint32(len(s.terms)))
	b = le.AppendUint32(b, uint32(len(s.rules)))
	b = le.AppendUint32(b, uint32(len(s.names)))
	for i := range s.terms {
		var t [TermsSize]byte
		s.terms[i].Encode(&t)
		b = append(b, t[:]...)
	}
	for i := range s.rules {
		r := &s.rules[i]
		b = le.AppendUint16(b, s.slots[i])
		b = le.AppendUint16(b, s.termsOf[i])
		b = appendName(b, r.Name)
		b = r.Match.append(b)
	}
	for _, slot := range s.Slots() {
		b = appendName(le.AppendUint16(b, slot), s.names[slot])
	}
	if len(b) > MaxImage {
		return nil, fmt.Errorf("the rules take %d bytes, more than %d: use shorter names, or fewer rules: %w", len(b), MaxImage, ErrRule)
	}
	return b, nil
}

func appendName(b []byte, name string) []byte { return append(append(b, byte(len(name))), name...) }

func (m *Match) append(b []byte) []byte {
	le := binary.LittleEndian
	b = append(b, byte(m.Direction))
	for _, l := range [][]netip.Prefix{m.Source, m.Destination, m.Inside, m.Outside} {
		b = le.AppendUint16(b, uint16(len(l)))
		for _, p := range l {
			a := p.Addr().AsSlice()
			b = append(append(b, byte(len(a)), byte(p.Bits())), a...)
		}
	}
	for _, l := range [][]Range{m.SourcePorts, m.Ports, m.VLANs} {
		b = le.AppendUint16(b, uint16(len(l)))
		for _, r := range l {
			b = le.AppendUint32(le.AppendUint32(b, r.Low), r.High)
		}
	}
	return b
}

// Decode makes the set of an image that another process wrote, which is not believed. It keeps nothing of b. The error wraps ErrImage.
func Decode(b []byte) (*Set, error) {
	if len(b) > MaxImage {
		return nil, fmt.Errorf("%d bytes, more than %d: %w", len(b), MaxImage, ErrImage)
	}
	r := reader{b: b}
	s := r.set()
	if r.bad || len(r.b) != 0 {
		return nil, fmt.Errorf("it ends too early, or too late: %w", ErrImage)
	}
	if err := s.fits(); err != nil {
		return nil, fmt.Errorf("%w: %w", err, ErrImage)
	}
	s.compile()
	return s, nil
}

// fits checks what was read as New checks what it is given.
func (s *Set) fits() error {
	terms, termsOf := s.terms, s.termsOf
	for i := range s.rules {
		s.rules[i].Terms = terms[termsOf[i]]
	}
	s.terms, s.termsOf = nil, nil
	if err := s.check(); err != nil {
		return err
	}
	last := len(s.rules) - 1
	if s.rules[last].Name != DefaultRule || !s.rules[last].Match.Equal(&Match{}) || s.number == 0 {
		return fmt.Errorf("no default rule at the end, or no number: %w", ErrRule)
	}
	taken := make(map[string]bool, len(s.names))
	for slot, name := range s.names {
		if err := CheckName(name); err != nil || taken[name] || (slot == 0) != (name == DefaultRule) {
			return fmt.Errorf("table of names, at %d: %w", slot, ErrRule)
		}
		taken[name] = true
	}
	for i, slot := range s.slots {
		if s.names[slot] != s.rules[i].Name {
			return fmt.Errorf("rule %d is not in the table of names: %w", i+1, ErrRule)
		}
	}
	return nil
}

// reader takes an image apart. What is missing is zero, and noted.
type reader struct {
	b   []byte
	bad bool
}

var zeros [TermsSize]byte

// take returns n bytes, at most TermsSize.
func (r *reader) take(n int) []byte {
	if r.bad || len(r.b) < n {
		r.bad, r.b = true, nil
		return zeros[:n]
	}
	t := r.b[:n]
	r.b = r.b[n:]
	return t
}

func (r *reader) u8() int     { return int(r.take(1)[0]) }
func (r *reader) u16() uint16 { return binary.LittleEndian.Uint16(r.take(2)) }
func (r *reader) u32() uint32 { return binary.LittleEndian.Uint32(r.take(4)) }

func (r *reader) name() string {
	n := r.u8()
	if n > MaxName {
		r.bad = true
		return ""
	}
	return string(r.take(n))
}

func (r *reader) set() *Set {
	magic, number, terms, rules, names := r.u32(), r.u32(), r.u32(), r.u32(), r.u32()
	s := &Set{number: uint16(number), names: map[uint16]string{}}
	if magic != imageMagic || number > 0xffff || terms > MaxTerms || rules < 1 || rules > MaxRules || names > MaxNames {
		r.bad = true
		return s
	}
	for range terms {
		var t Terms
		if t.Decode((*[TermsSize]byte)(r.take(TermsSize))) != nil {
			r.bad = true
			return s
		}
		s.terms = append(s.terms, t)
	}
	for range rules {
		slot, at := r.u16(), r.u16()
		rule := Rule{Name: r.name()}
		r.match(&rule.Match)
		if r.bad = r.bad || int(at) >= len(s.terms); r.bad {
			return s
		}
		s.slots, s.termsOf, s.rules = append(s.slots, slot), append(s.termsOf, at), append(s.rules, rule)
	}
	for range names {
		slot := r.u16()
		if _, twice := s.names[slot]; twice || r.bad || slot >= MaxNames {
			r.bad = true
			return s
		}
		s.names[slot] = r.name()
	}
	return s
}

func (r *reader) match(m *Match) {
	m.Direction = Direction(r.u8())
	for _, l := range []*[]netip.Prefix{&m.Source, &m.Destination, &m.Inside, &m.Outside} {
		for n := int(r.u16()); n > 0 && !r.bad; n-- {
			size, bits := r.u8(), r.u8()
			if size != 4 && size != 16 {
				r.bad = true
				return
			}
			a, _ := netip.AddrFromSlice(slices.Clone(r.take(size)))
			*l = append(*l, netip.PrefixFrom(a, bits))
			r.bad = r.bad || len(*l) > MaxList
		}
	}
	for _, l := range []*[]Range{&m.SourcePorts, &m.Ports, &m.VLANs} {
		for n := int(r.u16()); n > 0 && !r.bad; n-- {
			*l = append(*l, Range{r.u32(), r.u32()})
			r.bad = r.bad || len(*l) > MaxList
		}
	}
}
