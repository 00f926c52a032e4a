package server

import (
	"crypto/ed25519"
	"log/slog"
	"net"
	"net/netip"

	"linecrypt/ctrlplane/config"
	"linecrypt/ctrlplane/metrics"
	"linecrypt/ctrlplane/peering"
	"linecrypt/ctrlplane/peering/book"
	"linecrypt/ctrlplane/peering/identity"
	"linecrypt/ctrlplane/policy"
	"linecrypt/ctrlplane/sessiontable"
	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/flowtable"
)

// NewPeering makes a configuration's peering, nil where it names no key for it, and opens its address. The error is one of the
// configuration's.
func NewPeering(c *config.Config, log *slog.Logger) (*peering.Node, error) {
	if c.Peering.Key == "" {
		return nil, nil
	}
	key, err := identity.Read(c.Peering.Key)
	if err != nil {
		return nil, c.Err("peering.key", err)
	}
	o := peering.Config{Key: key, Log: log, Peers: peersOf(c)}
	if c.Peering.Listen != "" {
		if o.Listener, err = net.Listen("tcp", c.Peering.Listen); err != nil {
			return nil, c.Err("peering.listen", err)
		}
	}
	n, err := peering.New(o)
	if err != nil {
		if o.Listener != nil {
			o.Listener.Close()
		}
		return nil, c.Err("peers", err)
	}
	log.Info("peering", "peers", len(c.Peers), "listen", c.Peering.Listen, "key", identity.Public(key.Public().(ed25519.PublicKey)))
	return n, nil
}

// CheckPeering returns what is the matter with a configuration's key for peers, and with the peers beside it.
func CheckPeering(c *config.Config) error {
	if c.Peering.Key == "" {
		return nil
	}
	key, err := identity.Read(c.Peering.Key)
	if err != nil {
		return c.Err("peering.key", err)
	}
	if err := peering.CheckPeers(peersOf(c), key.Public().(ed25519.PublicKey)); err != nil {
		return c.Err("peers", err)
	}
	return nil
}

func peersOf(c *config.Config) (peers []peering.Peer) {
	for _, p := range c.Peers {
		peers = append(peers, peering.Peer{Name: p.Name, Key: p.Key, Prefixes: p.Prefixes, Address: p.Address})
	}
	return peers
}

// Peers returns what is known of the peers, in the order in which they were listed first.
func (s *Server) Peers() []peering.Status {
	if n := s.peering.Load(); n != nil {
		if all := n.Status(); all != nil {
			return all
		}
	}
	return []peering.Status{}
}

// demands reports whether a connection's terms want its far end authenticated, and resets whether they want it reset where a peer has
// another session ID.
func (s *Server) demands(rule flowtable.RuleRef) bool {
	return s.responder.Decided(rule).Authenticated == policy.AuthDemand
}

func (s *Server) resets(rule flowtable.RuleRef) bool {
	return s.responder.Decided(rule).OnMismatch == policy.MismatchReset
}

// admit enters a connection whose keys are about to be sent into the session table and tells it to the peer behind which its far end
// lies. Where policy demands that the far end is authenticated, the host is held back until it is; false where nobody could ever say so.
func (s *Server) admit(at int, q *shm.Request, p *shm.Reply) bool {
	demand := s.demands(q.Rule)
	peer, known := 0, false
	node := s.peering.Load()
	if node != nil {
		peer, known = node.PeerFor(q.Tuple.Outside)
	}
	if demand && !known {
		s.events.noPeer.Add(1)
		return false
	}
	e, ok := s.publish(at, q, p, known)
	switch {
	case !known:
		return true
	case !ok:
		return !demand // nobody would know of it when its peer speaks
	}
	if node.Open(s.told(e, demand), peer) == book.Authenticated {
		s.sessions.SetAuth(&e.Tuple, e.Worker, e.Index, e.Gen, sessiontable.Authenticated)
		return true
	}
	p.Hold = demand
	return true
}

// told returns a session as peering wants it.
func (s *Server) told(e *sessiontable.Entry, held bool) book.Session {
	states := map[sessiontable.Auth]book.State{sessiontable.Authenticated: book.Authenticated, sessiontable.AuthMismatch: book.Mismatch}
	return book.Session{
		ID: e.SessionID, Role: e.Role, Tuple: e.Tuple, Rule: flowtable.RuleRef(e.Rule), Held: held, State: states[e.Auth],
		Ref: shm.FlowRef{Worker: e.Worker, Index: e.Index, Gen: e.Gen},
	}
}

// forgetSession tells the peer that a session is over.
func (s *Server) forgetSession(e *sessiontable.Entry) {
	if n := s.peering.Load(); n != nil && e.Auth != sessiontable.AuthNone {
		n.Close(e.SessionID)
	}
}

// retell enters all sessions of the table again, as an earlier control plane left them, and goes on with connections that are held and
// whose far end it had authenticated: the order may have been lost.
func (s *Server) retell() {
	node := s.peering.Load()
	if node == nil || s.sessions == nil {
		return
	}
	var changed []sessiontable.Entry
	n := 0
	s.sessions.Range(func(e *sessiontable.Entry) bool {
		s.beatIn(n)
		n++
		held := s.held(e)
		peer, known := node.PeerFor(e.Tuple.Outside)
		switch {
		case !known:
			// Nobody will ever say anything of it. A host that waits for that is not to wait longer; what was confirmed once goes on.
			if held {
				s.order(e, shm.Kill, shm.ReasonUnauthenticated)
			}
			if e.Auth != sessiontable.AuthNone {
				e.Auth = sessiontable.AuthNone
				changed = append(changed, *e)
			}
			return true
		case e.Auth == sessiontable.AuthNone:
			e.Auth = sessiontable.AuthWaiting
			changed = append(changed, *e)
		case e.Auth == sessiontable.Authenticated && held:
			s.order(e, shm.Confirm, shm.ReasonNone)
		case e.Auth == sessiontable.AuthMismatch && held:
			s.order(e, shm.Kill, shm.ReasonMismatch)
		}
		if node.Open(s.told(e, held), peer) == book.Authenticated && e.Auth != sessiontable.Authenticated {
			e.Auth = sessiontable.Authenticated
			changed = append(changed, *e)
		}
		return true
	})
	for i := range changed {
		s.beatIn(i)
		e := &changed[i]
		s.sessions.SetAuth(&e.Tuple, e.Worker, e.Index, e.Gen, e.Auth)
	}
}

// held reports whether the data plane holds the connection of an entry back.
func (s *Server) held(e *sessiontable.Entry) bool {
	if int(e.Worker) >= len(s.lanes) {
		return false
	}
	flows := s.lanes[e.Worker].flows()
	if flows == nil {
		return false
	}
	r := flows.Get(e.Index, e.Gen)
	return r != nil && r.Flags&flowtable.FlagHeld != 0
}

// judge does what follows from what peers have told, and reports whether there was anything. What the data plane has no room to hear
// of waits for the next round.
func (s *Server) judge() bool {
	node := s.peering.Load()
	if node == nil {
		return false
	}
	s.verdicts = append(s.verdicts, node.Verdicts()...)
	for i := range s.verdicts {
		if !s.sentence(&s.verdicts[i]) {
			s.verdicts = s.verdicts[:copy(s.verdicts, s.verdicts[i:])]
			return false
		}
	}
	n := len(s.verdicts)
	s.verdicts = s.verdicts[:0]
	return n > 0
}

// sentence does what follows from a verdict. False: it must come again.
func (s *Server) sentence(v *book.Verdict) bool {
	t := &v.Session
	auth, kind, why := sessiontable.Authenticated, shm.Confirm, shm.ReasonNone
	if t.State == book.Mismatch {
		auth, kind, why = sessiontable.AuthMismatch, shm.Kill, shm.ReasonMismatch
	}
	reset := t.State == book.Mismatch && s.resets(t.Rule)
	e := sessiontable.Entry{Tuple: t.Tuple, Worker: t.Ref.Worker, Index: t.Ref.Index, Gen: t.Ref.Gen}
	if (t.Held || reset) && !s.order(&e, kind, why) {
		return false
	}
	if s.sessions != nil {
		s.sessions.SetAuth(&t.Tuple, t.Ref.Worker, t.Ref.Index, t.Ref.Gen, auth)
	}
	if t.State == book.Mismatch {
		s.alarm(v, t.Held || reset)
	}
	return true
}

// order sends an order about a connection. False: there is no room for it now.
func (s *Server) order(e *sessiontable.Entry, kind shm.OrderKind, why shm.Reason) bool {
	return s.orders.put(OrderAbout(e, kind, why), len(s.lanes)) == nil || int(e.Worker) >= len(s.lanes)
}

// alarmsEvery is how many ns lie between two alarms in the log at least; the counter has all.
const alarmsEvery = 100_000_000

// alarm says that somebody is in the middle of a connection.
func (s *Server) alarm(v *book.Verdict, reset bool) {
	s.unsaid++
	if now := monotonic(); now >= s.nextAlarm {
		s.nextAlarm = now + alarmsEvery
		theirs := "none"
		if v.Other != ([33]byte{}) {
			theirs = tcpcrypt.SessionID(v.Other).String()
		}
		k := &v.Session.Tuple
		s.log.Warn("a peer has another session ID than this gateway: somebody is in the middle of the connection",
			"peer", s.peering.Load().Name(v.Peer), "host", netip.AddrPortFrom(netip.AddrFrom16(k.Inside).Unmap(), k.InsidePort),
			"far_end", netip.AddrPortFrom(netip.AddrFrom16(k.Outside).Unmap(), k.OutsidePort),
			"session_id", tcpcrypt.SessionID(v.Session.ID).String(), "peers_session_id", theirs, "reset", reset, "alarms", s.unsaid)
		s.unsaid = 0
	}
}

// peeringEvents names what peering counts; all is zero while there is none.
func (s *Server) peeringEvents() []metrics.Event {
	count := func(f func(*peering.Stats) uint64) func() uint64 {
		return func() uint64 {
			st := s.PeeringStats()
			return f(&st)
		}
	}
	return []metrics.Event{
		{Name: "peers_missing", Help: "connections refused because policy wants their far end authenticated and no peer has it behind it", Value: s.events.noPeer.Load},
		{Name: "peers_connected", Help: "peers with which there is a connection", Value: count(func(s *peering.Stats) uint64 { return uint64(s.Connected) }), Gauge: true},
		{Name: "peer_connections", Help: "connections with peers that were used", Value: count(func(s *peering.Stats) uint64 { return s.Connections })},
		{Name: "peer_refusals", Help: "connections with the address for peers that showed no peer's key, or came too often", Value: count(func(s *peering.Stats) uint64 { return s.Refused })},
		{Name: "peer_messages_sent", Help: "messages about sessions to peers", Value: count(func(s *peering.Stats) uint64 { return s.Told })},
		{Name: "peer_messages_received", Help: "messages about sessions from peers", Value: count(func(s *peering.Stats) uint64 { return s.Heard })},
		{Name: "peer_messages_paced", Help: "messages that came faster than a peer may speak, and had to wait", Value: count(func(s *peering.Stats) uint64 { return s.Paced })},
		{Name: "peer_messages_foreign", Help: "messages about sessions whose far end is not behind the peer that sent them", Value: count(func(s *peering.Stats) uint64 { return s.Foreign })},
		{Name: "peer_messages_reflected", Help: "messages that claim this gateway's own role in a session", Value: count(func(s *peering.Stats) uint64 { return s.Reflected })},
		{Name: "peer_sessions_dropped", Help: "sessions that peers told and that had to be forgotten before this end had them, for want of room", Value: count(func(s *peering.Stats) uint64 { return s.PendingDropped })},
		{Name: "peer_replies_dropped", Help: "answers to peers that found no room", Value: count(func(s *peering.Stats) uint64 { return s.RepliesDropped })},
		{Name: "sessions_authenticated", Help: "sessions of which the peer has told the same session ID", Value: count(func(s *peering.Stats) uint64 { return s.Authenticated })},
		{Name: "session_mismatches", Help: "sessions of which the peer has told another session ID, or none: somebody is in the middle", Value: count(func(s *peering.Stats) uint64 { return s.Mismatches })},
		{Name: "sessions_unconfirmed", Help: "sessions with hosts behind peers that are open and not authenticated", Value: count(func(s *peering.Stats) uint64 { return uint64(s.Waiting) }), Gauge: true},
	}
}

// PeeringStats returns what peering counts, zero without peers.
func (s *Server) PeeringStats() peering.Stats {
	if n := s.peering.Load(); n != nil {
		return n.Stats()
	}
	return peering.Stats{}
}
