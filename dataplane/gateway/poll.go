package gateway

import (
	"linecrypt/cryptobatch"
	"linecrypt/ctrlplane/config"
	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/worker"
	"linecrypt/flowtable"
)

// Worker returns worker i, for a caller that polls it itself instead of calling Run.
func (g *Gateway) Worker(i int) *worker.Worker { return g.workers[i] }

// Beat does what Run does beside the workers, for a caller that polls them itself: the heartbeat, and what is known of the control plane.
// It is to be called every 50 ms or so.
func (g *Gateway) Beat() {
	g.seg.Beat(g.clock())
	g.control.Store(g.seg.ControlPlaneRuns())
}

// largeBuffer is what a buffer for the largest frame takes, in bytes.
const largeBuffer = 64 << 10

// Memory returns what one worker takes of memory, in bytes: its part of the shared segment, and what it has beside that, which is keys
// and packet buffers for the most part.
func Memory(c *config.Config) (segment, private int) {
	segment = flowtable.Size(flowtable.Layout{Capacity: uint32(capacity(c)), Chunks: ledgerChunks(c)})
	private = (2*c.Flows.Max+1024)*cryptobatch.KeySize + Buffers(c)*mbuf.BufferSize(mbuf.DefaultDataRoom) + c.Reassembly.LargeBuffers*largeBuffer
	return segment, private
}
