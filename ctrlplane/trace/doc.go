// Package trace carries what the stations of a worker did with packets, from the data plane to whoever asked for it, through memory that
// both processes share. It is not a capture: it has headers, states and counters, and no byte of a payload.
//
// The memory of a worker is a Region: a Filter that the control plane writes, and a ring of Events that the worker writes. While nobody
// traces, a worker reads one word of it for each poll. While somebody does, it works the bursts packet by packet, and the Tap writes what
// became of those that the filter fits. The ring is overwritten from its oldest event on: whoever reads too slowly is told how many it lost.
//
// There is one trace at a time. It ends after a number of packets for each worker, and at a deadline that its owner moves on: a control plane
// that is killed leaves none behind.
//
// What a stranger can make a gateway keep: nothing. Events lie in memory of a fixed size, and only the user that runs the gateway traces.
package trace
