package server

import (
	"sync/atomic"

	"linecrypt/ctrlplane/metrics"
)

// events counts what the server itself meets.
type events struct {
	attached, reloads, badReloads, damaged, kept, unfit, unpublished, reconciled atomic.Uint64

	applicationsAsked, applicationsRefused, awareLost, remoteAsked atomic.Uint64

	waiting, waitingPeers atomic.Uint64 // requests for keys that wait now, and peers of theirs
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
