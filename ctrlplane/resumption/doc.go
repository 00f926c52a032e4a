// Package resumption holds the session secrets by which later connections go on without a key exchange (RFC 8548 section 3.5), in
// memory that the control plane and the workers of the data plane share. It is not a handshake and derives no traffic keys: it keeps
// secrets, hands each out once, and forgets it.
//
// The memory is a Table: slots, each with one secret ss[i], the two halves of its resumption identifier and the two hosts it was
// agreed between, and two indexes, by the half that the far end sends and by the pair of hosts. Both ends of a session keep the same
// secret.
//
// A slot goes one way, by the low byte of its state word; the rest of the word is its generation, a new one for each secret:
//
//	free      nothing in it
//	filling   the control plane writes it
//	ready     whoever opens a connection between the hosts, or is asked for this identifier, may claim it
//	claimed   by one connection, whose worker has put the identifier into a SYN or SYN-ACK, or is about to: no other ever will
//	answered  the control plane has given that connection's keys, and keeps ss[i+1] in another slot
//	erasing   the connection has its keys, and the worker erases the secret
//	spent     the secret is erased
//
// The step from ready is a compare-and-swap, so that one of all workers, or the control plane, which evicts, flushes and lets expire,
// gets the secret. Nothing leads back: a claim whose connection failed becomes ready again only with the next secret, ss[i+1], in a new
// generation. A worker asks nobody, so that SYNs cost the control plane nothing, and both processes may be killed between any two
// steps: the states are all there is, and what was claimed stays claimed.
//
// What a stranger can make a gateway keep, he must have agreed on keys for. The number of slots is fixed; a secret lives for a time;
// a peer (/24, /64) has a share once slots are scarce, and who holds most pays first.
//
// Memory: the table lies in the segment of package shm, locked, of mode 0600 and kept out of core dumps. Nothing is written anywhere
// else. Finding, claiming and spending do not allocate.
package resumption
