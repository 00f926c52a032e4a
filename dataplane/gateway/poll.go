package gateway

import "linecrypt/dataplane/worker"

// Worker returns worker i, for a caller that polls it itself instead of calling Run.
func (g *Gateway) Worker(i int) *worker.Worker { return g.workers[i] }

// Beat does what Run does beside the workers, for a caller that polls them itself: the heartbeat, and what is known of the control plane.
// It is to be called every 50 ms or so.
func (g *Gateway) Beat() {
	g.seg.Beat(g.clock())
	g.loader.look()
	g.control.Store(g.seg.ControlPlaneRuns())
}
