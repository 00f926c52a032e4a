package metrics

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"linecrypt/ctrlplane/responder"
	"linecrypt/ctrlplane/shm"
)

// namespace begins every metric's name.
const namespace = "linecrypt"

// Segments gives access to the segment of the data plane that runs now.
type Segments interface {
	// View calls f with the segment, which stays mapped until f returns, or not at all while there is none.
	View(f func(*shm.Segment))
}

// Event is a counter of the control plane's own: Name in snake case without prefix and "_total"; or, with Gauge, what it has now.
type Event struct {
	Name, Help string
	Value      func() uint64
	Gauge      bool
}

// Config says what a Set shows. All of it may be used at any time.
type Config struct {
	Segments Segments
	Stats    *responder.Stats
	Events   []Event
	Log      *slog.Logger // told of what a scrape could not collect; nil for nowhere
}

// Set is the metrics of one control plane. It is safe for concurrent use.
type Set struct {
	registry *prometheus.Registry
	requests *prometheus.HistogramVec
	log      *slog.Logger
}

// New makes the metrics.
func New(c Config) *Set {
	s := &Set{
		registry: prometheus.NewRegistry(),
		log:      c.Log,
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: namespace,
			Subsystem: "ctrlplane",
			Name:      "request_seconds",
			Help:      "time the control plane worked on a request of the data plane, from taking it off the ring to writing the reply",
			Buckets:   prometheus.ExponentialBuckets(20e-6, 2, 12),
		}, []string{"kind"}),
	}
	s.registry.MustRegister(
		s.requests,
		segmentCollector{c.Segments},
		controlCollector{c.Stats, c.Events},
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return s
}

// ObserveRequest records how long a request took.
func (s *Set) ObserveRequest(kind shm.RequestKind, d time.Duration) {
	s.requests.WithLabelValues(kind.String()).Observe(d.Seconds())
}

// Bounds of a scrape.
const (
	scrapesAtOnce  = 4                // that are being collected; a further one waits for its turn
	turnPatience   = 5 * time.Second  // for which it waits, half of Prometheus's own patience; then it is answered 503
	scrapePatience = 10 * time.Second // in which the answer must have been read
)

// Handler serves the metrics in the formats that Prometheus asks for. What cannot be collected is left out and logged. Collecting takes its turn,
// in the order of asking: a connection that asks again and again has one turn before each of the others has had its own. An answer is written when it
// is whole, so that somebody who reads slowly, or nothing, holds up nobody else.
func (s *Set) Handler() http.Handler {
	o := promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError}
	if s.log != nil {
		o.ErrorLog = slog.NewLogLogger(s.log.Handler(), slog.LevelWarn)
	}
	return inTurn(promhttp.HandlerFor(s.registry, o))
}

// inTurn serves scrapesAtOnce requests at a time by collect, whose answers are written behind that.
func inTurn(collect http.Handler) http.Handler {
	turns := make(chan struct{}, scrapesAtOnce) // those who wait to send are served in their order
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		patience, cancel := context.WithTimeout(r.Context(), turnPatience)
		defer cancel()
		select {
		case turns <- struct{}{}:
		case <-patience.Done():
			http.Error(w, "too many scrapes at once: scrape less often, or from fewer places", http.StatusServiceUnavailable)
			return
		}
		whole := answer{header: w.Header(), status: http.StatusOK}
		func() {
			defer func() { <-turns }()
			collect.ServeHTTP(&whole, r)
		}()
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(scrapePatience)) // where the connection has deadlines
		w.WriteHeader(whole.status)
		_, _ = w.Write(whole.body.Bytes()) // the client is gone if this fails
	})
}

// answer keeps what is to be answered.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (a *answer) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) { a.status = status }

// Write implements http.ResponseWriter.
func (a *answer) Write(b []byte) (int, error) { return a.body.Write(b) }
