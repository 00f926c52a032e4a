package pktgen

import "context"

// subject is what is measured: it moves packets between the two ports of a run. There are a gateway (instance) and, for comparison, a
// forwarder. It is polled by the caller, or runs on cores of its own.
type subject interface {
	// poll polls once, in the caller's thread, and returns how much it found to do, and whether it knows that something else had a core
	// meanwhile. Now is in ns of the monotonic clock.
	poll(now int64) (work int, stole bool)
	// run polls until ctx is done. Ready is called once packets flow.
	run(ctx context.Context, ready func()) error
	// tend does what is to be done beside polling, in the generator's thread: the part of a control plane. Alone says that the caller
	// polls, so that nobody else keeps the heartbeat.
	tend(now int64, alone bool)
	// read adds what is counted to a sample.
	read(s *sample)
	// stages are the cycles by stage so far.
	stages() stageCycles
	close() error
}
