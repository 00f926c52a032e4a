package responder

import (
	"errors"

	"linecrypt/ctrlplane/eno"
	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
)

// Reason says why a connection is passed in the clear, refused or aborted. The values below firstOwn are those of
// eno.Reason. It indexes counters; replies carry the coarser shm.Reason.
type Reason uint8

const firstOwn = 32

// The reasons beside those of RFC 8547 section 4.6.
const (
	PolicyDisabled   Reason = firstOwn + iota // the policy is to encrypt nothing
	NoRandomness                              // no key without randomness (RFC 8548 section 8)
	BadRequest                                // the request is not one, or its own ENO option is not
	BadSecret                                 // the blob that was echoed is not one of ours
	SecretMismatch                            // the blob is of another handshake than the Init1 it came with
	InitMagic                                 // an Init message does not begin with its magic number
	InitLength                                // message_len of an Init message is out of bounds or not the message's
	InitTruncated                             // an Init message ends before its fields do
	InitNoCiphers                             // Init1 offers no cipher
	NoCommonAEAD                              // Init1 offers no cipher that the policy allows
	CipherNotOffered                          // Init2 selects a cipher that Init1 did not offer
	PublicKeyFormat                           // a public key is not of its TEP's form
	PublicKeyInvalid                          // a public key fails validation (RFC 8548 section 5)
	NotNegotiated                             // keys are asked for where the ENO options negotiate nothing
	NotResumable                              // the connection has claimed no secret, or it was flushed
	UnknownRule                               // the rules that the connection was decided on by are gone
	Internal                                  // anything else
	NumReasons
)

var ownNames = [NumReasons - firstOwn]string{
	PolicyDisabled - firstOwn:   "policy-disabled",
	NoRandomness - firstOwn:     "no-randomness",
	BadRequest - firstOwn:       "bad-request",
	BadSecret - firstOwn:        "bad-handshake-secret",
	SecretMismatch - firstOwn:   "handshake-secret-mismatch",
	InitMagic - firstOwn:        "init-magic",
	InitLength - firstOwn:       "init-length",
	InitTruncated - firstOwn:    "init-truncated",
	InitNoCiphers - firstOwn:    "init-no-ciphers",
	NoCommonAEAD - firstOwn:     "no-common-aead",
	CipherNotOffered - firstOwn: "cipher-not-offered",
	PublicKeyFormat - firstOwn:  "public-key-format",
	PublicKeyInvalid - firstOwn: "public-key-invalid",
	NotNegotiated - firstOwn:    "not-negotiated",
	NotResumable - firstOwn:     "not-resumable",
	UnknownRule - firstOwn:      "unknown-rule",
	Internal - firstOwn:         "internal",
}

// String returns a name that may be a counter's label: lower case with hyphens; "unknown" for what is no reason.
func (r Reason) String() string {
	if r < firstOwn {
		return eno.Reason(r).String()
	}
	if r < NumReasons {
		return ownNames[r-firstOwn]
	}
	return "unknown"
}

// Reasons returns all reasons in order.
func Reasons() []Reason {
	var all []Reason
	for _, r := range eno.Reasons() {
		all = append(all, Reason(r))
	}
	for r := Reason(firstOwn); r < NumReasons; r++ {
		all = append(all, r)
	}
	return all
}

// byError says which error of package tcpcrypt is which reason, the more particular ones first.
var byError = []struct {
	err    error
	reason Reason
}{
	{tcpcrypt.ErrInitMagic, InitMagic},
	{tcpcrypt.ErrInitLength, InitLength},
	{tcpcrypt.ErrInitTruncated, InitTruncated},
	{tcpcrypt.ErrInitNoCiphers, InitNoCiphers},
	{tcpcrypt.ErrInitPublicKey, PublicKeyFormat},
	{tcpcrypt.ErrPublicKey, PublicKeyInvalid},
	{tcpcrypt.ErrNoCommonAEAD, NoCommonAEAD},
	{tcpcrypt.ErrNotOfferedAEAD, CipherNotOffered},
}

// reasonOf returns the reason for an error of packages eno and tcpcrypt.
func reasonOf(err error) Reason {
	if r := eno.ReasonOf(err); r != eno.ReasonNone {
		return Reason(r)
	}
	for _, e := range byError {
		if errors.Is(err, e.err) {
			return e.reason
		}
	}
	return Internal
}

// code returns the reason that the data plane is told.
func (r Reason) code() shm.Reason {
	switch r {
	case Reason(eno.NoOption), Reason(eno.SeveralOptions), Reason(eno.NoOptionInACK):
		return shm.ReasonNoENO
	case Reason(eno.MalformedOptions), Reason(eno.BadLength), Reason(eno.DataBeyondEnd), Reason(eno.LengthWithoutTEP), NotNegotiated:
		return shm.ReasonBadENO
	case Reason(eno.Vacuous), Reason(eno.NoCommonTEP), Reason(eno.RepeatedTEP), Reason(eno.InvalidData):
		return shm.ReasonNoTEP
	case Reason(eno.SameRole):
		return shm.ReasonRoles
	case Reason(eno.NotAware), PolicyDisabled, UnknownRule:
		return shm.ReasonPolicy
	case BadSecret, SecretMismatch, NotResumable:
		return shm.ReasonBadSecret
	case InitMagic, InitLength, InitTruncated, InitNoCiphers:
		return shm.ReasonBadInit
	case NoCommonAEAD, CipherNotOffered:
		return shm.ReasonNoAEAD
	case PublicKeyFormat, PublicKeyInvalid:
		return shm.ReasonBadKey
	}
	return shm.ReasonInternal
}
