// Package stream is the translator between the plaintext TCP stream of an inside host and the tcpcrypt stream on the wire:
// framing, the judgement of segments, translation of sequence numbers, acknowledgements, SACK and windows, retransmission,
// reassembly, rekeying, FIN, RST and urgent data (RFC 8548 sections 3.6 to 3.9, 4.2).
//
// It is a pure state machine: it knows no clock, port or goroutine, and no packet header but through package packet. Time is a
// parameter, packets come parsed, as Segments or as they are, and what shall be sent goes into an Output as Emits. The crypto it needs
// goes into the same Output as batches that the caller works between the calls.
//
// Egress is host to wire (seal), ingress is wire to host (open). Plaintext positions are PPos and wire positions WPos, both
// 64 bit and 0 at the byte behind the SYN; the two are different types because mixing them up is the error to fear here.
//
// The stations of a host's segment, in order:
//
//	accept      (accept.go)      is it one that a receiver believes? if not, it is dropped and perhaps challenged (reset.go for RSTs)
//	acknowledge (hostack.go)     what it acknowledges leaves the ledger; the far end hears of it in whole frames (sack.go, window.go), and
//	                             of all that a filled hole let through at once
//	order       (gap.go)         what follows missing plaintext waits; what is in flight already is retransmitted (resend.go, reseal.go)
//	share       (flight.go)      may the flow have another frame in flight? (shares.go, kept.go: the buffers of those that are)
//	rekey       (rekey.go)       a generation that is used up ends before the frame
//	frame       (egress.go)      the payload becomes a frame in place, and an operation for the caller to seal
//
// and of a far end's:
//
//	accept      (accept.go)      the same, in wire positions
//	acknowledge (wireack.go)     what it acknowledges is not in flight any more; the host hears of it in whole frames
//	redeliver   (redeliver.go)   frames that the host has not acknowledged are opened again
//	order       (outoforder.go)  what follows missing bytes waits, and so do segments that contradict each other
//	reassemble  (reassembly.go)  a frame that spans segments grows (assembly.go) within its share (reclaim.go)
//	open        (ingress.go)     a whole frame becomes an operation for the caller to open
//	deliver     (opened.go)      what is authentic goes to the host; what was acknowledged before it was whole, with
//	                             retransmission by the gateway (delivery.go)
//
// Nearly every segment needs none of the questions between accept and frame, or accept and open: it is in order, and its connection in
// its common state (fast.go says which that is, and notes it in the record). It takes the fast path, with the same end:
//
//	accept, acknowledge, share, frame  (fast_egress.go)   a host's, with the stations' own functions where they have something to do
//	accept, acknowledge, open          (fast_ingress.go)  a far end's; openedCommon delivers its frame
//
// Such segments of one connection that come one behind the other make a Run, for which what does not change meanwhile is asked once. The
// caller writes the headers of each from the numbers of its Emit, a packet.Translation, while they are in the cache. Those that lie in plain
// packets, as nearly all do, are a train (train.go, train_host.go, train_wire.go, train_open.go): loops take them, headers included, and leave the
// others to FastEgress and FastIngress. What is the same for all segments of a burst, the caller says once (burst.go). What their lines are in
// memory is asked for ahead (ahead.go).
//
// timeout.go does what time brings about, numbers.go gives the caller the numbers of a connection.
//
// Words:
//
//	in flight      framed and not acknowledged by the far end; its entries are in the ledger of Egress
//	kept, held     a frame in flight of which the gateway holds the sealed bytes is kept; the packet buffers that takes are held
//	retransmit     send bytes again that were sent before: the same ones (resend), or sealed anew under the ledger's tag (reseal)
//	gap            plaintext of the host's that is missing inside
//	out of order   received while something in front of it was missing, and queued
//	rival          a segment that has other bytes than another for the same positions: one of the two is forged
//	in progress    of a frame: begun and not whole
//	vouched        of a frame in progress: its bytes may be acknowledged before it is authentic
//	delivery       a frame's plaintext that the gateway retransmits to the host, because the far end will not
//	redeliver      open and deliver a frame once more because the far end sent it once more
//	challenge      an acknowledgement in answer to what is not believed (RFC 5961)
//	share          what one connection, or the far ends of one /24 or /64, may have of something that is scarce
//	own            made by the gateway itself: Init messages, empty frames, acknowledgements
//	dead           reset: what still comes is answered by RST
//
// Memory: the state of a connection lies in its flowtable.Record. What a Core has beside it (buffers, queues, expanded keys) is
// allocated when the Core is made; the packet path allocates nothing. A Segment's buffer belongs to the translator from the call on,
// and comes back as an Emit's buffer or is freed.
package stream
