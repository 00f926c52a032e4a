package responder

import (
	"linecrypt/ctrlplane/eno"
	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
)

// NumClasses is the number of classes by which requests for keys are told apart: the key agreements, and what else there may be.
const NumClasses = 5

// Work is what answering a request takes.
type Work struct {
	Class     int   // of requests that cost about the same, from 0 to NumClasses-1
	Micros    int64 // time in µs on a server core of 2024; only proportions count
	Committed bool  // encryption is enabled already: without an answer the connection is lost
}

// curveCost is what a key agreement costs in µs: a private key with its public one, and the shared secret.
type curveCost struct{ generate, share int64 }

var curveCosts = map[tcpcrypt.TEP]curveCost{
	tcpcrypt.ECDHECurve25519: {57, 57},
	tcpcrypt.ECDHEP256:       {17, 77},
	tcpcrypt.ECDHECurve448:   {115, 185},
	tcpcrypt.ECDHEP521:       {660, 2700},
}

// classOf returns the class of a key agreement, the cheapest first.
func classOf(tep tcpcrypt.TEP) int {
	switch tep {
	case tcpcrypt.ECDHECurve25519:
		return 0
	case tcpcrypt.ECDHEP256:
		return 1
	case tcpcrypt.ECDHECurve448:
		return 2
	case tcpcrypt.ECDHEP521:
		return 3
	}
	return NumClasses - 1
}

// WorkFor returns what answering a request takes, and false where that is nothing to speak of: no key agreement is computed for it.
func WorkFor(q *shm.Request) (Work, bool) {
	var n eno.Negotiated
	var err error
	switch q.Kind {
	case shm.ActiveAnswer, shm.ActiveKeys:
		n, err = eno.Negotiate(q.ENOA, q.ENOB, eno.Rules{Opener: eno.Active, Valid: valid})
	case shm.PassiveKeys:
		n, err = eno.Negotiate(q.ENOB, q.ENOA, eno.Rules{Opener: eno.Passive, Valid: valid})
	default:
		return Work{}, false
	}
	if err != nil {
		return Work{}, false
	}
	tep := tcpcrypt.TEP(n.TEP)
	cost := curveCosts[tep]
	w := Work{Class: classOf(tep), Micros: cost.generate, Committed: q.Kind != shm.ActiveAnswer}
	if w.Committed {
		w.Micros += cost.share
	}
	return w, true
}
