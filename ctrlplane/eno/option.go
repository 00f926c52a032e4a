package eno

import (
	"fmt"
	"linecrypt/flowtable"
)

// Role is one of the two abstract roles of a connection (RFC 8547 section 4.3).
type Role = flowtable.Role

// The roles. What sends no global suboption has role A, so that an unknown role stands for A where an option is built.
const (
	A = flowtable.RoleA // sent b = 0: normally the active opener
	B = flowtable.RoleB // sent b = 1: normally the passive opener
)

// TEP is a seven-bit TCP encryption protocol identifier, MinTEP to MaxTEP.
type TEP uint8

// The range of TEP identifiers (RFC 8547 section 3).
const (
	MinTEP TEP = 0x20
	MaxTEP TEP = 0x7f
)

// Bits of suboption bytes (RFC 8547 sections 4.1, 4.2, 4.4).
const (
	vBit       = 0x80
	bBit       = 0x01
	aBit       = 0x02
	lengthMask = 0x1f
	maxCounted = lengthMask + 1 // most data a length byte can count
	minWithTEP = vBit | byte(MinTEP)
)

// Suboption is a suboption with a TEP identifier: its initial byte, "v" bit included, and its data. A length byte before
// it is not part of it. A Suboption is never empty; the methods rely on that.
type Suboption []byte

// TEP returns the identifier.
func (s Suboption) TEP() TEP { return TEP(s[0] &^ vBit) }

// V reports the "v" bit: whether the suboption was sent with variable-length data.
func (s Suboption) V() bool { return s[0]&vBit != 0 }

// Data returns the suboption data; it is empty without the "v" bit, and may be with it.
func (s Suboption) Data() []byte { return s[1:] }

// Option is a SYN-form ENO option (RFC 8547 section 4.1).
type Option struct {
	Raw        []byte      // the option as on the wire, kind and length bytes included
	Global     byte        // the first global suboption, or the implicit 0x00
	Explicit   bool        // whether there is a global suboption
	Suboptions []Suboption // those with TEP identifiers, in order; they alias Raw
}

// Parse reads a SYN-form ENO option; raw is the whole option with kind and length bytes, as FindSYN returns it. An error
// is or wraps a Reason, BadLength, DataBeyondEnd or LengthWithoutTEP, and asks to ignore the option and to disable
// encryption (RFC 8547 section 4.4). An option without any TEP identifier is well-formed: see Negotiate.
func Parse(raw []byte) (Option, error) {
	var p dissected
	switch at, bad := p.parse(raw); bad {
	case ReasonNone:
	case BadLength:
		return Option{}, fmt.Errorf("eno option of %d bytes: %w", len(raw), bad)
	default:
		return Option{}, fmt.Errorf("eno option, byte %d: %w", at, bad)
	}
	o := Option{Raw: raw, Global: p.global, Explicit: p.explicit}
	for i := range p.n {
		o.Suboptions = append(o.Suboptions, p.sub(i))
	}
	return o, nil
}

// Role returns the role that the sender claims by its b bit.
func (o Option) Role() Role {
	if o.Global&bBit != 0 {
		return B
	}
	return A
}

// Aware returns the application-aware bit a.
func (o Option) Aware() bool { return o.Global&aBit != 0 }

// Vacuous reports whether the option has no TEP identifier (RFC 8547 section 4.6).
func (o Option) Vacuous() bool { return len(o.Suboptions) == 0 }

// SYNTEP returns the last TEP identifier, which governs data in the option's SYN segment (RFC 8547 section 4.7), and
// false if there is none. RFC 8548 defines no data in SYN segments: with its TEPs such data is discarded.
func (o Option) SYNTEP() (TEP, bool) {
	if o.Vacuous() {
		return 0, false
	}
	return o.Suboptions[len(o.Suboptions)-1].TEP(), true
}
