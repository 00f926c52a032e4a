package server

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"linecrypt/ctrlplane/config"
	"linecrypt/ctrlplane/fairqueue"
	"linecrypt/ctrlplane/history"
	"linecrypt/ctrlplane/keylog"
	"linecrypt/ctrlplane/metrics"
	"linecrypt/ctrlplane/peering"
	"linecrypt/ctrlplane/peering/book"
	"linecrypt/ctrlplane/responder"
	"linecrypt/ctrlplane/resumption"
	"linecrypt/ctrlplane/sessiontable"
	"linecrypt/ctrlplane/shm"
)

// Options says what a Server works with.
type Options struct {
	// Open takes the control plane's part in the data plane's segment. It is called until it succeeds, and again when the
	// data plane has made another segment. The server closes what it returns.
	Open func() (*shm.Segment, error)
	// OpenSessions opens the table in which the session IDs of a segment's connections are published, for writing; nil
	// for nowhere. The server closes what it returns.
	OpenSessions func(*shm.Segment) (*sessiontable.Table, error)
	Terms        responder.Terms
	// Lifetime is how long session secrets are kept to resume with; 0 for an hour.
	Lifetime time.Duration
	// Rand gives keys and nonces; nil for crypto/rand.Reader.
	Rand io.Reader
	// Log is told what happens to the process, never anything of a connection; nil for nowhere.
	Log *slog.Logger
	// Peering tells the session IDs to peers; nil for no peers. Run runs it. SetPeers may put one in its place that is nil.
	Peering *peering.Node
	// Wait is how long Run waits for the first segment; 0 for DefaultWait.
	Wait time.Duration
	// Inherit is called with each segment before it is served, with the rules that an earlier control plane may have left in it. What it
	// sets by SetTerms is published first. It may be nil.
	Inherit func(*shm.Segment)
	// Reload loads the configuration again, for POST /reload on the control socket; nil for no such thing.
	Reload func() config.Reloaded
	// Ready is called once, when the server serves its first segment; it may be nil.
	Ready func()
}

// DefaultWait is how long Run waits for a data plane.
const DefaultWait = 30 * time.Second

// ErrNoDataPlane is wrapped by the error of Run when no data plane came in time.
var ErrNoDataPlane = errors.New("no data plane to serve")

// Server is a control plane. Run may be called once; all other methods are safe for concurrent use with it.
type Server struct {
	opts      Options
	log       *slog.Logger
	responder *responder.Responder
	metrics   *metrics.Set
	events    events
	policy    atomic.Uint32 // flowtable.Policy in force
	keyLog    atomic.Pointer[keylog.Log]

	publishing sync.Mutex   // held while rules are written into the segment
	mu         sync.RWMutex // held for writing while these change, for reading while another goroutine looks at them
	seg        *shm.Segment
	sessions   *sessiontable.Table // nil for none
	secrets    *resumption.Cache   // nil for none

	orders orders // to the workers

	peering    atomic.Pointer[peering.Node] // nil for none; once there it stays
	jobs       chan func()                  // for the goroutine of Run
	endOnce    sync.Once
	ended      chan struct{}       // closed when Run has ended
	verdicts   []book.Verdict      // that wait to be carried out
	runPeering func(*peering.Node) // set by Run
	nextAlarm  int64               // ns of the monotonic clock before which none is logged
	unsaid     int                 // alarms since the last one in the log

	views flowViews
	aware awareness

	watchers watchers
	tracing  tracing
	tail     history.Tail
	lanes    []lane
	keys     *fairqueue.Queue[flowID, *waiting]
	message  []byte // being taken off a ring
	tick     ticker
	beating  bool // the segment that is served has its rules, and a heartbeat
	report   *report
}

// New makes a control plane. The error wraps responder.ErrTerms.
func New(o Options) (*Server, error) {
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Lifetime == 0 {
		o.Lifetime = time.Hour
	}
	if o.Wait == 0 {
		o.Wait = DefaultWait
	}
	r, err := responder.New(o.Terms, o.Rand)
	if err != nil {
		return nil, err
	}
	s := &Server{opts: o, log: o.Log, responder: r, jobs: make(chan func()), ended: make(chan struct{})}
	s.peering.Store(o.Peering)
	s.policy.Store(uint32(o.Terms.Policy))
	s.keys = fairqueue.New[flowID](keyLimits, s.giveUp)
	events := append(s.events.table(), s.state()...)
	events = append(events, s.peeringEvents()...)
	s.metrics = metrics.New(metrics.Config{Segments: s, Stats: r.Stats(), Events: events, Log: o.Log})
	return s, nil
}

// Run serves until ctx is done, and returns nil then. It returns an error that wraps ErrNoDataPlane when there is no data
// plane at first. Later it waits for as long as it takes: a data plane that ended may be started again. Other errors are
// those of OpenSessions.
func (s *Server) Run(ctx context.Context) error {
	wait := s.opts.Wait
	defer s.endOnce.Do(func() { close(s.ended) })
	var peers sync.WaitGroup
	defer peers.Wait()
	peered, stop := context.WithCancel(ctx)
	defer stop()
	s.runPeering = func(n *peering.Node) { peers.Go(func() { n.Run(peered) }) }
	if n := s.peering.Load(); n != nil {
		s.runPeering(n)
	}
	peers.Go(func() { s.sampling(peered) })
	for {
		seg, err := s.await(ctx, wait)
		if seg == nil {
			return err
		}
		if err := s.attach(seg); err != nil {
			return err
		}
		if wait != forever && s.opts.Ready != nil {
			s.View(s.awaitTaken) // who is told that it is ready may open a connection at once
			s.opts.Ready()
		}
		wait = forever
		s.serve(ctx)
		s.detach()
		if ctx.Err() != nil {
			return nil
		}
	}
}

// SetTerms replaces the terms for new connections, without a change to those that are encrypted. With an error, which wraps
// responder.ErrTerms, the old ones stay.
func (s *Server) SetTerms(t responder.Terms) error {
	if err := s.responder.SetTermsUsed(t, s.namesInUse()); err != nil {
		return err
	}
	s.policy.Store(uint32(t.Policy))
	s.View(func(seg *shm.Segment) {
		s.publishRules(seg)
		s.awaitTaken(seg)
	})
	return nil
}

// View calls f with the segment that is being served; it stays mapped until f returns. Without one f is not called.
func (s *Server) View(f func(*shm.Segment)) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.seg != nil {
		f(s.seg)
	}
}

// Stats returns the counters of what was decided.
func (s *Server) Stats() *responder.Stats { return s.responder.Stats() }
