// Package book is what a gateway knows of the sessions between its hosts and those behind its peers: which it has, what its peers tell of
// theirs, and what follows. It is a pure state machine: (state, event, now) to messages and verdicts. It knows no connection, clock or
// goroutine; its caller locks it.
//
// A session is authenticated when both ends have told the same session ID, one by Tell and the other by Have or by a Tell of its own:
//
//	its own session, told before by the peer      authenticated; Have goes out
//	its own session                               Tell goes out
//	Tell of a session it has                      authenticated; Have goes out
//	Tell of one it has not                        kept for a while: the own end may be a moment behind; then Lack goes out
//	Have                                          authenticated
//	Lack                                          a mismatch: the peer has no such session
//	Tell of another ID for the same addresses     a mismatch, unless the peer's session comes up within a moment
//
// Sessions are found by their ID, so that NAT between the gateways, which makes the ends see other addresses, is no mismatch; between
// such ends a mismatch shows by Lack alone. A peer's word counts only for sessions whose far end lies within its prefixes. A mismatch
// is taken back when the same ID comes after all.
//
// What is kept is bounded: own sessions by whoever opens them; what a peer told and nobody has, by Params.Pending a peer and a time;
// sessions that are over and that a peer may still ask about, by Params.Recent; replies that wait, by Params.Replies a peer. What is
// dropped for a bound is counted, and asked again: a Tell that is not answered is told again.
package book
