package fairqueue

import (
	"container/heap"
	"container/list"
)

// Reason says why a request was dropped.
type Reason uint8

// The reasons.
const (
	Replaced  Reason = iota // a newer request of the same ID has taken its place
	PeerShare               // its peer had more work waiting than a peer may
	Full                    // all together held too much, and its peer most
	Late                    // it waited longer than the time limit
	Cleared                 // the queue was cleared
	NumReasons
)

// Limits bounds a Queue. All are to be positive.
type Limits struct {
	Classes  int   // classes that Request.Class counts
	Requests int   // requests that wait
	Bytes    int   // bytes of theirs
	PeerCost int64 // cost of a peer's requests that wait, in units of Request.Cost
	Patience int64 // how long a request may wait, in units of now
}

// Peer is who a request is charged to, Line the part of that peer it belongs to.
type (
	Peer uint64
	Line [32]byte
)

// Request is what waits.
type Request[ID comparable, T any] struct {
	ID     ID // a request that is pushed again replaces the one that waits, in its place
	Peer   Peer
	Line   Line
	Class  int // from 0; what is not in Limits.Classes counts as the last one
	Urgent bool
	Cost   int64 // time that serving it takes, in any unit, 1 at least
	Bytes  int   // memory it holds
	Value  T
}

// Queue is a fair queue. It is not safe for concurrent use.
type Queue[ID comparable, T any] struct {
	limits  Limits
	drop    func(T, Reason)
	classes []class
	clock   int64 // virtual time: when the class that was served last was due
	peers   map[Peer]*peer[ID, T]
	items   map[ID]*item[ID, T]
	ages    list.List // of *item, the oldest first
	byShare holders   // of *peer
	bytes   int
}

// class is one class's place among the classes.
type class struct {
	turns list.List // of *peer
	due   int64     // virtual time at which its next request is due
}

// peer is what one peer has waiting.
type peer[ID comparable, T any] struct {
	holder
	key     Peer
	lines   map[lineKey]*line[ID, T]
	byShare holders
	classes []peerClass
	items   int
	bytes   int
	cost    int64
}

// peerClass is what a peer has waiting in one class.
type peerClass struct {
	turns list.List     // of *line
	place *list.Element // in the turns of the class, nil while the peer has none there
}

type lineKey struct {
	line  Line
	class int
}

// line is what a peer has waiting for one pair of hosts in one class.
type line[ID comparable, T any] struct {
	holder
	key    lineKey
	peer   *peer[ID, T]
	place  *list.Element // in the turns of its peer
	queues [2]list.List  // of *item: the urgent ones, the others
}

type item[ID comparable, T any] struct {
	Request[ID, T]
	since int64
	line  *line[ID, T]
	place *list.Element // in a queue of its line
	age   *list.Element
}

// New makes a queue. drop is told of each request that is not handed out by Next, and owns it then; it must not call the queue.
func New[ID comparable, T any](l Limits, drop func(T, Reason)) *Queue[ID, T] {
	return &Queue[ID, T]{
		limits: l, drop: drop, classes: make([]class, l.Classes), peers: make(map[Peer]*peer[ID, T]), items: make(map[ID]*item[ID, T]),
	}
}

// Len returns the number of requests that wait.
func (q *Queue[ID, T]) Len() int { return len(q.items) }

// Peers returns the number of peers that have requests waiting.
func (q *Queue[ID, T]) Peers() int { return len(q.peers) }

// Push lets a request wait. What is too much now is dropped, which may be this request.
func (q *Queue[ID, T]) Push(r Request[ID, T], now int64) {
	r.Cost = max(1, r.Cost)
	if r.Class < 0 || r.Class >= len(q.classes) {
		r.Class = len(q.classes) - 1
	}
	if it := q.items[r.ID]; it != nil {
		if q.replace(it, &r, now) {
			return
		}
		q.remove(it)
		q.drop(it.Value, Replaced)
	}
	p := q.insert(&item[ID, T]{Request: r, since: now})
	for p.items > 1 && p.cost > q.limits.PeerCost {
		q.evict(p, PeerShare)
	}
	for len(q.items) > q.limits.Requests || q.bytes > q.limits.Bytes {
		q.evict(q.byShare[0].(*peer[ID, T]), Full)
	}
}

// replace puts a request in the place of one that waits, if it belongs there and is no larger.
func (q *Queue[ID, T]) replace(it *item[ID, T], r *Request[ID, T], now int64) bool {
	if it.line.peer.key != r.Peer || it.line.key != (lineKey{r.Line, r.Class}) || it.Urgent != r.Urgent || r.Bytes > it.Bytes || r.Cost > it.Cost {
		return false
	}
	q.drop(it.Value, Replaced)
	it.Value, it.since = r.Value, now
	q.ages.MoveToBack(it.age)
	return true
}

// evict drops the newest request of the peer's line that holds most.
func (q *Queue[ID, T]) evict(p *peer[ID, T], why Reason) {
	l := p.byShare[0].(*line[ID, T])
	last := l.queues[1].Back()
	if last == nil {
		last = l.queues[0].Back()
	}
	it := last.Value.(*item[ID, T])
	q.remove(it)
	q.drop(it.Value, why)
}

// Expire drops the requests that have waited too long.
func (q *Queue[ID, T]) Expire(now int64) {
	for e := q.ages.Front(); e != nil; e = q.ages.Front() {
		it := e.Value.(*item[ID, T])
		if now-it.since <= q.limits.Patience {
			return
		}
		q.remove(it)
		q.drop(it.Value, Late)
	}
}

// Next hands out the request whose turn it is. It reports false when none waits that is not too old.
func (q *Queue[ID, T]) Next(now int64) (T, bool) {
	q.Expire(now)
	c, it := q.choose()
	if it == nil {
		var none T
		return none, false
	}
	at := &q.classes[c]
	q.clock = at.due
	at.due += it.Cost
	// Peer and line have had their turn; where nothing else of theirs waits, remove takes them out.
	pc := &it.line.peer.classes[c]
	at.turns.MoveToBack(pc.place)
	pc.turns.MoveToBack(it.line.place)
	q.remove(it)
	return it.Value, true
}

// choose returns the first request of the class that would be done with it first if all were served at once, each with the
// same share of the time.
func (q *Queue[ID, T]) choose() (int, *item[ID, T]) {
	best, at := (*item[ID, T])(nil), -1
	for c := range q.classes {
		front := q.classes[c].turns.Front()
		if front == nil {
			continue
		}
		it := front.Value.(*peer[ID, T]).classes[c].turns.Front().Value.(*line[ID, T]).first()
		if best == nil || q.classes[c].due+it.Cost < q.classes[at].due+best.Cost {
			best, at = it, c
		}
	}
	return at, best
}

func (l *line[ID, T]) first() *item[ID, T] {
	e := l.queues[0].Front()
	if e == nil {
		e = l.queues[1].Front()
	}
	return e.Value.(*item[ID, T])
}

// Clear drops everything.
func (q *Queue[ID, T]) Clear() {
	for e := q.ages.Front(); e != nil; e = q.ages.Front() {
		it := e.Value.(*item[ID, T])
		q.remove(it)
		q.drop(it.Value, Cleared)
	}
}

// insert enters an item everywhere and returns its peer.
func (q *Queue[ID, T]) insert(it *item[ID, T]) *peer[ID, T] {
	p := q.peers[it.Peer]
	if p == nil {
		p = &peer[ID, T]{key: it.Peer, lines: make(map[lineKey]*line[ID, T]), classes: make([]peerClass, len(q.classes))}
		q.peers[it.Peer] = p
		heap.Push(&q.byShare, p)
	}
	key := lineKey{it.Line, it.Class}
	l := p.lines[key]
	if l == nil {
		l = &line[ID, T]{key: key, peer: p}
		p.lines[key] = l
		heap.Push(&p.byShare, l)
		q.takeTurn(p, l)
	}
	it.line = l
	it.place = l.queue(it.Urgent).PushBack(it)
	it.age = q.ages.PushBack(it)
	q.items[it.ID] = it
	q.charge(it, 1)
	return p
}

// takeTurn puts a new line behind the others of its peer, and the peer behind the others of the class if it was not there. A
// class that was empty has not saved time up.
func (q *Queue[ID, T]) takeTurn(p *peer[ID, T], l *line[ID, T]) {
	c := &q.classes[l.key.class]
	pc := &p.classes[l.key.class]
	l.place = pc.turns.PushBack(l)
	if pc.place != nil {
		return
	}
	if c.turns.Len() == 0 {
		c.due = max(c.due, q.clock)
	}
	pc.place = c.turns.PushBack(p)
}

func (l *line[ID, T]) queue(urgent bool) *list.List {
	if urgent {
		return &l.queues[0]
	}
	return &l.queues[1]
}

// charge adds an item to what its line, its peer and all hold, n times.
func (q *Queue[ID, T]) charge(it *item[ID, T], n int) {
	p := it.line.peer
	q.bytes += n * it.Bytes
	p.items += n
	p.bytes += n * it.Bytes
	p.cost += int64(n) * it.Cost
	share := int64(n) * q.share(it)
	p.byShare.add(&it.line.holder, share)
	q.byShare.add(&p.holder, share)
}

// share is what an item holds of all that is bounded, in millionths, each bound counting alike.
func (q *Queue[ID, T]) share(it *item[ID, T]) int64 {
	const whole = 1_000_000
	l := &q.limits
	return 1 + whole/int64(l.Requests) + whole*int64(it.Bytes)/int64(l.Bytes) + whole*it.Cost/l.PeerCost
}

// remove takes an item out of everything, and its line and its peer if they are empty then.
func (q *Queue[ID, T]) remove(it *item[ID, T]) {
	l := it.line
	p := l.peer
	q.charge(it, -1)
	l.queue(it.Urgent).Remove(it.place)
	q.ages.Remove(it.age)
	delete(q.items, it.ID)
	if l.queues[0].Len()+l.queues[1].Len() > 0 {
		return
	}
	pc := &p.classes[l.key.class]
	pc.turns.Remove(l.place)
	delete(p.lines, l.key)
	heap.Remove(&p.byShare, l.at)
	if pc.turns.Len() == 0 {
		q.classes[l.key.class].turns.Remove(pc.place)
		pc.place = nil
	}
	if p.items == 0 {
		delete(q.peers, p.key)
		heap.Remove(&q.byShare, p.at)
	}
}
