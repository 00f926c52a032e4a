// Package wire is how the ends of package bench/pktgen/ends reach a gateway: over the queues of two ports (Queue), or, where gateway
// and ends take turns in one thread, over a port in memory that hands buffers over as a NIC does, without a copy (Turn).
//
// A Turn has a clock of its own, which its user moves: packets come to the gateway's port when they are due by it, and what leaves is
// stamped with it. So a worker is measured as if packets came at any rate while somebody else makes them, on a machine with one core:
// the clock stands still while they are made.
package wire
