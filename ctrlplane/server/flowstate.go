package server

import (
	"slices"
	"sync"

	"linecrypt/ctrlplane/session/wire"
	"linecrypt/flowtable"
)

// flowViews looks into the flow tables for goroutines beside Run's.
type flowViews struct {
	mu     sync.Mutex
	tables []*flowtable.Table // by worker, nil while not made
	vlans  []uint32           // that connections were seen in, beside 0
	next   []flowtable.Index  // by worker, where the search for VLANs goes on
	looked int64              // when it last did, ns of the monotonic clock
}

// Bounds of the search for VLANs: an application does not know in which one its connection is, and the flow table finds none without.
const (
	vlansEvery   = 1_000_000_000 // ns
	vlansRecords = 1 << 17       // looked at in one go
	maxVLANs     = 64
)

// stateOf says what the data plane does with a connection.
func (s *Server) stateOf(q *wire.Request) wire.Answer {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.seg == nil {
		return wire.Away
	}
	v := &s.views
	v.mu.Lock()
	defer v.mu.Unlock()
	v.attach(s)
	key := flowtable.Key{
		Inside: q.Local.Addr, Outside: q.Remote.Addr, InsidePort: q.Local.Port, OutsidePort: q.Remote.Port, VLAN: q.VLAN,
	}
	if q.VLAN != wire.AnyVLAN {
		return v.state(&key)
	}
	key.VLAN = 0
	answer := v.state(&key)
	if answer == wire.Unknown {
		v.findVLANs(monotonic())
	}
	for _, key.VLAN = range v.vlans {
		a := v.state(&key)
		if a != wire.Unknown && answer != wire.Unknown {
			return wire.Ambiguous
		}
		if a != wire.Unknown {
			answer = a
		}
	}
	return answer
}

// attach makes views of the tables that are there by now. The server's lock is held, so that the segment stays.
func (v *flowViews) attach(s *Server) {
	if len(v.tables) != s.seg.Workers() {
		v.tables, v.next = make([]*flowtable.Table, s.seg.Workers()), make([]flowtable.Index, s.seg.Workers())
	}
	for i := range v.tables {
		if v.tables[i] == nil {
			v.tables[i], _ = s.seg.Worker(i).Flows()
		}
	}
}

// forget gives the views up: the segment goes.
func (v *flowViews) forget() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.tables, v.next, v.vlans, v.looked = nil, nil, nil, 0
}

func (v *flowViews) state(key *flowtable.Key) wire.Answer {
	for _, t := range v.tables {
		if t == nil {
			continue
		}
		r := t.Record(t.Lookup(key, t.Hash(key)))
		if r == nil {
			continue
		}
		switch r.State {
		case flowtable.Free, flowtable.Closing:
			continue
		case flowtable.Plain, flowtable.PlainSyn:
			return wire.Plain
		case flowtable.Encrypted:
			return wire.Encrypted
		}
		return wire.Connecting
	}
	return wire.Unknown
}

// findVLANs looks through some records for VLANs, now and then.
func (v *flowViews) findVLANs(now int64) {
	if v.looked != 0 && now-v.looked < vlansEvery {
		return
	}
	v.looked = now
	for i, t := range v.tables {
		if t == nil {
			continue
		}
		at := v.next[i]
		for range min(vlansRecords, t.Capacity()) {
			if at++; int(at) > t.Capacity() {
				at = 1
			}
			if r := t.Record(at); r.State != flowtable.Free {
				v.remember(r.Key.VLAN)
			}
		}
		v.next[i] = at
	}
}

func (v *flowViews) remember(vlan uint32) {
	if vlan != 0 && len(v.vlans) < maxVLANs && !slices.Contains(v.vlans, vlan) {
		v.vlans = append(v.vlans, vlan)
	}
}
