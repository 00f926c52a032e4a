package page

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"linecrypt/ctrlplane/connections"
	"linecrypt/ctrlplane/history"
)

//go:embed static
var static embed.FS

// Bounds of what the page answers.
const (
	maxRows      = 200 // connections at a time
	patience     = 10 * time.Second
	looksAtOnce  = 2 // requests for which all connections are being looked at; a further one waits for its turn
	turnPatience = 5 * time.Second
)

// errBusy is what a request is answered that gets no turn.
var errBusy = errors.New("too many look at the connections at once")

// About is what the head of the page says.
type About struct {
	Name    string   `json:"name"`
	Inside  string   `json:"inside"`
	Outside string   `json:"outside"`
	Policy  string   `json:"policy"`
	Ready   bool     `json:"ready"`
	Stages  []string `json:"stages"`
}

// Source is what the page shows. All of it may be called at any time.
type Source struct {
	Tail  *history.Tail
	About func() About
	// Connections lists those of a state, one of package connections.
	Connections func(state string) ([]connections.Connection, error)

	turns chan struct{} // taken by those who look at all connections
}

// Handler serves the page at /, and what it asks for.
func Handler(s Source) http.Handler {
	files, err := fs.Sub(static, "static")
	if err != nil {
		panic(err) // the folder is embedded
	}
	document, err := fs.ReadFile(files, "index.html")
	if err != nil {
		panic(err)
	}
	s.turns = make(chan struct{}, looksAtOnce)
	mux := http.NewServeMux()
	mux.Handle("/", http.FileServerFS(files))
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, r *http.Request) { s.document(w, r, document) })
	mux.HandleFunc("/api/about", func(w http.ResponseWriter, _ *http.Request) { answer(w, s.About()) })
	mux.HandleFunc("/api/history", func(w http.ResponseWriter, _ *http.Request) { answer(w, s.Tail.All()) })
	mux.HandleFunc("/api/events", s.events)
	mux.HandleFunc("/api/connections", s.list)
	return guard(mux)
}

// guard lets through what reads, and what a browser that was pointed at this address by its user would send: a page of another site cannot read the
// answers, and a name that resolves to this address all of a sudden (DNS rebinding) is refused.
func guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		switch {
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			h.Set("Allow", "GET, HEAD")
			http.Error(w, "the page only reads", http.StatusMethodNotAllowed)
		case !named(r.Host):
			http.Error(w, "ask by address, or as localhost", http.StatusForbidden)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// named reports whether a request's host is an address or localhost.
func named(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.Trim(host, "[]")
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	return strings.EqualFold(host, "localhost")
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the client is gone if this fails
}

// events streams each new point as a server-sent event.
func (s Source) events(w http.ResponseWriter, r *http.Request) {
	points, end := s.Tail.Follow()
	if points == nil {
		w.Header().Set("Retry-After", "10")
		http.Error(w, "too many pages are open", http.StatusServiceUnavailable)
		return
	}
	defer end()
	w.Header().Set("Content-Type", "text/event-stream")
	control := http.NewResponseController(w)
	write := func(text string) bool {
		if control.SetWriteDeadline(time.Now().Add(patience)) != nil {
			return false
		}
		_, err := fmt.Fprint(w, text)
		return err == nil && control.Flush() == nil
	}
	if !write("retry: 2000\n\n") {
		return
	}
	for {
		select {
		case <-r.Context().Done():
			return
		case p := <-points:
			b, err := json.Marshal(p)
			if err != nil || !write("data: "+string(b)+"\n\n") {
				return
			}
		}
	}
}

// begin is the element of the document that has what the page begins with.
const begin = `id="begin">`

// document answers with the document and what there is to show at the moment: a browser without a screen looks when the document is there. What
// stands in the element can end neither it nor the document, for JSON is written without angle brackets.
func (s Source) document(w http.ResponseWriter, r *http.Request, text []byte) {
	first := map[string]any{"about": s.About(), "history": s.Tail.All()}
	if found, err := s.find(r.Context(), connections.Encrypted, ""); err == nil {
		first["connections"] = found
	}
	data, err := json.Marshal(first)
	before, after, ok := bytes.Cut(text, []byte(begin+"null"))
	if err != nil || !ok {
		http.Error(w, "the page cannot be made", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	for _, part := range [][]byte{before, []byte(begin), data, after} {
		_, _ = w.Write(part) // the client is gone if this fails
	}
}

// list answers with connections of ?state=encrypted|plain|refused that contain ?q=.
func (s Source) list(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	state := q.Get("state")
	if !slices.Contains([]string{connections.Encrypted, connections.Plain, connections.Refused}, state) {
		http.Error(w, "state is encrypted, plain or refused", http.StatusBadRequest)
		return
	}
	found, err := s.find(r.Context(), state, q.Get("q"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	answer(w, found)
}

// found is some connections of many.
type found struct {
	Total   int                      `json:"total"`
	Matches int                      `json:"matches"`
	Reasons map[string]int           `json:"reasons,omitempty"` // of the matches that are not encrypted
	Rows    []connections.Connection `json:"rows"`              // of the matches, at most maxRows
}

// find returns the connections of a state that have a text in what is said of them: those with most data first, of refused ones, which have
// none, the latest. It takes its turn: what it takes grows with the number of connections, and anybody may ask.
func (s Source) find(ctx context.Context, state, text string) (found, error) {
	ctx, cancel := context.WithTimeout(ctx, turnPatience)
	defer cancel()
	select {
	case s.turns <- struct{}{}:
		defer func() { <-s.turns }()
	case <-ctx.Done():
		return found{}, errBusy
	}
	all, err := s.Connections(state)
	if err != nil {
		return found{}, err
	}
	if state == connections.Refused {
		slices.Reverse(all) // the list has the oldest first
	} else {
		_ = connections.Sort(all, "bytes") // there is that order
	}
	f := found{Total: len(all), Rows: []connections.Connection{}}
	words := strings.ToLower(text)
	for i := range all {
		c := &all[i]
		if !strings.Contains(strings.ToLower(strings.Join([]string{c.Client, c.Server, c.SessionID, c.Rule, c.Reason, c.Because, c.AEAD, c.Auth}, " ")), words) {
			continue
		}
		if f.Matches++; len(f.Rows) < maxRows {
			f.Rows = append(f.Rows, *c)
		}
		if c.Reason != "" {
			if f.Reasons == nil {
				f.Reasons = map[string]int{}
			}
			f.Reasons[c.Reason]++
		}
	}
	return f, nil
}
