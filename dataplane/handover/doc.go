// Package handover carries from worker to worker what a port gave to the wrong one: an ICMP error about another worker's
// connection, a segment of it, and what one worker has learnt of a path that all send on.
//
// The workers of a data plane stand in a circle, and each has one queue to its neighbour. Whose a packet is, the one that got it
// cannot know, so that it travels round the circle until a worker finds it in its own table; the one that would have to give it
// back to where it came from treats it as nobody's. So a packet is at one place at any time, makes no more hops than there are
// workers, and nothing is waited for.
//
// Memory: a message is copied into the queue and out of it, so that each worker keeps to its own buffers. All is allocated by
// NewCircle; no call blocks, locks or allocates.
package handover
