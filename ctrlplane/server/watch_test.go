package server

import (
	"bufio"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"linecrypt/ctrlplane/connections"
	"linecrypt/ctrlplane/outcome"
	"linecrypt/ctrlplane/sessiontable"
	"linecrypt/ctrlplane/shm"
	"linecrypt/flowtable"
)

// watching begins to watch a server's connections. It returns the lines that come, and what waits for the next one, which is to be of a kind.
func watching(t *testing.T, s *Server) (lines *json.Decoder, next func(want string) SessionEvent) {
	t.Helper()
	srv := httptest.NewServer(s.ControlHandler())
	t.Cleanup(srv.Close)
	answer, err := http.Get(srv.URL + "/sessions/watch")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { answer.Body.Close() })
	lines = json.NewDecoder(bufio.NewReader(answer.Body))
	return lines, func(want string) SessionEvent {
		t.Helper()
		var e SessionEvent
		if err := lines.Decode(&e); err != nil || e.Event != want {
			t.Fatalf("%+v instead of %s: %v", e, want, err)
		}
		return e
	}
}

func TestWatcherIsToldOfEverySessionHoweverShort(t *testing.T) {
	s, p := attached(t)
	ref, k := p.flow(0, 1000, 0)
	entry := sessiontable.Entry{Tuple: k, SessionID: [33]byte{0x23, 1}, Index: ref.Index, Gen: ref.Gen}
	if err := s.sessions.Insert(&entry); err != nil {
		t.Fatal(err)
	}
	_, next := watching(t, s)
	if e := next("open"); e.SessionID[:4] != "2301" {
		t.Errorf("%+v", e.Session)
	}
	next("listed")
	const n = 500
	for i := range uint32(n) {
		entry.Tuple.InsidePort, entry.Gen = uint16(i), i
		if err := s.sessions.Insert(&entry); err != nil {
			t.Fatal(err)
		}
		s.sessions.Delete(&entry.Tuple, entry.Worker, entry.Index, entry.Gen)
	}
	for range n {
		next("open")
		next("close")
	}
}

func TestSlowWatcherIsToldWhatItMissedAndHoldsNobodyUp(t *testing.T) {
	var w watchers
	slow := w.enter()
	for range watchBacklog + 7 {
		w.tell(sessiontable.Opened, &sessiontable.Entry{})
	}
	if len(slow.changes) != watchBacklog || slow.lost.Load() != 7 {
		t.Errorf("%d wait, %d are lost", len(slow.changes), slow.lost.Load())
	}
	for range maxWatchers - 1 {
		if w.enter() == nil {
			t.Fatal("refused")
		}
	}
	if w.enter() != nil {
		t.Error("one more than the bound may watch")
	}
	w.leave(slow)
	if w.enter() == nil {
		t.Error("the place of one that went is not free")
	}
}

func TestWatcherIsToldOfConnectionsThatAreNotEncrypted(t *testing.T) {
	s, p := attached(t)
	_, old := p.flow(0, 1000, flowtable.Plain)
	lines, next := watching(t, s)
	if e := next("open"); e.State != connections.Plain || e.Server != "10.0.0.1:1000" {
		t.Errorf("%+v", e.Session)
	}
	next("listed")
	pen := outcome.NewPen(p.seg.Worker(0).Outcomes)
	note := outcome.Note{At: monotonic(), Created: monotonic(), Key: old, Kind: outcome.Plain, Why: uint16(shm.PlainNoENOInSynAck), Verdict: flowtable.Opportunistic, Active: true}
	pen.Write(&note)
	if e := next("open"); e.State != connections.Plain || e.Reason != "no_eno_in_syn_ack" || e.Client != "10.0.0.1:1000" || time.Since(e.Since).Abs() > patience {
		t.Errorf("%+v", e.Session)
	}
	note.Kind = 99 // which no data plane of ours writes
	pen.Write(&note)
	note.Kind = outcome.Over
	pen.Write(&note)
	next("close")
	note.Kind, note.Why, note.Verdict = outcome.Refused, uint16(shm.AbortUnauthenticated), flowtable.Require
	pen.Write(&note)
	if e := next("refused"); e.State != connections.Refused || e.Reason != "unauthenticated" || e.Because == "" || e.Verdict != "require" {
		t.Errorf("%+v", e.Session)
	}
	list, err := s.connections(connections.Refused, "", "", "age")
	if err != nil || len(list) != 1 || list[0].Reason != "unauthenticated" || list[0].Client != "10.0.0.1:1000" {
		t.Errorf("%+v, %v", list, err)
	}
	// Too many for a watcher that reads now and then, whenever it does.
	told := make(chan error, 1)
	go func() {
		for {
			var e SessionEvent
			if err := lines.Decode(&e); err != nil || e.Event == "lost" {
				told <- err
				return
			}
		}
	}()
	note.Kind = outcome.Plain
	for late := time.After(patience); ; {
		select {
		case err := <-told:
			if err != nil {
				t.Error(err)
			}
			return
		case <-late:
			t.Fatal("it is not told that it missed some")
		default:
			pen.Write(&note)
		}
	}
}

func TestWatcherIsToldWhatThereIsOnceADataPlaneIsServedAndUntilItIsNotAnyMore(t *testing.T) {
	p := newPlane(t, t.TempDir(), 2)
	p.flow(0, 1000, flowtable.Plain)
	s, err := New(options(p.dir))
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(s.ControlHandler())
	defer srv.Close()
	told, listed := make(chan []string, 1), make(chan bool, 1)
	go func() {
		var events []string
		defer func() { told <- events }()
		answer, err := http.Get(srv.URL + "/sessions/watch")
		if err != nil {
			return
		}
		defer answer.Body.Close()
		for lines := json.NewDecoder(bufio.NewReader(answer.Body)); ; {
			var e SessionEvent
			if err := lines.Decode(&e); err != nil {
				return
			}
			if events = append(events, e.Event); e.Event == "listed" {
				listed <- true
			}
		}
	}()
	eventually(t, "somebody watches", func() bool { return s.watchers.n.Load() == 1 })
	seg, err := options(p.dir).Open()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.attach(seg); err != nil {
		t.Fatal(err)
	}
	select {
	case <-listed:
	case <-time.After(patience):
		t.Error("nothing is listed")
	}
	s.detach()
	select {
	case got := <-told:
		if !slices.Equal(got, []string{"open", "listed"}) {
			t.Errorf("told %q", got)
		}
	case <-time.After(patience):
		t.Error("it is still told")
	}
}
