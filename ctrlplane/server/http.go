package server

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"linecrypt/ctrlplane/connections"
	"linecrypt/ctrlplane/history"
	"linecrypt/ctrlplane/page"
	"linecrypt/ctrlplane/sample"
	"linecrypt/ctrlplane/sessiontable"
	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/flowtable"
)

// Status is what GET /status on the control socket answers.
type Status struct {
	Name      string  `json:"name"` // of the instance; empty while there is no data plane
	PID       int     `json:"pid"`
	Policy    string  `json:"policy"`
	DataPlane Process `json:"data_plane"`
	Ready     bool    `json:"ready"` // packets flow
	Workers   int     `json:"workers"`
	Engine    string  `json:"engine"`
	Inside    string  `json:"inside"`
	Outside   string  `json:"outside"`
}

// Process is a process in Status.
type Process struct {
	PID     int    `json:"pid"`
	Running bool   `json:"running"`
	Epoch   uint64 `json:"epoch"`
}

// Session is a connection in what GET /sessions/watch on the control socket answers. One that is not encrypted has neither role, TEP, AEAD
// nor session ID.
type Session struct {
	Client    string    `json:"client"` // address:port of the opener
	Server    string    `json:"server"`
	State     string    `json:"state"` // encrypted, plain or refused
	Role      string    `json:"role"`  // the gateway's: "A" or "B"
	TEP       string    `json:"tep"`
	AEAD      string    `json:"aead"`
	SessionID string    `json:"session_id"`
	VLAN      uint32    `json:"vlan,omitempty"`
	Resumed   bool      `json:"resumed"`
	OwnAware  bool      `json:"own_aware"`
	PeerAware bool      `json:"peer_aware"`
	Auth      string    `json:"auth"`
	Rule      string    `json:"rule"`             // name of the policy rule that decided; empty where it is not known any more
	Verdict   string    `json:"verdict"`          // what that rule said: opportunistic, require or disabled
	Reason    string    `json:"reason,omitempty"` // why it is in the clear, or was refused
	Because   string    `json:"because,omitempty"`
	Since     time.Time `json:"since"`
}

// MetricsHandler serves /metrics alone, for the address that Prometheus scrapes.
func (s *Server) MetricsHandler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", s.metrics.Handler())
	return mux
}

// PageHandler serves /metrics, and a page for browsers at /.
func (s *Server) PageHandler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", s.metrics.Handler())
	mux.Handle("/", page.Handler(page.Source{Tail: &s.tail, About: s.about, Connections: s.pageConnections}))
	return mux
}

// about is what the head of the page says.
func (s *Server) about() page.About {
	st := s.Status()
	a := page.About{Name: st.Name, Inside: st.Inside, Outside: st.Outside, Policy: st.Policy, Ready: st.Ready}
	for stage := range shm.NumStages {
		a.Stages = append(a.Stages, stage.String())
	}
	return a
}

// pageConnections lists connections for the page, with the beginning of their session IDs only: what the session table is kept from others for.
func (s *Server) pageConnections(state string) ([]connections.Connection, error) {
	list, err := s.connections(state, "", "", "age") // the oldest first
	for i := range list {
		list[i].SessionID = list[i].SessionID[:min(len(list[i].SessionID), pageDigits)]
	}
	return list, err
}

// pageDigits is how many digits of a session ID the page shows.
const pageDigits = 16

// sampling adds a point to the tail once a second.
func (s *Server) sampling(ctx context.Context) {
	tick := time.NewTicker(history.Interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.View(func(seg *shm.Segment) { s.tail.Add(sample.Take(seg)) })
		}
	}
}

// ControlHandler serves /metrics, /status, /sessions, /sessions/watch, /resumption, /peers and, by POST, /rekey, /trace, /resumption/flush and /reload, for
// the control socket.
func (s *Server) ControlHandler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", s.metrics.Handler())
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, s.Status()) })
	mux.HandleFunc("GET /sessions", s.serveSessions)
	mux.HandleFunc("POST /rekey", s.serveRekey)
	mux.HandleFunc("GET /sessions/watch", s.watchSessions)
	mux.HandleFunc("POST /trace", s.serveTrace)
	mux.HandleFunc("GET /resumption", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, s.Resumption()) })
	mux.HandleFunc("POST /resumption/flush", s.flushResumption)
	mux.HandleFunc("GET /peers", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, s.Peers()) })
	if s.opts.Reload != nil {
		mux.HandleFunc("POST /reload", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, s.opts.Reload()) })
	}
	return mux
}

// Status returns the state of the instance.
func (s *Server) Status() Status {
	st := Status{Policy: flowtable.Policy(s.policy.Load()).String()}
	s.View(func(seg *shm.Segment) {
		data := seg.DataPlane()
		st.Name, st.PID = seg.Name(), seg.ControlPlane().PID
		st.DataPlane = Process{PID: data.PID, Running: seg.DataPlaneRuns(), Epoch: data.Epoch}
		st.Ready, st.Workers, st.Engine = seg.Ready() && seg.DataPlaneAnswers(), seg.Workers(), seg.Engine()
		st.Inside, st.Outside = seg.Inside(), seg.Outside()
	})
	return st
}

// Sessions returns the connections whose session IDs are published.
func (s *Server) Sessions() []Session {
	s.mu.RLock()
	defer s.mu.RUnlock()
	list := []Session{}
	if s.sessions != nil {
		s.sessions.Range(func(e *sessiontable.Entry) bool {
			list = append(list, s.session(e))
			return true
		})
	}
	return list
}

// serveSessions answers GET /sessions?state=encrypted|plain|refused&peer=PREFIX&port=N&sort=ORDER with connections as `linecrypt sessions --json` prints
// them.
func (s *Server) serveSessions(w http.ResponseWriter, r *http.Request) {
	list, err := s.connections(r.FormValue("state"), r.FormValue("peer"), r.FormValue("port"), cmp.Or(r.FormValue("sort"), "age"))
	switch {
	case errors.Is(err, ErrNoDataPlane):
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	case err != nil:
		http.Error(w, err.Error(), http.StatusBadRequest)
	default:
		writeJSON(w, list)
	}
}

func (s *Server) connections(state, peer, port, order string) (list []connections.Connection, err error) {
	var f connections.Filter
	if peer != "" {
		if f.Peer, err = connections.ParsePeer(peer); err != nil {
			return nil, err
		}
	}
	if port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil {
			return nil, fmt.Errorf("port %q is not 1 to 65535", port)
		}
		f.Port = uint16(n)
	}
	err = ErrNoDataPlane
	s.View(func(seg *shm.Segment) {
		switch state {
		case "", connections.Encrypted:
			var ids connections.IDs
			if s.sessions != nil {
				ids = s.sessions
			}
			list, err = connections.ListEncrypted(seg, ids)
		case connections.Plain:
			list, err = connections.ListPlain(seg)
		case connections.Refused:
			list, err = connections.ListRefused(seg), nil
		default:
			err = fmt.Errorf("state %q is none of %s, %s and %s", state, connections.Encrypted, connections.Plain, connections.Refused)
		}
	})
	if err != nil {
		return nil, err
	}
	list = f.Only(list)
	return list, connections.Sort(list, order)
}

// session is an entry of the session table in the form in which watchers get it.
func (s *Server) session(e *sessiontable.Entry) Session {
	one := sessionOf(e)
	ref := flowtable.RuleRef(e.Rule)
	if set := s.responder.Set(); set != nil {
		if name, known := set.Name(ref); known {
			one.Rule, one.Verdict = name, s.responder.Decided(ref).Policy.String()
		}
	}
	return one
}

// sessionOf is what the entry says by itself.
func sessionOf(e *sessiontable.Entry) Session {
	client := netip.AddrPortFrom(netip.AddrFrom16(e.Tuple.Inside).Unmap(), e.Tuple.InsidePort).String()
	server := netip.AddrPortFrom(netip.AddrFrom16(e.Tuple.Outside).Unmap(), e.Tuple.OutsidePort).String()
	if !e.Active {
		client, server = server, client
	}
	return Session{
		Client: client, Server: server, State: connections.Encrypted, Role: e.Role.String(), TEP: fmt.Sprintf("0x%02x", e.TEP&0x7f), AEAD: tcpcrypt.AEAD(e.AEAD).String(),
		SessionID: tcpcrypt.SessionID(e.SessionID).String(), VLAN: e.Tuple.VLAN,
		Resumed: e.Resumed, OwnAware: e.OwnAware, PeerAware: e.PeerAware, Auth: e.Auth.String(), Since: time.Unix(0, e.Start),
	}
}

// flushResumption flushes what ?peer=PREFIX, or ?client=ADDR:PORT&server=ADDR:PORT, names, or all.
func (s *Server) flushResumption(w http.ResponseWriter, q *http.Request) {
	peer, client, server := q.FormValue("peer"), q.FormValue("client"), q.FormValue("server")
	n := 0
	switch {
	case peer != "":
		p, err := connections.ParsePeer(peer)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		n = s.FlushPeer(p)
	case client != "" || server != "":
		a, err := netip.ParseAddrPort(client)
		b, err2 := netip.ParseAddrPort(server)
		if err := errors.Join(err, err2); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		var known bool
		if n, known = s.FlushConnection(a, b); !known {
			http.Error(w, "no encrypted connection between "+client+" and "+server, http.StatusNotFound)
			return
		}
	default:
		n = s.FlushResumption()
	}
	answer := s.Resumption()
	answer.Flushed = n
	writeJSON(w, answer)
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the client is gone if this fails
}

// Bounds of metrics.listen, which anybody may reach who can send packets to it: connections of all, and of one /24 or /64.
const (
	maxMetrics       = 256
	maxMetricsSource = 128
)

// serveHTTP serves h on l until ctx is done, and closes l.
func serveHTTP(ctx context.Context, l net.Listener, h http.Handler, logger *slog.Logger) {
	srv := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          log.New(slogWriter{logger}, "", 0),
	}
	if l.Addr().Network() != "unix" { // that one is for this user alone
		l = queued(l, srv, maxMetrics, maxMetricsSource)
	}
	stop := context.AfterFunc(ctx, func() { srv.Close() })
	defer stop()
	_ = srv.Serve(l) // ends with Close, or with an error of the listener, which then is of no use any more
}

// slogWriter takes the lines of an http.Server, which are about clients that misbehave.
type slogWriter struct{ log *slog.Logger }

func (w slogWriter) Write(p []byte) (int, error) {
	w.log.Debug("http", "message", string(p))
	return len(p), nil
}
