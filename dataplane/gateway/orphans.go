package gateway

import (
	"linecrypt/ctrlplane/shm"
	"linecrypt/flowtable"
)

// orphans returns the connections that were encrypted, or about to be, when the last data plane of the instance was killed.
// A segment that is not there or that cannot be read has none.
func orphans(dir, name string) []flowtable.Key {
	seg, err := shm.Open(dir, name)
	if err != nil {
		return nil
	}
	defer seg.Close()
	var keys []flowtable.Key
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
			if r.State == flowtable.Encrypted || r.State == flowtable.PassiveAck || r.State == flowtable.Closing || r.Flags&flowtable.FlagStarted != 0 {
				keys = append(keys, r.Key)
			}
			return true
		})
	}
	return keys
}

// bury makes every worker refuse the orphans: which of them a connection's packets reach, the ports decide.
func (g *Gateway) bury(keys []flowtable.Key) {
	lost := 0
	for _, w := range g.workers {
		for n := range keys {
			if !w.Bury(&keys[n], g.clock()) {
				lost++
			}
		}
	}
	if len(keys) > 0 {
		g.opt.Log.Warn("connections of a data plane that was killed are reset at their next segment", "connections", len(keys), "not_remembered", lost)
	}
}
