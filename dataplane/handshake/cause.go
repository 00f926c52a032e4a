package handshake

import (
	"linecrypt/ctrlplane/eno"
	"linecrypt/ctrlplane/shm"
)

// Cause says why a connection is not encrypted. It is counted once, as Plain or as Refused, whichever policy makes of it.
type Cause uint8

// The causes. Each has a counter of each kind in package shm, in this order, with a name and a help text.
const (
	CauseNone Cause = iota
	NoENOInSYN
	SeveralENO
	BadENO
	MalformedOptions
	BindingOptions
	NoOptionRoom
	NoCommonTEP
	SameRole
	NotAware
	NoENOInSynAck
	NoENOInACK
	ENOGivenUp
	SynUnanswered
	SynReset
	PathHatesENO
	Simultaneous
	ControlAway
	ControlLate
	ControlSaid
	TableFull
	LongHeaders
	numCauses
)

// Plain returns the counter of connections left in the clear for the cause.
func (c Cause) Plain() shm.Counter { return shm.PlainNoENOInSyn + shm.Counter(c-NoENOInSYN) }

// Refused returns the counter of connections refused for the cause.
func (c Cause) Refused() shm.Counter { return shm.RefusedNoENOInSyn + shm.Counter(c-NoENOInSYN) }

// causeOf returns the cause for an error of package eno, CauseNone for none.
func causeOf(err error) Cause {
	if err == nil {
		return CauseNone
	}
	switch eno.ReasonOf(err) {
	case eno.NoOption:
		return NoENOInSYN
	case eno.SeveralOptions:
		return SeveralENO
	case eno.MalformedOptions:
		return MalformedOptions
	case eno.BadLength, eno.DataBeyondEnd, eno.LengthWithoutTEP:
		return BadENO
	case eno.SameRole:
		return SameRole
	case eno.NotAware:
		return NotAware
	case eno.NoOptionInACK:
		return NoENOInACK
	}
	return NoCommonTEP
}
