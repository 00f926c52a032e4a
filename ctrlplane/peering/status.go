package peering

import (
	"time"

	"linecrypt/ctrlplane/peering/book"
)

// Status is what is known of a peer.
type Status struct {
	Name          string    `json:"name"`
	Address       string    `json:"address"` // where it is, or was to be, found; empty where it dials
	Connected     bool      `json:"connected"`
	Since         time.Time `json:"since,omitzero"` // of the connection
	Why           string    `json:"why,omitempty"`  // there is no connection
	Sessions      int       `json:"sessions"`
	Authenticated int       `json:"authenticated"` // of them
}

// Status returns what is known of the peers, in the order in which they were listed first.
func (n *Node) Status() []Status {
	n.mu.Lock()
	defer n.mu.Unlock()
	var all []Status
	for i, p := range n.peers {
		if p.out {
			continue
		}
		s := Status{Name: p.Name, Address: p.Address, Connected: p.link != nil}
		s.Sessions, s.Authenticated = n.book.Of(i)
		switch {
		case p.link != nil:
			s.Address, s.Since = p.link.conn.RemoteAddr().String(), p.link.since
		case p.why != nil:
			s.Why = p.why.Error()
		case p.Address == "":
			s.Why = "it has not dialled yet"
		default:
			s.Why = "not dialled yet"
		}
		all = append(all, s)
	}
	return all
}

// Stats are counters of a node.
type Stats struct {
	book.Stats
	Connected      int    // peers, now
	Connections    uint64 // that were used
	Paced, Refused uint64 // messages that came faster than they are read, and connections that showed no peer's key or came too often
}

// Stats returns the counters.
func (n *Node) Stats() Stats {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := Stats{Stats: n.book.Stats(), Paced: n.paced.Load(), Refused: n.refused.Load()}
	for _, p := range n.peers {
		s.Connections += p.connected
		if p.link != nil {
			s.Connected++
		}
	}
	return s
}
