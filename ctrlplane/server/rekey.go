package server

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"linecrypt/ctrlplane/session/wire"
	"linecrypt/ctrlplane/sessiontable"
	"linecrypt/ctrlplane/shm"
	"linecrypt/flowtable"
)

// RekeyRequest is what POST /rekey on the control socket takes.
type RekeyRequest struct {
	Connection []string      `json:"connection"` // both ends as address:port, in any order, or the beginning of a session ID in hexadecimal
	All        bool          `json:"all"`        // every encrypted connection, and Connection is empty
	Wait       time.Duration `json:"wait"`       // ns to wait for the far ends, at most MaxRekeyWait
}

// Rekeying is what came of a RekeyRequest.
type Rekeying struct {
	Error       string    `json:"error,omitempty"` // why nothing was done
	Connections []Rekeyed `json:"connections"`     // with All those alone that are not done, the first thousand of them
	Done        int       `json:"done"`
	Failed      int       `json:"failed"`
}

// Rekeyed is what came of it for one connection.
type Rekeyed struct {
	Client  string       `json:"client"`
	Server  string       `json:"server"`
	Sealed  uint32       `json:"sealed"` // number of the key generation that the gateway seals under
	Opened  uint32       `json:"opened"` // and of the one that the far end does
	Took    int64        `json:"took"`   // ns until the far end had followed
	Outcome RekeyOutcome `json:"outcome"`
}

// RekeyOutcome says how far it went.
type RekeyOutcome string

// The outcomes.
const (
	RekeyDone       RekeyOutcome = "done"       // both ends use new keys
	RekeyUnanswered RekeyOutcome = "unanswered" // the gateway seals under a new key; the far end has not followed in time
	RekeyPending    RekeyOutcome = "pending"    // the far end has not answered the rekeying before this one: there is one at a time
	RekeyEnding     RekeyOutcome = "ending"     // an end has sent the last of its stream
	RekeyRefused    RekeyOutcome = "refused"    // the data plane did not begin: no key slot is free, or it does not run
	RekeyGone       RekeyOutcome = "gone"       // the connection ended meanwhile
)

// Bounds of a request.
const (
	MaxRekeyWait  = 20 * time.Second
	minIDDigits   = 4
	maxRekeyed    = 1000
	rekeyPolling  = time.Millisecond
	maxRekeyBytes = 4096 // of a request
)

// Errors of a selection, beside ErrNoConnection.
var (
	ErrAmbiguous    = errors.New("more than one connection")
	ErrNotEncrypted = errors.New("the connection is not encrypted")
	ErrSelection    = errors.New("neither two ends nor a session ID")
)

// serveRekey answers POST /rekey.
func (s *Server) serveRekey(w http.ResponseWriter, r *http.Request) {
	var q RekeyRequest
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRekeyBytes)).Decode(&q); err != nil {
		http.Error(w, "a JSON object is wanted: "+err.Error(), http.StatusBadRequest)
		return
	}
	writeJSON(w, s.Rekey(r.Context(), &q))
}

// Rekey has the connections that a request selects rekey, and waits until their far ends have followed.
func (s *Server) Rekey(ctx context.Context, q *RekeyRequest) *Rekeying {
	answer := &Rekeying{Connections: []Rekeyed{}}
	entries, err := s.selected(q)
	if err != nil {
		answer.Error = err.Error()
		return answer
	}
	ctx, cancel := context.WithTimeout(ctx, min(max(q.Wait, 0), MaxRekeyWait))
	defer cancel()
	jobs := make([]rekeyJob, 0, len(entries))
	for i := range entries {
		jobs = append(jobs, rekeyJob{entry: &entries[i]})
	}
	s.beginRekeying(ctx, jobs)
	s.awaitRekeying(ctx, jobs)
	for i := range jobs {
		j := &jobs[i]
		if j.outcome == RekeyDone {
			answer.Done++
		} else {
			answer.Failed++
		}
		if !q.All || j.outcome != RekeyDone && len(answer.Connections) < maxRekeyed {
			answer.Connections = append(answer.Connections, j.rekeyed())
		}
	}
	return answer
}

// rekeyJob is one connection on its way.
type rekeyJob struct {
	entry   *sessiontable.Entry
	was     flowState
	is      flowState
	begun   time.Time
	took    time.Duration
	outcome RekeyOutcome // empty while it is open
}

func (j *rekeyJob) rekeyed() Rekeyed {
	one := sessionOf(j.entry)
	return Rekeyed{Client: one.Client, Server: one.Server, Sealed: j.is.sealGen, Opened: j.is.openGen, Took: int64(j.took), Outcome: j.outcome}
}

// beginRekeying orders what can be done. Orders wait for room as long as ctx allows.
func (s *Server) beginRekeying(ctx context.Context, jobs []rekeyJob) {
	for i := range jobs {
		j := &jobs[i]
		j.was = s.flowStateOf(j.entry)
		j.is, j.begun = j.was, time.Now()
		switch {
		case !j.was.alive:
			j.outcome = RekeyGone
		case j.was.ending:
			j.outcome = RekeyEnding
		case j.was.sealGen > j.was.openGen:
			j.outcome = RekeyPending
		default:
			o := OrderAbout(j.entry, shm.Rekey, shm.ReasonNone)
			err := s.Order(o)
			for errors.Is(err, ErrOrders) && pause(ctx) {
				err = s.Order(o)
			}
			if err != nil {
				j.outcome = RekeyRefused
			}
		}
	}
}

// awaitRekeying looks until both generations of every connection have grown, or ctx is done.
func (s *Server) awaitRekeying(ctx context.Context, jobs []rekeyJob) {
	for {
		open := 0
		for i := range jobs {
			j := &jobs[i]
			if j.outcome != "" {
				continue
			}
			j.is = s.flowStateOf(j.entry)
			switch {
			case !j.is.alive:
				j.outcome, j.is = RekeyGone, j.was
			case j.is.sealGen > j.was.sealGen && j.is.openGen >= j.is.sealGen:
				j.outcome, j.took = RekeyDone, time.Since(j.begun)
			default:
				open++
			}
		}
		if open == 0 || !pause(ctx) {
			break
		}
	}
	for i := range jobs {
		if j := &jobs[i]; j.outcome == "" {
			j.outcome = RekeyRefused
			if j.is.sealGen > j.was.sealGen {
				j.outcome = RekeyUnanswered
			}
		}
	}
}

// pause waits a moment, and reports false when ctx is done.
func pause(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(rekeyPolling):
		return true
	}
}

// flowState is what a record says about a connection's keys.
type flowState struct {
	alive, ending    bool
	sealGen, openGen uint32
}

// flowStateOf reads the record of an entry's connection, which the data plane is writing.
func (s *Server) flowStateOf(e *sessiontable.Entry) (f flowState) {
	s.View(func(seg *shm.Segment) {
		s.views.mu.Lock()
		defer s.views.mu.Unlock()
		s.views.attach(s)
		if int(e.Worker) >= len(s.views.tables) || s.views.tables[e.Worker] == nil {
			return
		}
		r := s.views.tables[e.Worker].Get(e.Index, e.Gen)
		if r == nil || r.Key != e.Tuple || r.State != flowtable.Encrypted {
			return
		}
		f.alive = true
		f.ending = r.Egress.Flags&flowtable.EgressFIN != 0 || r.Ingress.Flags&flowtable.IngressFINp != 0
		f.sealGen, f.openGen = atomic.LoadUint32(&r.Rare.SealGen), atomic.LoadUint32(&r.Rare.OpenGen)
	})
	return f
}

// selected returns the entries of the connections that a request is about.
func (s *Server) selected(q *RekeyRequest) ([]sessiontable.Entry, error) {
	switch {
	case q.All && len(q.Connection) > 0:
		return nil, fmt.Errorf("all connections, and one of them: %w", ErrSelection)
	case q.All:
		return s.entries(func(*sessiontable.Entry) bool { return true }), nil
	case len(q.Connection) == 2:
		return s.between(q.Connection[0], q.Connection[1])
	case len(q.Connection) == 1:
		return s.withID(q.Connection[0])
	}
	return nil, ErrSelection
}

// entries returns those of the session table that a function takes.
func (s *Server) entries(take func(*sessiontable.Entry) bool) (list []sessiontable.Entry) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.sessions == nil {
		return nil
	}
	s.sessions.Range(func(e *sessiontable.Entry) bool {
		if take(e) {
			list = append(list, *e)
		}
		return true
	})
	return list
}

// between returns the connection between two ends, whichever is inside.
func (s *Server) between(a, b string) ([]sessiontable.Entry, error) {
	var ends [2]wire.Endpoint
	for i, text := range []string{a, b} {
		end, err := netip.ParseAddrPort(text)
		if err != nil {
			return nil, fmt.Errorf("%q is not address:port: %w", text, ErrSelection)
		}
		ends[i] = wire.Endpoint{Addr: end.Addr().As16(), Port: end.Port()}
	}
	list := s.entries(func(e *sessiontable.Entry) bool {
		in, out := wire.Endpoint{Addr: e.Tuple.Inside, Port: e.Tuple.InsidePort}, wire.Endpoint{Addr: e.Tuple.Outside, Port: e.Tuple.OutsidePort}
		return in == ends[0] && out == ends[1] || in == ends[1] && out == ends[0]
	})
	switch {
	case len(list) > 1:
		return nil, fmt.Errorf("%w between %s and %s, in several VLANs; a session ID tells them apart", ErrAmbiguous, a, b)
	case len(list) == 1:
		return list, nil
	}
	for i := range ends {
		switch s.stateOf(&wire.Request{Verb: wire.State, Local: ends[i], Remote: ends[1-i], VLAN: wire.AnyVLAN}) {
		case wire.Plain:
			return nil, fmt.Errorf("%s and %s: %w", a, b, ErrNotEncrypted)
		case wire.Connecting:
			return nil, fmt.Errorf("%s and %s: %w yet", a, b, ErrNotEncrypted)
		}
	}
	return nil, fmt.Errorf("%s and %s: %w", a, b, ErrNoConnection)
}

// withID returns the connection whose session ID begins with digits, which may come as the table of sessions shortens them.
func (s *Server) withID(digits string) ([]sessiontable.Entry, error) {
	prefix := strings.ToLower(strings.TrimSuffix(digits, "…"))
	if len(prefix) < minIDDigits || len(prefix) > 2*sessiontable.SessionIDSize || strings.Trim(prefix, "0123456789abcdef") != "" {
		return nil, fmt.Errorf("%q is not %d to %d hexadecimal digits of a session ID: %w", digits, minIDDigits, 2*sessiontable.SessionIDSize, ErrSelection)
	}
	list := s.entries(func(e *sessiontable.Entry) bool { return strings.HasPrefix(hex.EncodeToString(e.SessionID[:]), prefix) })
	switch len(list) {
	case 0:
		return nil, fmt.Errorf("session ID %s: %w", digits, ErrNoConnection)
	case 1:
		return list, nil
	}
	var ids []string
	for i := range list[:min(len(list), 3)] {
		ids = append(ids, hex.EncodeToString(list[i].SessionID[:]))
	}
	slices.Sort(ids)
	return nil, fmt.Errorf("%w: %d session IDs begin with %s, for example %s", ErrAmbiguous, len(list), digits, strings.Join(ids, " and "))
}
