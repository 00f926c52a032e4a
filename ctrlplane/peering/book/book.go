package book

import (
	"linecrypt/ctrlplane/peering/message"
	"linecrypt/ctrlplane/shm"
	"linecrypt/flowtable"
)

// Params are times, in ns of any clock that does not go back, and bounds.
type Params struct {
	// GraceA and GraceB are how long a session that a peer told is waited for, by the role of the peer's gateway: B's own end has the
	// session before A's, and the end with role A has it when Init2 has come, perhaps not at the first try.
	GraceA, GraceB int64
	Conflict       int64 // how long another ID for the addresses of a session is waited for to be explained
	Again          int64 // a Tell that is not answered is told again
	Remember       int64 // a session that is over is remembered for
	Pending        int   // sessions a peer told and that nobody has
	Replies        int   // replies to a peer that wait to be sent
	Recent         int   // sessions that are over, of all peers
}

// DefaultParams are those of a gateway.
func DefaultParams() Params {
	const s = int64(1e9)
	return Params{GraceA: 2 * s, GraceB: 30 * s, Conflict: s / 2, Again: 5 * s, Remember: 30 * s, Pending: 16384, Replies: 8192, Recent: 65536}
}

// State is what is known of a session.
type State uint8

// The states.
const (
	Waiting       State = iota // the peer has not said anything
	Authenticated              // both ends have told the same ID
	Mismatch                   // the peer has another ID, or none
)

// Session is one of this gateway's.
type Session struct {
	ID    message.ID
	Role  flowtable.Role // of this gateway
	Tuple flowtable.Key
	Ref   shm.FlowRef       // of the data plane's record
	Rule  flowtable.RuleRef // that the connection was decided on by
	Held  bool              // the host waits for the verdict
	State State             // when it is opened: what an earlier control plane found out
}

// Verdict says that the state of a session has changed.
type Verdict struct {
	Session Session // in its new state
	Peer    int
	Other   message.ID // Mismatch: what the peer told for the same addresses; zero where it told nothing
}

// Stats counts what happened.
type Stats struct {
	Told, Heard           uint64 // messages about sessions that went out and came in
	Authenticated         uint64 // sessions
	Mismatches            uint64
	Foreign               uint64 // messages about sessions whose far end is not behind the peer that sent them
	Reflected             uint64 // of the own role
	PendingDropped        uint64
	RepliesDropped        uint64
	Unexpected            uint64 // answers about no session
	Open, Waiting, Heldup int    // sessions that are open, of these not authenticated, and pending Tells
}

// own is a session of this gateway.
type own struct {
	Session
	peer   int
	queued bool  // in the peer's list of what is to be told
	told   int64 // when it was told on the connection there is, 0 not yet
}

// addresses are those of a session, as its own end sees them.
type addresses struct {
	inside, outside         [16]byte
	insidePort, outsidePort uint16
}

func addressesOf(k *flowtable.Key) addresses {
	return addresses{k.Inside, k.Outside, k.InsidePort, k.OutsidePort}
}

// mirrored returns the addresses of a session as the other end sees them.
func mirrored(k *flowtable.Key) addresses {
	return addresses{k.Outside, k.Inside, k.OutsidePort, k.InsidePort}
}

// Book is what one gateway knows. It is not safe for concurrent use.
type Book struct {
	params   Params
	peers    []*peer
	sessions map[message.ID]*own
	at       map[addresses]*own // of those with the same addresses, in several VLANs, the latest one
	recent   recent
	verdicts []Verdict
	stats    Stats
}

// New makes a book for a number of peers.
func New(peers int, p Params) *Book {
	b := &Book{params: p, sessions: map[message.ID]*own{}, at: map[addresses]*own{}}
	b.recent.init(p.Recent)
	for range peers {
		b.peers = append(b.peers, newPeer())
	}
	return b
}

// Open enters a session whose far end lies behind a peer, and returns its state: authenticated at once where the peer has told it.
func (b *Book) Open(s Session, peer int, now int64) State {
	if old := b.sessions[s.ID]; old != nil {
		old.Ref, old.Tuple = s.Ref, s.Tuple // the same session, entered again
		return old.State
	}
	o := &own{Session: s, peer: peer}
	if old := b.at[addressesOf(&s.Tuple)]; old != nil && old.Tuple.VLAN == s.Tuple.VLAN {
		b.close(old, now)
	}
	p := b.peers[peer]
	b.sessions[s.ID], p.sessions[s.ID], b.at[addressesOf(&s.Tuple)] = o, o, o
	b.stats.Open++
	if o.State != Authenticated {
		b.stats.Waiting++
	}
	if t := p.pending[s.ID]; t != nil {
		p.forget(s.ID)
		b.match(p, o, t.role)
	}
	if o.State != Waiting {
		return o.State
	}
	b.queue(p, o)
	if other, ok := p.at[mirrored(&s.Tuple)]; ok {
		p.conflicts.add(other, now+b.params.Conflict)
	}
	return o.State
}

// Close takes a session out that is over, and returns whose it was.
func (b *Book) Close(id message.ID, now int64) (peer int, ok bool) {
	o := b.sessions[id]
	if o == nil {
		return 0, false
	}
	b.close(o, now)
	return o.peer, true
}

func (b *Book) close(o *own, now int64) {
	b.remove(o)
	if o.State != Mismatch {
		b.recent.add(o.ID, o.peer, o.Role, now+b.params.Remember)
	}
	if p := b.peers[o.peer]; p.connected && o.told != 0 && o.State == Waiting {
		b.reply(p, message.Message{Kind: message.Gone, ID: o.ID})
	}
}

func (b *Book) remove(o *own) {
	delete(b.sessions, o.ID)
	delete(b.peers[o.peer].sessions, o.ID)
	if a := addressesOf(&o.Tuple); b.at[a] == o {
		delete(b.at, a)
	}
	b.stats.Open--
	if o.State != Authenticated {
		b.stats.Waiting--
	}
}

// AddPeer makes room for one more peer and returns its number, which no other peer ever has.
func (b *Book) AddPeer() int {
	b.peers = append(b.peers, newPeer())
	return len(b.peers) - 1
}

// Release takes the sessions of a peer out whose word does not count for them any more: all but those that stays says. It returns them
// as they were.
func (b *Book) Release(n int, stays func(*Session) bool) (out []Session) {
	p := b.peers[n]
	for _, o := range p.sessions {
		if stays(&o.Session) {
			continue
		}
		out = append(out, o.Session)
		told := p.connected && o.told != 0 && o.State == Waiting
		b.remove(o)
		if told {
			b.reply(p, message.Message{Kind: message.Gone, ID: o.ID})
		}
	}
	return out
}

// Clear takes all sessions out: there is no data plane whose they are.
func (b *Book) Clear() {
	clear(b.sessions)
	clear(b.at)
	b.stats.Open, b.stats.Waiting = 0, 0
	for _, p := range b.peers {
		clear(p.sessions)
		p.tell = nil
	}
}

// Verdicts returns what has changed since the last call, through Receive and Tick.
func (b *Book) Verdicts() []Verdict {
	v := b.verdicts
	b.verdicts = nil
	return v
}

// Stats returns the counters.
func (b *Book) Stats() Stats {
	s := b.stats
	for _, p := range b.peers {
		s.Heldup += len(p.pending)
	}
	return s
}

// Of returns how many sessions with hosts behind a peer are open. It looks at all of them.
func (b *Book) Of(peer int) (open, authenticated int) {
	for _, o := range b.peers[peer].sessions {
		if o.State == Authenticated {
			authenticated++
		}
	}
	return len(b.peers[peer].sessions), authenticated
}

// match compares a session with what its peer told of it.
func (b *Book) match(p *peer, o *own, theirs flowtable.Role) {
	if theirs != o.Role.Peer() {
		// It tells what it was told: whoever has this session in truth has the other role.
		b.stats.Reflected++
		b.reply(p, message.Message{Kind: message.Lack, ID: o.ID})
		return
	}
	b.authenticate(o)
	b.reply(p, message.Message{Kind: message.Have, ID: o.ID})
}

func (b *Book) authenticate(o *own) {
	if o.State == Authenticated {
		return
	}
	o.State = Authenticated
	b.stats.Waiting--
	b.stats.Authenticated++
	b.verdicts = append(b.verdicts, Verdict{Session: o.Session, Peer: o.peer})
}

func (b *Book) mismatch(o *own, other message.ID) {
	if o.State != Waiting {
		return
	}
	o.State = Mismatch
	b.stats.Mismatches++
	b.verdicts = append(b.verdicts, Verdict{Session: o.Session, Peer: o.peer, Other: other})
}
