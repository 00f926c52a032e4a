// Package server is the control plane process: it attaches to the segment of a data plane, publishes there the rules by which
// the data plane decides on ENO, takes requests of the key exchange off the workers' rings, has package responder answer them,
// publishes session IDs, and sends the answers back.
//
// It decides nothing about a handshake itself and keeps nothing of one: whatever it is in the middle of when it is killed,
// the data plane asks again. One goroutine (Run) reads and writes rings and session table; others may look at the segment
// through View and change the policy.
//
// A request's way: gather (copied out of the ring), take (decoded, what was answered before dropped; what takes no key agreement is
// answered at once), enqueue (requests for keys wait by peer and by what they cost: package fairqueue), exchange (answered in their
// turn, for a slice of time), answer and deliver (session ID published or removed, then the reply), wipe. The files round.go and
// exchange.go follow it.
//
// Order takes the other way: an order about a connection, which answers nothing, waits for the next round and goes by the ring of
// replies.
//
// Who owns the memory: the segment is the data plane's; the server unmaps it when the data plane has made another one.
package server
