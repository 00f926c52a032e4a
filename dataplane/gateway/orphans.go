package gateway

import (
	"slices"

	"linecrypt/ctrlplane/shm"
	"linecrypt/dataplane/worker"
	"linecrypt/flowtable"
)

// orphans returns the connections that were encrypted, or about to be, when the last data plane of the instance was killed: of the segments
// in several folders.
func orphans(dirs []string, name string) []worker.Orphan {
	var all []worker.Orphan
	slices.Sort(dirs)
	for _, dir := range slices.Compact(dirs) {
		shm.RangeLeft(dir, name, func(r *flowtable.Record) {
			if o, ok := worker.OrphanOf(r); ok {
				all = append(all, o)
			}
		})
	}
	return all
}

// bury makes every worker refuse the orphans, since the ports decide which of them a connection's packets reach, and shares out
// among them who resets their ends.
func (g *Gateway) bury(all []worker.Orphan) {
	lost := 0
	for i, w := range g.workers {
		for n := range all {
			if !w.Bury(&all[n], n%len(g.workers) == i, g.clock()) {
				lost++
			}
		}
	}
	if len(all) > 0 {
		g.opt.Log.Warn("connections of a data plane that was killed are reset", "connections", len(all), "not_remembered", lost)
	}
}
