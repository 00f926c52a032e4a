package connshare

import (
	"net"
	"net/netip"
	"slices"
	"sync"
)

// Queue bounds how many connections there are of those who have yet to show who they are. Where a place is wanted the oldest connection of the
// source that has most is given up for it: strangers keep nobody out who comes to the point while as many newer ones come as there are places.
// It is safe for concurrent use and must not be copied.
type Queue struct {
	All    int // connections of all sources
	Source int // and of one, a /24 or /64

	mu   sync.Mutex
	list []*queued // the oldest first
}

type queued struct {
	from   netip.Prefix
	giveUp func()
}

// Enter counts a connection from an address, and returns what to call when it is over or has shown who it is; calls after the first one do
// nothing. GiveUp ends the connection; it is called at most once, by a later Enter. Leave is nil where the address is none of TCP.
func (q *Queue) Enter(a net.Addr, giveUp func()) (leave func()) {
	from, ok := sourceOf(a)
	if !ok {
		return nil
	}
	one := &queued{from, giveUp}
	if old := q.enter(one); old != nil {
		old.giveUp()
	}
	return func() { q.leave(one) }
}

// enter adds a connection and returns the one that goes for it, nil for none.
func (q *Queue) enter(one *queued) (old *queued) {
	q.mu.Lock()
	defer q.mu.Unlock()
	of := map[netip.Prefix]int{}
	for _, c := range q.list {
		of[c.from]++
	}
	most := one.from
	if of[most] < q.Source && len(q.list) >= q.All {
		for _, c := range q.list {
			if of[c.from] > of[most] {
				most = c.from
			}
		}
	}
	if of[most] >= q.Source || len(q.list) >= q.All {
		i := slices.IndexFunc(q.list, func(c *queued) bool { return c.from == most })
		old = q.list[i]
		q.list = slices.Delete(q.list, i, i+1)
	}
	q.list = append(q.list, one)
	return old
}

func (q *Queue) leave(one *queued) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if i := slices.Index(q.list, one); i >= 0 {
		q.list = slices.Delete(q.list, i, i+1)
	}
}
