// Package worker is the pipeline of one core: it takes bursts from the inside and the outside port, and runs each to
// completion. It locks nothing, logs nothing and, once its flows are encrypted, allocates nothing.
//
// The stations of a packet, in order, and what each may touch:
//
//	rx       (poll.go)       a burst from a port's queue; the worker owns the buffers
//	parse    (poll.go)       headers into the worker's packet structures; nothing is changed
//	lookup   (poll.go)       keys, hashes and records of the whole burst, so that cache misses overlap
//	stream   (dispatch.go)   the flow's state decides: pass, set-up (open.go, active.go, passive.go), or the translator
//	         (icmp.go)       errors about segments of a flow, translated; what they tell of paths (paths.go, pmtu.go)
//	         (handover.go)   what the port gave to another worker, in the same place of the loop
//	         (replies.go)    what the control plane answered
//	         (timers.go)     what time brought about
//	crypto   (finish.go)     all frames of the burst sealed and opened at once
//	rewrite  (emit.go)       headers of what the translator emitted, checksums; too long ones are cut (pieces.go)
//	tx       (tx.go)         bursts to the ports
//
// Connection set-up holds the host back until keys are in place (active.go and passive.go tell how); the control plane is
// asked through a ring and keeps nothing between two questions, so that it may be killed and restarted between them.
//
// Memory: a worker shares nothing with other workers but Pairs, the ports' MTUs and a queue to its neighbour (package handover),
// into which packets are copied. Flow records lie in the shared segment, packets in the port's buffers, everything else is made by
// New.
package worker
