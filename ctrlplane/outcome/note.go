package outcome

import "linecrypt/flowtable"

// Kind says what became of a connection.
type Kind uint8

// The kinds. A connection has at most one Plain and one Over, or one Refused.
const (
	None    Kind = iota
	Plain        // it passes in the clear, and its opener is proven real
	Over         // it passed in the clear, and has ended or is forgotten
	Refused      // it was refused, or aborted before it had keys
)

var kindNames = [...]string{"none", "plain", "over", "refused"}

// String returns the kind's name.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "invalid"
}

// Note is what a worker writes down.
type Note struct {
	At      int64 // ns of CLOCK_MONOTONIC
	Created int64 // of the connection, likewise
	Key     flowtable.Key
	Rule    flowtable.RuleRef
	Why     uint16 // shm.Counter
	Kind    Kind
	Verdict flowtable.Policy // what the rule said
	Active  bool             // the host inside opened it, or may have
}
