// Package metrics shows an instance to Prometheus: the data plane's counters by core, as the one table in the shared
// segment names them, its flows by state, and what the control plane counts itself.
//
// It counts nothing of the data plane itself and keeps no copies: each scrape reads the segment. The segment belongs to
// whoever implements Segments, which keeps it mapped while a scrape looks at it.
package metrics
