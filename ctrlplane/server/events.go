package server

import (
	"sync/atomic"

	"linecrypt/ctrlplane/metrics"
	"linecrypt/ctrlplane/resumption"
	"linecrypt/flowtable"
)

// events counts what the server itself meets.
type events struct {
	attached, reloads, badReloads, damaged, kept, unfit, unpublished, reconciled, noPeer atomic.Uint64

	applicationsAsked, applicationsRefused, awareLost, remoteAsked atomic.Uint64

	waiting, waitingPeers atomic.Uint64 // requests for keys that wait now, and peers of theirs
}

// state names what the server has besides events: the cache of session secrets, and whether keys are written down.
func (s *Server) state() []metrics.Event {
	counts := func(of func(*resumption.Stats) uint64) func() uint64 {
		return func() (n uint64) {
			s.cached(func(c *resumption.Cache) { n = of(c.Stats()) })
			return n
		}
	}
	return []metrics.Event{
		{Name: "key_log", Help: "1 while the keys of new connections are written to a file", Gauge: true, Value: func() uint64 {
			if s.keyLog.Load() != nil {
				return 1
			}
			return 0
		}},
		{Name: "resumption_secrets", Help: "session secrets that are kept to resume with", Gauge: true, Value: func() uint64 { return uint64(s.Resumption().Secrets) }},
		{Name: "resumption_kept", Help: "session secrets kept for later connections", Value: counts((*resumption.Stats).Kept)},
		{Name: "resumption_full", Help: "session secrets not kept because no other one could go for them", Value: counts((*resumption.Stats).Full)},
		{Name: "resumption_advanced", Help: "session secrets offered or agreed to in vain, and followed by the next one", Value: counts((*resumption.Stats).Advanced)},
		{Name: "resumption_expired", Help: "session secrets that reached the end of their lifetime", Value: counts((*resumption.Stats).Expired)},
		{Name: "resumption_evicted", Help: "session secrets that went for others", Value: counts((*resumption.Stats).Evicted)},
		{Name: "resumption_flushed", Help: "session secrets that were flushed", Value: counts((*resumption.Stats).Flushed)},
		{Name: "resumed_rolea", Help: "sessions in role A that came from an earlier one, without a key exchange", Value: func() uint64 { return s.Stats().Resumed(flowtable.RoleA) }},
		{Name: "resumed_roleb", Help: "sessions in role B that came from an earlier one, without a key exchange", Value: func() uint64 { return s.Stats().Resumed(flowtable.RoleB) }},
	}
}

// table names them.
func (e *events) table() []metrics.Event {
	return []metrics.Event{
		{Name: "attachments", Help: "segments of a data plane that were served", Value: e.attached.Load},
		{Name: "reloads", Help: "times the policy was loaded again", Value: e.reloads.Load},
		{Name: "failed_reloads", Help: "times the policy could not be loaded again", Value: e.badReloads.Load},
		{Name: "damaged_requests", Help: "times damaged content of a request ring was thrown away", Value: e.damaged.Load},
		{Name: "kept_replies", Help: "replies that had to wait because their ring was full", Value: e.kept.Load},
		{Name: "unfit_replies", Help: "replies that could not be encoded", Value: e.unfit.Load},
		{Name: "unpublished_sessions", Help: "session IDs for which the session table had no room", Value: e.unpublished.Load},
		{Name: "requests_waiting", Help: "requests for keys that wait for their turn", Value: e.waiting.Load, Gauge: true},
		{Name: "peers_waiting", Help: "peers whose requests for keys wait", Value: e.waitingPeers.Load, Gauge: true},
		{Name: "application_requests", Help: "questions that applications asked", Value: e.applicationsAsked.Load},
		{Name: "refused_applications", Help: "applications that were turned away because too many were connected", Value: e.applicationsRefused.Load},
		{Name: "remote_requests", Help: "questions of hosts behind the gateway, by sessions.listen", Value: e.remoteAsked.Load},
		{Name: "lost_aware_endpoints", Help: "endpoints whose application-aware bit found no place in a new segment", Value: e.awareLost.Load},
		{Name: "reconciled_sessions", Help: "entries of the session table removed because their connection was gone", Value: e.reconciled.Load},
	}
}
