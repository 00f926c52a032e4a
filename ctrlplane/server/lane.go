package server

import (
	"linecrypt/ctrlplane/responder"
	"linecrypt/ctrlplane/shm"
	"linecrypt/flowtable"
)

// lane is the server's end of one worker's rings.
type lane struct {
	worker   *shm.Worker
	requests *shm.Consumer
	replies  *shm.Producer
	kept     []shm.Reply // replies that found no room, in order; while there are any no request is taken
	view     *flowtable.Table
}

func newLanes(seg *shm.Segment) []lane {
	lanes := make([]lane, seg.Workers())
	for i := range lanes {
		w := seg.Worker(i)
		lanes[i] = lane{worker: w, requests: shm.NewConsumer(w.Requests), replies: shm.NewProducer(w.Replies)}
	}
	return lanes
}

// flows returns the worker's flow table, nil while the worker has not made it.
func (l *lane) flows() *flowtable.Table {
	if l.view == nil {
		l.view, _ = l.worker.Flows()
	}
	return l.view
}

// sendResult is what became of a reply.
type sendResult uint8

const (
	sent sendResult = iota
	noRoom
	unfit // it cannot be encoded
)

// send writes a reply to the ring.
func (l *lane) send(p *shm.Reply) sendResult {
	room := l.replies.Reserve(p.Size())
	if room == nil {
		if p.Size() > shm.MaxMessage {
			return unfit
		}
		return noRoom
	}
	n, err := p.Encode(room)
	if err != nil || !l.replies.Commit(n) {
		return unfit
	}
	return sent
}

// flush sends kept replies and reports whether any went out.
func (l *lane) flush() bool {
	n := 0
	for n < len(l.kept) && l.send(&l.kept[n]) != noRoom {
		responder.Wipe(&l.kept[n])
		n++
	}
	if n == 0 {
		return false
	}
	rest := copy(l.kept, l.kept[n:])
	clear(l.kept[rest:])
	l.kept = l.kept[:rest]
	return true
}

// discard wipes kept replies that will never go out.
func (l *lane) discard() {
	for i := range l.kept {
		responder.Wipe(&l.kept[i])
	}
	l.kept = nil
}
