package eno

import "errors"

// Reason says by which rule of RFC 8547 encryption is disabled for a connection, which then falls back to unencrypted
// TCP. It is an error, so errors.Is finds it in what this package returns, and a small number, so it can index counters.
type Reason uint8

// The reasons, with the section of RFC 8547 each comes from.
const (
	ReasonNone       Reason = iota // encryption is not disabled
	NoOption                       // 4.6 rule 1: a SYN segment without an ENO option
	SeveralOptions                 // 4.1: more than one ENO option in a SYN segment, to be taken as none
	MalformedOptions               // 4.6 rule 1: the TCP options cannot be walked, so nothing in them counts
	BadLength                      // 4.6 rule 1: kind and length bytes do not fit the bytes given
	DataBeyondEnd                  // 4.4 rule 1: a length byte reaches beyond the option
	LengthWithoutTEP               // 4.4 rule 2: a length byte is not followed by a TEP identifier with v = 1
	Vacuous                        // 4.6: one of the options has no TEP identifier
	SameRole                       // 4.6 rule 3: both hosts sent the same b
	NotAware                       // 4.6 rule 3: mandatory application-aware mode, and the peer sent a = 0
	NoCommonTEP                    // 4.6 rule 2, 4.5 rule 1: no TEP was sent by both hosts and is enabled here
	RepeatedTEP                    // 4.6 rule 2, 4.5 rule 3: the common TEPs occur more than once in an option
	InvalidData                    // 4.6 rule 2, 4.5 rule 2: the common TEPs have suboption data that is not valid
	NoOptionInACK                  // 4.6 rule 1: the first ACK without SYN carries no ENO option
	reasons
)

// Reasons returns all reasons but ReasonNone, in order.
func Reasons() []Reason {
	all := make([]Reason, 0, reasons-1)
	for r := NoOption; r < reasons; r++ {
		all = append(all, r)
	}
	return all
}

var reasonNames = [reasons]string{
	ReasonNone:       "none",
	NoOption:         "no-eno-option",
	SeveralOptions:   "several-eno-options",
	MalformedOptions: "malformed-tcp-options",
	BadLength:        "eno-bad-length",
	DataBeyondEnd:    "eno-data-beyond-end",
	LengthWithoutTEP: "eno-length-without-tep",
	Vacuous:          "eno-vacuous",
	SameRole:         "eno-same-role",
	NotAware:         "eno-not-application-aware",
	NoCommonTEP:      "eno-no-common-tep",
	RepeatedTEP:      "eno-repeated-tep",
	InvalidData:      "eno-invalid-suboption-data",
	NoOptionInACK:    "no-eno-option-in-ack",
}

// String returns a name that may be a counter's: lower case with hyphens.
func (r Reason) String() string {
	if r < reasons {
		return reasonNames[r]
	}
	return "unknown"
}

// Error returns the name.
func (r Reason) Error() string { return r.String() }

// ReasonOf returns the reason that err wraps, or ReasonNone.
func ReasonOf(err error) Reason {
	if err == nil {
		return ReasonNone
	}
	if r, bare := err.(Reason); bare { // without memory of its own
		return r
	}
	return wrappedReason(err)
}

//go:noinline
func wrappedReason(err error) Reason {
	var r Reason
	if errors.As(err, &r) {
		return r
	}
	return ReasonNone
}
