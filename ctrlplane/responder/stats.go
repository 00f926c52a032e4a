package responder

import (
	"slices"
	"sync/atomic"

	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/flowtable"
)

const (
	numKinds = int(shm.Closed) + 1
	numTEPs  = 4
	numAEADs = 3
)

// ends are the replies that end a handshake without keys.
var ends = [...]shm.ReplyKind{shm.Pass, shm.Refuse, shm.Abort}

// Stats counts what a Responder has decided since it was made. It may be read at any time.
type Stats struct {
	requests [numKinds]atomic.Uint64 // those of no kind count as kind 0
	sessions [2][numTEPs][numAEADs]atomic.Uint64
	resumed  [2]atomic.Uint64
	endings  [len(ends)][NumReasons]atomic.Uint64
}

// SessionCount is the number of sessions whose keys were agreed.
type SessionCount struct {
	Role  flowtable.Role // the gateway's
	TEP   tcpcrypt.TEP
	AEAD  tcpcrypt.AEAD
	Count uint64
}

// EndingCount is the number of handshakes that ended without keys: by Pass, Refuse or Abort.
type EndingCount struct {
	By     shm.ReplyKind
	Reason Reason
	Count  uint64
}

// Requests returns the number of requests of a kind, kind 0 standing for malformed ones.
func (s *Stats) Requests(k shm.RequestKind) uint64 {
	if int(k) >= numKinds {
		k = 0
	}
	return s.requests[k].Load()
}

// Sessions returns the sessions agreed by role, TEP and AEAD, those that never occurred included.
func (s *Stats) Sessions() []SessionCount {
	var all []SessionCount
	for role, name := range []flowtable.Role{flowtable.RoleA, flowtable.RoleB} {
		for t, tep := range tcpcrypt.TEPs() {
			for a, aead := range tcpcrypt.AEADs() {
				all = append(all, SessionCount{name, tep, aead, s.sessions[role][t][a].Load()})
			}
		}
	}
	return all
}

// Resumed returns how many of the sessions in a role came from an earlier one, without a key exchange.
func (s *Stats) Resumed(role flowtable.Role) uint64 {
	if !role.Valid() {
		return 0
	}
	return s.resumed[role-flowtable.RoleA].Load()
}

// Endings returns the handshakes without keys by reply and reason, those that never occurred included.
func (s *Stats) Endings() []EndingCount {
	var all []EndingCount
	for i, by := range ends {
		for _, r := range Reasons() {
			all = append(all, EndingCount{by, r, s.endings[i][r].Load()})
		}
	}
	return all
}

// Malformed counts a message that could not be decoded.
func (s *Stats) Malformed() { s.requests[0].Add(1) }

func (s *Stats) count(kind shm.RequestKind, p *shm.Reply, r Reason) {
	if int(kind) >= numKinds {
		kind = 0
	}
	s.requests[kind].Add(1)
	if p.Kind == shm.Keys {
		t := slices.Index(tcpcrypt.TEPs(), tcpcrypt.TEP(p.TEP&0x7f))
		a := slices.Index(tcpcrypt.AEADs(), tcpcrypt.AEAD(p.AEAD))
		s.sessions[p.Role-flowtable.RoleA][t][a].Add(1)
		return
	}
	if i := slices.Index(ends[:], p.Kind); i >= 0 {
		s.endings[i][r].Add(1)
	}
}
