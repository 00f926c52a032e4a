package book

import (
	"linecrypt/ctrlplane/peering/message"
	"linecrypt/flowtable"
)

// recent remembers sessions that are over, for a while and up to a number: the peer may be a moment behind. The oldest goes first.
type recent struct {
	most  int
	was   map[message.ID]ended
	order queue
}

type ended struct {
	peer int
	role flowtable.Role // of this gateway
}

func (r *recent) init(most int) { r.most, r.was = most, map[message.ID]ended{} }

func (r *recent) add(id message.ID, peer int, role flowtable.Role, until int64) {
	if _, ok := r.was[id]; ok || r.most == 0 {
		return
	}
	if len(r.was) >= r.most {
		delete(r.was, r.order.list[0].id)
		r.order.list = r.order.list[1:]
	}
	r.was[id] = ended{peer, role}
	r.order.add(id, until)
}

func (r *recent) find(id message.ID) (ended, bool) {
	e, ok := r.was[id]
	return e, ok
}

func (r *recent) expire(now int64) {
	for d, ok := r.order.next(now); ok; d, ok = r.order.next(now) {
		delete(r.was, d.id)
	}
}
