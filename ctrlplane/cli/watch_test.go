package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"linecrypt/ctrlplane/server"
)

func event(kind, client string) server.SessionEvent {
	if client == "" {
		return server.SessionEvent{Event: kind}
	}
	return server.SessionEvent{Event: kind, Session: &server.Session{Client: client, Server: "b", SessionID: "23" + client}}
}

// said returns what was printed as words: event and client.
func said(t *testing.T, b *bytes.Buffer) (list []string) {
	t.Helper()
	for line := range strings.Lines(b.String()) {
		var e server.SessionEvent
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		word := e.Event
		if e.Session != nil {
			word += " " + e.Client
		}
		list = append(list, word)
	}
	return list
}

func TestWatcherPrintsEachChangeOnceAlsoOverARestartOfTheControlPlane(t *testing.T) {
	var out bytes.Buffer
	w := watching{out: &out, known: map[string]server.SessionEvent{}}
	feed := func(events ...server.SessionEvent) {
		w.listed = map[string]bool{}
		for _, e := range events {
			if err := w.take(e); err != nil {
				t.Fatal(err)
			}
		}
	}
	authenticated := event("change", "one")
	authenticated.Auth = "authenticated"
	feed(event("open", "one"), event("listed", ""), event("open", "one"), event("close", "never seen"), event("open", "two"),
		authenticated, event("lost", ""), event("close", "two"), event("open", "three"))
	again := event("open", "one")
	again.Auth = "authenticated"
	feed(again, event("open", "four"), event("listed", ""))
	if err := w.end(); err != nil {
		t.Fatal(err)
	}
	got := said(t, &out)
	slices.Sort(got[len(got)-2:])
	want := []string{"open one", "open two", "change one", "lost", "close two", "open three", "open four", "close three", "close four", "close one"}
	if !slices.Equal(got, want) {
		t.Errorf("printed %q", got)
	}
}

// closedPipe is standard output that nobody reads.
type closedPipe struct{}

func (closedPipe) Write([]byte) (int, error) { return 0, unix.EPIPE }

func TestWatcherOfAClosedPipeSaysSo(t *testing.T) {
	w := watching{out: closedPipe{}, known: map[string]server.SessionEvent{}}
	if err := w.take(event("open", "one")); !errors.Is(err, unix.EPIPE) {
		t.Error(err)
	}
	if err := w.end(); err != nil {
		t.Error(err)
	}
}

func TestWatchingNoInstanceIsAnError(t *testing.T) {
	newFakeGateway(t)
	if status, _, errs := call(t, "sessions", "--watch", "--name", "none"); status != exitFailure || !strings.Contains(errs, "none") {
		t.Errorf("status %d, %s", status, errs)
	}
}

func TestWatcherThatMissedChangesAsksWhatThereIs(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "control")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	lists := [][]server.SessionEvent{
		{event("open", "one"), event("open", "two"), event("listed", ""), event("lost", ""), event("open", "never read")},
		{event("open", "two"), event("open", "three"), event("listed", "")},
	}
	srv := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		to := json.NewEncoder(w)
		for _, e := range lists[0] {
			_ = to.Encode(e)
		}
		lists = lists[1:]
	})}
	go srv.Serve(l)
	defer srv.Close()
	var out bytes.Buffer
	w := watching{out: &out, known: map[string]server.SessionEvent{}}
	if err := w.follow(t.Context(), socket); !errors.Is(err, errBehind) {
		t.Error(err)
	}
	if err := w.follow(t.Context(), socket); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
	want := []string{"open one", "open two", "lost", "open three", "close one"}
	if got := said(t, &out); !slices.Equal(got, want) {
		t.Errorf("printed %q", got)
	}
}
