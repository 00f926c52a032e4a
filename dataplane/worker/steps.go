package worker

import "linecrypt/dataplane/handshake"

// stepDepth bounds steps of set-up in one another, for which there is room: a segment that reopens a connection, what the translator had
// gathered for another one, and a block that is taken for it. Deeper ones take memory of the heap.
const stepDepth = 6

// stepRoom is what a step of set-up works with. It lies in the worker because set-up hands parts of it to predicates, so that it cannot
// lie on the stack.
type stepRoom struct {
	e      handshake.Event
	c      handshake.Conn
	before handshake.Conn
	out    handshake.Actions
}

// stepRooms are the rooms of the steps that are being taken.
type stepRooms struct {
	rooms [stepDepth]stepRoom
	depth int
}

// enter returns room for a step about an event, until leave.
func (s *stepRooms) enter(e *handshake.Event) *stepRoom {
	s.depth++
	if s.depth > stepDepth {
		return &stepRoom{e: *e}
	}
	m := &s.rooms[s.depth-1]
	m.e = *e
	return m
}

func (s *stepRooms) leave() { s.depth-- }
