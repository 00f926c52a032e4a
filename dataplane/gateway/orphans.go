package gateway

import (
	"slices"

	"linecrypt/ctrlplane/shm"
	"linecrypt/dataplane/worker"
	"linecrypt/flowtable"
)

// allOrphans returns the orphans of the segments in several folders.
func allOrphans(dirs []string, name string) []worker.Orphan {
	var all []worker.Orphan
	slices.Sort(dirs)
	for _, dir := range slices.Compact(dirs) {
		all = append(all, orphans(dir, name)...)
	}
	return all
}

// orphans returns the connections that were encrypted, or about to be, when the last data plane of the instance was killed.
// A segment that is not there or that cannot be read has none.
func orphans(dir, name string) []worker.Orphan {
	seg, err := shm.Open(dir, name)
	if err != nil {
		return nil
	}
	defer seg.Close()
	var all []worker.Orphan
	for i := range seg.Workers() {
		part := seg.Worker(i)
		if part == nil {
			continue
		}
		table, err := part.Flows()
		if err != nil {
			continue
		}
		table.Range(func(_ flowtable.Index, r *flowtable.Record) bool {
			if o, ok := worker.OrphanOf(r); ok {
				all = append(all, o)
			}
			return true
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
