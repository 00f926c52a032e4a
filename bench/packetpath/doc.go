// Package packetpath measures the packet path of one worker, from the moment a port hands it packets until it has handed them
// to the other port, on the traffic of real encrypted flows.
//
// A World is a worker with its flows: its shared segment, its buffers and its sizes are those of a gateway with the default
// configuration, and each flow went through connection set-up and has keys of its own, timestamps and SACK permitted. Measure
// runs a Load through it.
//
// What counts: everything between two calls of Worker.Poll, reception and the clock included. The two ports are queues in the
// process. Their RxBurst hands over buffers that were written before, and does to each what the receive function of a
// poll-mode driver does: it writes length, offset and checksum flags into the buffer's header, which it asks for ahead of time as
// drivers do. Their TxBurst keeps buffers as long as a ring of 1,024 descriptors would, and frees those whose places it needs, a burst
// at once.
//
// What does not count, and must not help: packets are written in batches while the clock stands, and then polled 64 at a time in
// the order in which they were written. A batch has 4,096 packets, as two rings of 2,048 descriptors hold that are full because
// the worker is the bottleneck. What it writes is more than a second-level cache holds, 1.3 MB at 64 bytes of payload and nearly 5 MB
// at 1,380, and less than a third-level one: buffers and headers are where a NIC leaves them that writes into the latter (DDIO).
// Fewer packets find them in the second-level cache, many more go out to memory. Free buffers are used in turn, the one longest
// free first, over the whole pool of a gateway.
// The harness reads and writes no record of a flow and none of the worker's memory but for its counters: positions and
// acknowledgements follow from the number of a packet by arithmetic (order). Records lie in memory in another order than that
// in which flows have their turn.
//
// The mix: a flow has its turn with DataPerAck data segments. Flows take turns in groups of Apart, so that two segments of a
// flow do not lie in one burst; a single flow sends one segment after the other. The acknowledgement for a turn comes once
// Lag more data segments have gone. So with two segments to one acknowledgement a flow's record is cold at its first segment
// and at the acknowledgement, if there are many flows.
//
// A batch in which the thread lost its core for a moment, to another process, does not count.
//
// What comes out is counted after each batch, and what still lies in the rings for sending is looked at: headers, positions,
// timestamps, the tag of each frame and each byte of plaintext. Before the clock first runs that is done with every packet of
// a few batches.
//
// It is not a load generator for ports or for a gateway as a whole, and measures no latency. The package is for Linux alone,
// and one World is used by one goroutine.
package packetpath
