// Package worker is the pipeline of one core: it takes bursts from the inside and the outside port, and runs each to
// completion. It locks nothing, logs nothing and, once its flows are encrypted, allocates nothing.
//
// The stations of a packet, in order, and what each may touch:
//
//	rx       (burst.go)      a burst from a port's queue, under load before the crypto of the burst before it; the worker owns the buffers
//	parse    (burst.go)      headers into the worker's packet structures; nothing is changed
//	lookup   (burst.go)      keys, hashes and records of the whole burst, so that cache misses overlap; a run of one flow once
//	stream   (poll.go)       run by run, in the order of arrival
//	         (dispatch.go)   the flow's state decides: pass, set-up, the translator, or what is over (closing.go, buried.go)
//	         (fast.go)       nearly every segment of an encrypted flow takes the translator's fast path, and its headers a short way
//	         (plain.go)      one of a connection in the clear passes untouched, and may be a sign of its end
//	         (open.go)       a segment of a connection that the table does not know: a SYN begins one
//	         (met.go)        any other is of one that is older than the gateway
//	         (setup.go)      connection set-up: package handshake decides, what it says is carried out here
//	         (icmp.go)       errors about segments of a flow, translated; what they tell of paths (paths.go, pmtu.go)
//	         (handover.go)   what the port gave to another worker, in the same place of the loop
//	         (replies.go)    what the control plane answered
//	         (orders.go)     and what it orders
//	         (timers.go)     what time brought about
//	crypto   (finish.go)     all frames of the burst sealed and opened at once
//	rewrite  (emit.go)       headers of what the translator emitted, checksums; too long ones are cut (pieces.go)
//	tx       (tx.go)         bursts to the ports
//
// While somebody traces (trace.go), bursts are worked packet by packet, and each station tells what it did with those that are looked for.
//
// Connection set-up holds the host back until keys are in place: package handshake tells how. The worker reads a segment, a timer or
// an answer into an event, and carries out the actions that come back: own.go makes the segments that set-up sends itself, ask.go
// writes questions to the control plane, which keeps nothing between two of them, so that it may be killed and restarted meanwhile.
//
// What a stranger can make the worker keep has a stock and a share: half-open records, places of established connections and of those
// that are over (places.go), blocks and large Init messages of key exchanges (block.go), paths that hate ENO (hates.go). Shares are counted
// by a keyed hash (flowtable.FoldKey).
//
// Memory: a worker shares nothing with other workers but Pairs, the ports' MTUs and a queue to its neighbour (package handover),
// into which packets are copied. Flow records lie in the shared segment, packets in the port's buffers, everything else is made by
// New.
package worker
