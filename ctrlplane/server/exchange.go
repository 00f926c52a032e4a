package server

import (
	"time"

	"linecrypt/ctrlplane/fairqueue"
	"linecrypt/ctrlplane/responder"
	"linecrypt/ctrlplane/shm"
	"linecrypt/flowtable"
)

// keyPatience is how long, in ns, a request for keys may wait: the data plane has asked again by then, or has given up.
const keyPatience = 2_000_000_000

// keyLimits bounds what waits. What a peer has waiting is what a core can work within keyPatience, in µs: more is of no use to it.
var keyLimits = fairqueue.Limits{
	Classes: responder.NumClasses, Requests: 8192, Bytes: 32 << 20, PeerCost: keyPatience / 1000, Patience: keyPatience,
}

// requestOverhead is the memory that a waiting request takes beside its message, in bytes, about.
const requestOverhead = 1024

// waiting is a request for keys that waits for its turn.
type waiting struct {
	lane  int
	req   shm.Request // points into msg
	msg   []byte
	since time.Time
}

// flowID names a connection of a lane: it asks one thing at a time.
type flowID struct {
	lane  int
	index flowtable.Index
	gen   uint32
}

// dropCounters say what is counted when a request does not get its turn.
var dropCounters = [fairqueue.NumReasons]shm.Counter{
	fairqueue.Replaced:  shm.KeysAskedAgain,
	fairqueue.PeerShare: shm.OverloadKeysPeer,
	fairqueue.Full:      shm.OverloadKeysFull,
	fairqueue.Late:      shm.OverloadKeysLate,
	fairqueue.Cleared:   shm.KeysNotAwaited,
}

// giveUp is told by the queue what does not get its turn. There is no answer: the data plane asks again while the connection
// waits, and no answer is ever a reason for plaintext.
func (s *Server) giveUp(w *waiting, why fairqueue.Reason) {
	s.count(dropCounters[why])
	w.wipe()
}

// wipe erases the message, which may hold a private key.
func (w *waiting) wipe() { clear(w.msg) }

// enqueue lets a request, which points into msg, wait for its turn.
func (s *Server) enqueue(at int, q *shm.Request, msg []byte, work responder.Work) {
	s.keys.Push(fairqueue.Request[flowID, *waiting]{
		ID:     flowID{at, q.Ref.Index, q.Ref.Gen},
		Peer:   fairqueue.Peer(q.Tuple.Peer()),
		Line:   lineOf(&q.Tuple),
		Class:  work.Class,
		Urgent: work.Committed,
		Cost:   work.Micros,
		Bytes:  len(msg) + requestOverhead,
		Value:  &waiting{lane: at, req: *q, msg: msg, since: time.Now()},
	}, monotonic())
}

// lineOf returns the pair of hosts: one that opens many connections to a peer delays its own.
func lineOf(k *flowtable.Key) (l fairqueue.Line) {
	copy(l[:16], k.Inside[:])
	copy(l[16:], k.Outside[:])
	return l
}

// exchange answers requests for keys in their turn until sliceFor has passed since begin, and reports whether there were any.
func (s *Server) exchange(begin int64) bool {
	worked := false
	for now := begin; now-begin < sliceFor; now = monotonic() {
		w, ok := s.keys.Next(now)
		if !ok {
			break
		}
		worked = true
		switch {
		case !s.awaited(w):
			s.count(shm.KeysNotAwaited)
		case len(s.lanes[w.lane].kept) > 0:
			s.count(shm.OverloadKeysReplies)
		default:
			s.answer(w.lane, &w.req, w.since)
		}
		w.wipe()
	}
	s.events.waiting.Store(uint64(s.keys.Len()))
	s.events.waitingPeers.Store(uint64(s.keys.Peers()))
	return worked
}

// awaited reports whether the connection of a request still waits for its answer, as far as the flow table tells.
func (s *Server) awaited(w *waiting) bool {
	flows := s.lanes[w.lane].flows()
	if flows == nil {
		return true
	}
	r := flows.Get(w.req.Ref.Index, w.req.Ref.Gen)
	if r == nil || r.HasKeys() {
		return false
	}
	switch r.State {
	case flowtable.Free, flowtable.Plain, flowtable.Encrypted, flowtable.Closing:
		return false
	}
	return true
}
