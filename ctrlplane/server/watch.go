package server

import (
	"encoding/json"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"linecrypt/ctrlplane/connections"
	"linecrypt/ctrlplane/sessiontable"
)

// Bounds of GET /sessions/watch.
const (
	maxWatchers   = 16
	notesEvery    = 50 * time.Millisecond // workers' notes of connections that are not encrypted are read
	watchBacklog  = 8192                  // changes that one watcher may be behind
	watchPatience = 10 * time.Second
)

// SessionEvent is a line of what GET /sessions/watch answers. First come the connections that there are, encrypted and in the clear, as
// "open", and a line "listed"; then what happens: "open", "change", "close", and "refused" for one that never opened. A watcher that does not
// keep up gets a line "lost" with how many changes it missed. There is no answer before there is a data plane to serve, and the answer ends
// when another one is served: its list is another.
type SessionEvent struct {
	Event string    `json:"event"`
	Time  time.Time `json:"time"`
	Lost  uint64    `json:"lost,omitempty"`
	*Session
}

// watchers are those who want to know of changes to the session table. Run's goroutine tells them and never waits for one.
type watchers struct {
	n    atomic.Int32
	mu   sync.Mutex
	list map[*watcher]bool
}

type watcher struct {
	changes chan change
	lost    atomic.Uint64
}

type change struct {
	kind  sessiontable.Change
	entry sessiontable.Entry
	at    time.Time
}

// tell passes a change of the session table on.
func (w *watchers) tell(c sessiontable.Change, e *sessiontable.Entry) {
	if w.n.Load() == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for one := range w.list {
		select {
		case one.changes <- change{c, *e, time.Now()}:
		default:
			one.lost.Add(1)
		}
	}
}

// enter returns a new watcher, nil when there are too many.
func (w *watchers) enter() *watcher {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.list) >= maxWatchers {
		return nil
	}
	if w.list == nil {
		w.list = map[*watcher]bool{}
	}
	one := &watcher{changes: make(chan change, watchBacklog)}
	w.list[one] = true
	w.n.Add(1)
	return one
}

func (w *watchers) leave(one *watcher) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.list, one)
	w.n.Add(-1)
}

// watchSessions streams the changes of the session table, and what the workers note of other connections, until the client goes. What changes
// while the list is made comes after it too.
func (s *Server) watchSessions(w http.ResponseWriter, r *http.Request) {
	one := s.watchers.enter()
	if one == nil {
		http.Error(w, "too many are watching", http.StatusServiceUnavailable)
		return
	}
	defer s.watchers.leave(one)
	var notes noteReaders
	for s.View(notes.attach); notes.seg == nil; s.View(notes.attach) {
		select {
		case <-r.Context().Done():
			return
		case <-time.After(notesEvery):
		}
	}
	w.Header().Set("Content-Type", "application/jsonl")
	out := eventWriter{s: s, json: json.NewEncoder(w), control: http.NewResponseController(w)}
	plain, err := s.connections(connections.Plain, "", "", "age")
	if err != nil {
		plain = nil // nobody has a segment
	}
	clock := newWallClock()
	list := s.Sessions()
	for i := range plain {
		list = append(list, unencrypted(&plain[i], clock))
	}
	for _, session := range list {
		if out.write(SessionEvent{Event: "open", Time: session.Since, Session: &session}) != nil {
			return
		}
	}
	if out.write(SessionEvent{Event: "listed", Time: time.Now()}) != nil || out.flush() != nil {
		return
	}
	tick := time.NewTicker(notesEvery)
	defer tick.Stop()
	for {
		select {
		case <-r.Context().Done():
			return
		case <-tick.C:
			if out.writeNotes(&notes) != nil {
				return
			}
		case c := <-one.changes:
			if out.writeAll(one, c) != nil {
				return
			}
		}
	}
}

// eventWriter writes lines, each within a time.
type eventWriter struct {
	s       *Server
	json    *json.Encoder
	control *http.ResponseController
}

func (o *eventWriter) write(e SessionEvent) error {
	if err := o.control.SetWriteDeadline(time.Now().Add(watchPatience)); err != nil {
		return err
	}
	return o.json.Encode(e)
}

func (o *eventWriter) flush() error { return o.control.Flush() }

// writeAll writes a change and those that wait behind it.
func (o *eventWriter) writeAll(one *watcher, c change) error {
	for {
		session := o.s.session(&c.entry)
		if err := o.write(SessionEvent{Event: c.kind.String(), Time: c.at, Session: &session}); err != nil {
			return err
		}
		select {
		case c = <-one.changes:
			continue
		default:
		}
		if n := one.lost.Swap(0); n > 0 {
			if err := o.write(SessionEvent{Event: "lost", Time: time.Now(), Lost: n}); err != nil {
				return err
			}
		}
		return o.flush()
	}
}
