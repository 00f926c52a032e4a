// Package responder answers the data plane's requests for the key exchange of tcpcrypt (RFC 8548 section 3.3), and says by
// which rules the data plane decides on ENO.
//
// SYNs never come to it: what to offer, what to answer and what a SYN-ACK means, the data plane decides (package
// dataplane/handshake) by the shm.Rules that Rules returns. It goes through the negotiation of the options in a request once
// more (RFC 8547 sections 4.5, 4.6), because keys depend on them and the data plane is not to be believed.
//
// It keeps no state of any connection. What must outlive a message travels with the data plane: it echoes the ENO options
// and Init messages as they were on the wire, and the opener's ephemeral private key as an opaque blob. A control plane
// that is killed between two messages therefore goes on with every handshake when it is back.
//
// It is not a process: it knows no ring, clock, socket or file. Its only inputs are requests, the policy and a source of
// randomness. Requests come from shared memory and are taken as hostile.
//
// Who owns the memory: requests and replies are the caller's, and a reply never aliases a request. Replies of the kinds
// Init1 and Keys hold secrets, which the caller wipes once they are written out.
package responder
