// Package tcpcrypt holds the encodings and the key schedule of tcpcrypt (RFC 8548) as pure functions: key agreement
// (sections 3.3, 5), Init1 and Init2 (4.1), session secrets, master and traffic keys, session IDs and resumption
// (3.3 to 3.5), rekeying (3.8) and encryption frames (4.2).
//
// It is not an implementation of a connection: it knows no clock, socket, port or goroutine, keeps no state, and takes
// randomness through an io.Reader. Both processes import it: the control plane for the handshake, the data plane for
// frames and for rekeying. It imports nothing else of this module.
//
// Who owns the memory: every function borrows the slices it is given for the call only. Append functions extend and
// return the caller's slice. Parse functions return slices that alias their input; their comments say so. Keys are
// fixed-size arrays without pointers, so they may live in memory shared by processes, and are erased by Wipe.
package tcpcrypt
