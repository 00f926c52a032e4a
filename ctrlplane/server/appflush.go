package server

import (
	"net/netip"

	"linecrypt/ctrlplane/session/wire"
)

// flusher forgets what could be resumed because of a connection, and reports whether it knows the connection. A server that resumes
// sessions is one.
type flusher interface {
	FlushConnection(a, b netip.AddrPort) (n int, known bool)
}

// flushFor lets f forget what could be resumed with the far end of a connection of the application's own host.
func flushFor(f flusher, q *wire.Request, who application) wire.Answer {
	if _, answer := endpointsOf(q.Local, who); answer != wire.Done {
		return answer
	}
	at := func(e wire.Endpoint) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom16(e.Addr).Unmap(), e.Port)
	}
	if _, known := f.FlushConnection(at(q.Local), at(q.Remote)); !known {
		return wire.Unknown
	}
	return wire.Done
}
