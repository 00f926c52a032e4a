package metrics

import (
	"runtime"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"

	"linecrypt/ctrlplane/responder"
	"linecrypt/ctrlplane/shm"
)

const control = namespace + "_ctrlplane_"

var (
	descSessions = prometheus.NewDesc(control+"sessions_total", "sessions whose keys were agreed, by the gateway's role, key agreement and cipher", []string{"role", "tep", "aead"}, nil)
	descEndings  = prometheus.NewDesc(control+"handshakes_without_keys_total", "handshakes passed in the clear, refused or aborted, by reason", []string{"result", "reason"}, nil)
	descRequests = prometheus.NewDesc(control+"requests_total", "requests of the data plane by kind", []string{"kind"}, nil)
	descBuild    = prometheus.NewDesc(namespace+"_build_info", "what the control plane was built from", []string{"version", "revision", "goversion"}, nil)
)

// controlCollector collects what the control plane counts. It is unchecked, for its events are the caller's.
type controlCollector struct {
	stats  *responder.Stats
	events []Event
}

// Describe describes nothing: see controlCollector.
func (controlCollector) Describe(chan<- *prometheus.Desc) {}

// Collect reads the counters.
func (c controlCollector) Collect(ch chan<- prometheus.Metric) {
	for _, s := range c.stats.Sessions() {
		ch <- counter(descSessions, s.Count, s.Role.String(), s.TEP.String(), s.AEAD.String())
	}
	for _, e := range c.stats.Endings() {
		ch <- counter(descEndings, e.Count, e.By.String(), e.Reason.String())
	}
	for k := shm.RequestKind(0); k <= shm.Closed; k++ {
		ch <- counter(descRequests, c.stats.Requests(k), k.String())
	}
	for _, e := range c.events {
		if e.Gauge {
			ch <- gauge(prometheus.NewDesc(control+e.Name, e.Help, nil, nil), float64(e.Value()))
			continue
		}
		ch <- counter(prometheus.NewDesc(control+e.Name+"_total", e.Help, nil, nil), e.Value())
	}
	version, revision := build()
	ch <- gauge(descBuild, 1, version, revision, runtime.Version())
}

// build returns the version and the revision that the Go tool recorded.
func build() (version, revision string) {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown", "unknown"
	}
	revision = "unknown"
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			revision = s.Value
		}
	}
	return info.Main.Version, revision
}
