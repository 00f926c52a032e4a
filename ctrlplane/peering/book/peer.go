package book

import (
	"linecrypt/ctrlplane/peering/message"
	"linecrypt/flowtable"
)

// peer is what goes to and comes from one peer.
type peer struct {
	sessions  map[message.ID]*own // own ones, with hosts behind it
	connected bool
	tell      []message.ID      // own sessions to be told, once each
	replies   []message.Message // bounded
	unheard   queue             // own sessions that were told, in that order
	pending   map[message.ID]*pending
	at        map[addresses]message.ID // of pending, as their own end sees them
	byRole    [2]queue                 // of pending: those told by role A and role B, in the order of their ends
	conflicts queue                    // of pending: those with a session's addresses and another ID
}

// pending is a session that the peer has told and that is not here.
type pending struct {
	role  flowtable.Role
	tuple flowtable.Key
	end   int64
}

// queue is IDs with times that do not go back. What is of no interest any more when its time has come is passed over.
type queue struct {
	list []due
}

type due struct {
	id message.ID
	at int64
}

func (q *queue) add(id message.ID, at int64) { q.list = append(q.list, due{id, at}) }

// next takes an ID off whose time has come.
func (q *queue) next(now int64) (due, bool) {
	if len(q.list) == 0 || q.list[0].at > now {
		return due{}, false
	}
	d := q.list[0]
	if q.list = q.list[1:]; len(q.list) == 0 {
		q.list = nil
	}
	return d, true
}

func newPeer() *peer {
	return &peer{sessions: map[message.ID]*own{}, pending: map[message.ID]*pending{}, at: map[addresses]message.ID{}}
}

// forget gives up waiting for a session.
func (p *peer) forget(id message.ID) {
	t := p.pending[id]
	if t == nil {
		return
	}
	delete(p.pending, id)
	if a := addressesOf(&t.tuple); p.at[a] == id {
		delete(p.at, a)
	}
}

// full reports whether no further session may wait: neither many of them, nor many that came and went.
func (p *peer) full(most int) bool {
	return len(p.pending) >= most || len(p.byRole[0].list)+len(p.byRole[1].list)+len(p.conflicts.list) >= 2*most
}

// queue has a session told, unless that is about to happen.
func (b *Book) queue(p *peer, o *own) {
	if p.connected && !o.queued {
		o.queued = true
		p.tell = append(p.tell, o.ID)
	}
}

// reply has a message sent, if there is room.
func (b *Book) reply(p *peer, m message.Message) {
	switch {
	case !p.connected:
	case len(p.replies) >= b.params.Replies:
		b.stats.RepliesDropped++
	default:
		p.replies = append(p.replies, m)
	}
}

// Connect begins a connection with a peer, on which nothing has been told: every session that is not authenticated is.
func (b *Book) Connect(n int, _ int64) {
	b.Disconnect(n)
	p := b.peers[n]
	p.connected = true
	for _, o := range p.sessions {
		if o.State != Authenticated {
			b.queue(p, o)
		}
	}
}

// Disconnect ends it. What was authenticated stays so.
func (b *Book) Disconnect(n int) {
	p := b.peers[n]
	own := p.sessions
	*p = *newPeer()
	p.sessions = own
	for _, o := range own {
		o.queued, o.told = false, 0
	}
}

// Next returns the next message for a peer, false when there is none.
func (b *Book) Next(n int, now int64, m *message.Message) bool {
	p := b.peers[n]
	if len(p.replies) > 0 {
		*m = p.replies[0]
		if p.replies = p.replies[1:]; len(p.replies) == 0 {
			p.replies = nil
		}
		b.stats.Told++
		return true
	}
	for len(p.tell) > 0 {
		id := p.tell[0]
		if p.tell = p.tell[1:]; len(p.tell) == 0 {
			p.tell = nil
		}
		o := b.sessions[id]
		if o == nil || !o.queued {
			continue
		}
		o.queued, o.told = false, max(now, 1)
		if o.State == Authenticated {
			continue
		}
		p.unheard.add(id, now+b.params.Again)
		*m = message.Message{Kind: message.Tell, ID: id, Role: o.Role, Tuple: o.Tuple}
		m.Tuple.VLAN = 0
		b.stats.Told++
		return true
	}
	return false
}

// Receive takes a message of a peer's.
func (b *Book) Receive(n int, m *message.Message, now int64) {
	p := b.peers[n]
	switch m.Kind {
	case message.Tell:
		b.stats.Heard++
		b.hear(n, p, m, now)
	case message.Have, message.Lack:
		b.stats.Heard++
		o := b.sessions[m.ID]
		switch {
		case o == nil || o.told == 0:
			b.stats.Unexpected++
		case o.peer != n:
			b.stats.Foreign++
		case m.Kind == message.Have:
			b.authenticate(o)
		default:
			b.mismatch(o, message.ID{})
		}
	case message.Gone:
		b.stats.Heard++
		p.forget(m.ID)
	}
}

// hear takes a Tell.
func (b *Book) hear(n int, p *peer, m *message.Message, now int64) {
	o := b.sessions[m.ID]
	switch {
	case o != nil && o.peer != n:
		b.stats.Foreign++
		return
	case o != nil:
		b.match(p, o, m.Role)
		return
	}
	if was, ok := b.recent.find(m.ID); ok && was.peer == n && was.role.Peer() == m.Role {
		b.reply(p, message.Message{Kind: message.Have, ID: m.ID}) // it was there, and is over
		return
	}
	if p.pending[m.ID] != nil {
		return
	}
	if p.full(b.params.Pending) {
		b.stats.PendingDropped++
		return
	}
	grace, q := b.params.GraceA, &p.byRole[0]
	if m.Role == flowtable.RoleB {
		grace, q = b.params.GraceB, &p.byRole[1]
	}
	p.pending[m.ID] = &pending{role: m.Role, tuple: m.Tuple, end: now + grace}
	p.at[addressesOf(&m.Tuple)] = m.ID
	q.add(m.ID, now+grace)
	if o := b.at[mirrored(&m.Tuple)]; o != nil && o.peer == n && o.State == Waiting {
		p.conflicts.add(m.ID, now+b.params.Conflict)
	}
}

// Tick does what time brings about. It wants to be called several times a second.
func (b *Book) Tick(now int64) {
	b.recent.expire(now)
	for _, p := range b.peers {
		for d, ok := p.conflicts.next(now); ok; d, ok = p.conflicts.next(now) {
			b.settle(p, d.id)
		}
		for i := range p.byRole {
			for d, ok := p.byRole[i].next(now); ok; d, ok = p.byRole[i].next(now) {
				if t := p.pending[d.id]; t != nil && t.end == d.at {
					p.forget(d.id)
					b.reply(p, message.Message{Kind: message.Lack, ID: d.id})
				}
			}
		}
		for d, ok := p.unheard.next(now); ok; d, ok = p.unheard.next(now) {
			if o := b.sessions[d.id]; o != nil && o.State == Waiting && o.told != 0 && o.told+b.params.Again == d.at {
				b.queue(p, o)
			}
		}
	}
}

// settle decides on a Tell with the addresses of a session and another ID, which nothing has explained in time.
func (b *Book) settle(p *peer, id message.ID) {
	t := p.pending[id]
	if t == nil {
		return
	}
	o := b.at[mirrored(&t.tuple)]
	if o == nil || o.State != Waiting || b.peers[o.peer] != p {
		return
	}
	p.forget(id)
	b.reply(p, message.Message{Kind: message.Lack, ID: id})
	b.mismatch(o, id)
}

// HasNext reports whether there may be a next message for a peer.
func (b *Book) HasNext(n int) bool { return len(b.peers[n].replies)+len(b.peers[n].tell) > 0 }
