// Package stream is the translator between the plaintext TCP stream of an inside host and the tcpcrypt stream on the wire:
// framing, sequence, acknowledgement, SACK and window translation, retransmission from kept frames, reassembly, storage of
// host segments behind a gap, custody of frames that span segments, rekeying, FIN, RST and urgent data (RFC 8548 sections 3.6
// to 3.9, 4.2).
//
// It is a pure state machine: it knows no clock, port, goroutine or packet header. Time is a parameter, packets come parsed
// as Segments, and what shall be sent goes into an Output as Emits. The crypto it needs goes into the same Output as batches
// that the caller works between the calls.
//
// Egress is host to wire (seal), ingress is wire to host (open). Plaintext positions are PPos and wire positions WPos, both
// 64 bit and 0 at the byte behind the SYN; the two are different types because mixing them up is the error to fear here.
//
// Memory: the state of a connection lies in its flowtable.Record. What a Core keeps beside it (buffers, pieces, expanded
// keys) is allocated when the Core is made; the packet path allocates nothing. A Segment's buffer belongs to the translator
// from the call on, and comes back as an Emit's buffer or is freed.
package stream
