package resumption

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/flowtable"
)

// Bounds of what one pair of hosts, and one peer, may have kept.
const (
	pairSecrets = 8  // of a pair of hosts: as many connections may be resumed at the same moment
	leastPeer   = 8  // of a peer, whatever others have
	shareOf     = 16 // a peer's share while slots are scarce is one in this many
	sampled     = 16 // slots among which the peer that holds most is looked for
)

// Session is what a secret to resume with comes from.
type Session struct {
	Secret *tcpcrypt.Secret // ss[Index], of the connection that is being set up; it stays the caller's
	Index  uint64
	TEP    tcpcrypt.TEP
	AEAD   tcpcrypt.AEAD
	Sends  tcpcrypt.Direction // what this end seals
	Chain  uint64             // as Taken had it, 0 for a fresh session
	Flow   Flow
	Tuple  *flowtable.Key
}

// Taken is a secret that a connection has claimed, with what its keys follow from.
type Taken struct {
	Secret tcpcrypt.Secret // ss[Index]; the caller wipes it
	Index  uint64
	TEP    tcpcrypt.TEP
	AEAD   tcpcrypt.AEAD
	Sends  tcpcrypt.Direction
	Ours   Half
	Theirs Half
	Chain  uint64
	First  bool // it has not been taken before: ss[Index+1] is to be kept
}

// Cache is the control plane's end of a table. Its methods may be called from several goroutines. A nil Cache keeps nothing.
type Cache struct {
	mu       sync.Mutex
	t        *Table
	lifetime int64
	free     []uint32
	next     []uint32 // by slot: the younger one of its peer
	prev     []uint32
	listed   []flowtable.Peer
	inList   []bool
	peers    map[flowtable.Peer]*held
	chains   map[Flow]uint64 // of connections that live
	taken    []uint32        // slots answered or spent, the oldest first, from done on
	done     int
	hand     uint32           // where Sweep goes on
	nameless map[uint32]int64 // claimed by a worker that did not come to say for which connection; since when
	stats    Stats
}

// held is what a peer has in the cache, the oldest first.
type held struct {
	n           int
	first, last uint32
}

// NewCache takes over what an earlier control plane has left in the table. Lifetime bounds how long a secret is kept. The Cache of
// no table is nil.
func NewCache(t *Table, lifetime time.Duration) *Cache {
	if t == nil {
		return nil
	}
	n := t.Capacity() + 1
	c := &Cache{
		t: t, lifetime: int64(lifetime), next: make([]uint32, n), prev: make([]uint32, n), listed: make([]flowtable.Peer, n), inList: make([]bool, n),
		peers: make(map[flowtable.Peer]*held), chains: make(map[Flow]uint64), nameless: make(map[uint32]int64), hand: 1,
	}
	c.takeOver()
	return c
}

// takeOver makes what is private anew. What the last control plane was writing is erased, and indexes are made whole.
func (c *Cache) takeOver() {
	for i := range c.t.halves {
		c.t.halves[i].clear()
		c.t.pairs[i].clear()
	}
	var used []uint32
	for n := uint32(c.t.Capacity()); n > 0; n-- {
		s := c.t.at(n)
		switch state := s.state.Load(); statusOf(state) {
		case ready, claimed, answered, erasing:
			used = append(used, n)
		default:
			s.state.Store(filling.in(state))
			s.wipe()
			s.state.Store(free.in(state))
			c.free = append(c.free, n)
		}
	}
	slices.SortFunc(used, func(a, b uint32) int {
		return cmp.Compare(c.t.at(a).expires.Load(), c.t.at(b).expires.Load())
	})
	for _, n := range used {
		c.list(n)
		s := c.t.at(n)
		c.chains[loadFlow(&s.maker)] = s.chain
		if statusOf(s.state.Load()) == answered {
			c.chains[loadFlow(&s.owner)] = s.chain
		}
		if statusOf(s.state.Load()) == ready && !c.index(n) {
			c.evict(n)
		}
	}
}

// Keep keeps the secret that follows the one of a session, for a connection later. Now is in ns of the monotonic clock. A second call
// for the same connection replaces what the first one kept.
func (c *Cache) Keep(s Session, now int64) {
	if c == nil {
		return
	}
	next := s.Secret.Next()
	defer next.Wipe()
	id := next.ResumeID()
	c.mu.Lock()
	defer c.mu.Unlock()
	p := pairOf(s.Tuple)
	if _, ok := c.t.FindHalf(theirsOf(&id, s.Sends), now); ok {
		return
	}
	c.limitPair(&p, s.Flow)
	peer := s.Tuple.Peer()
	n := c.take(peer)
	if n == 0 {
		c.stats.full.Add(1)
		return
	}
	sl := c.t.at(n)
	state := sl.state.Load() + 1<<statusBits
	state = filling.in(state)
	sl.state.Store(state)
	sl.chain, sl.index, sl.secret = s.Chain, s.Index+1, next
	if sl.chain == 0 {
		sl.chain = rand.Uint64() | 1
	}
	for i, w := range p {
		sl.pair[i].Store(w)
	}
	sl.kind.Store(packKind(s.TEP, s.AEAD, s.Sends))
	sl.expires.Store(now + c.lifetime)
	storeFlow(&sl.maker, s.Flow)
	c.name(sl, &id, s.Sends)
	c.list(n)
	c.chains[s.Flow] = sl.chain
	if !c.index(n) {
		c.unfill(n)
		c.stats.evicted.Add(1)
		return
	}
	sl.state.Store(ready.in(state))
	c.stats.kept.Add(1)
}

func theirsOf(id *[tcpcrypt.ResumeIDLen]byte, sends tcpcrypt.Direction) []byte {
	if sends == tcpcrypt.AB {
		return id[tcpcrypt.ResumeHalfLen:]
	}
	return id[:tcpcrypt.ResumeHalfLen]
}

// name writes the halves of a secret's identifier into its slot.
func (c *Cache) name(s *slot, id *[tcpcrypt.ResumeIDLen]byte, sends tcpcrypt.Direction) {
	storeHalf(&s.theirs, theirsOf(id, sends))
	storeHalf(&s.ours, theirsOf(id, sends.Reverse()))
}

// limitPair makes room for another secret of a pair of hosts, and forgets what an earlier answer to the same connection kept.
func (c *Cache) limitPair(p *pair, maker Flow) {
	b := c.t.pairBucket(p)
	n, oldest, since := 0, uint32(0), int64(0)
	for i := range b {
		s := c.t.at(b[i].Load())
		if s == nil || s.loadPair() != *p || statusOf(s.state.Load()) != ready {
			continue
		}
		if loadFlow(&s.maker) == maker {
			c.evict(b[i].Load())
			continue
		}
		n++
		if e := s.expires.Load(); oldest == 0 || e < since {
			oldest, since = b[i].Load(), e
		}
	}
	if n >= pairSecrets && c.evict(oldest) {
		c.stats.evicted.Add(1)
	}
}

// take returns a slot for another secret of a peer's, 0 where none can be had.
func (c *Cache) take(peer flowtable.Peer) uint32 {
	c.recycle()
	all := c.t.Capacity()
	h := c.peers[peer]
	if scarce := len(c.free)*4 < all; scarce && h != nil && h.n >= max(leastPeer, all/shareOf) && c.evictOldest(h) {
		c.stats.evicted.Add(1)
	}
	if len(c.free) == 0 && c.makeRoom() {
		c.stats.evicted.Add(1)
	}
	if len(c.free) == 0 {
		return 0
	}
	n := c.free[len(c.free)-1]
	c.free = c.free[:len(c.free)-1]
	return n
}

// makeRoom evicts the oldest secret of the peer that holds most, as far as a few slots show.
func (c *Cache) makeRoom() bool {
	var most *held
	for range sampled {
		n := 1 + rand.Uint32N(uint32(c.t.Capacity()))
		if h := c.peers[c.listed[n]]; c.inList[n] && h != nil && (most == nil || h.n > most.n) {
			most = h
		}
	}
	return most != nil && c.evictOldest(most)
}

// evictOldest evicts the oldest secret of a peer's that nobody has claimed.
func (c *Cache) evictOldest(h *held) bool {
	for n := h.first; n != 0; n = c.next[n] {
		if c.evict(n) {
			return true
		}
	}
	return false
}

// evict forgets a secret that is ready, and reports whether it was.
func (c *Cache) evict(n uint32) bool { return c.drop(n, ready) }

// drop forgets the secret of a slot that is in a state, and reports whether it was.
func (c *Cache) drop(n uint32, in status) bool {
	s := c.t.at(n)
	if s == nil {
		return false
	}
	state := s.state.Load()
	if statusOf(state) != in || !s.state.CompareAndSwap(state, filling.in(state)) {
		return false
	}
	c.unfill(n)
	return true
}

// unfill empties a slot that the control plane has.
func (c *Cache) unfill(n uint32) {
	s := c.t.at(n)
	c.unindex(n)
	c.unlist(n)
	s.wipe()
	s.state.Store(free.in(s.state.Load()))
	c.free = append(c.free, n)
}

// index makes a slot be found; false where others are in the way.
func (c *Cache) index(n uint32) bool {
	s := c.t.at(n)
	p := s.loadPair()
	for _, b := range []*bucket{c.t.halfBucket([2]uint64{s.theirs[0].Load(), s.theirs[1].Load()}), c.t.pairBucket(&p)} {
		if b.add(n) {
			continue
		}
		if c.clearOut(b); !b.add(n) {
			return false
		}
	}
	return true
}

// clearOut makes room in a bucket: what is not ready is found no more, and of the others the oldest goes.
func (c *Cache) clearOut(b *bucket) {
	oldest, since := uint32(0), int64(0)
	for i := range b {
		n := b[i].Load()
		s := c.t.at(n)
		switch {
		case s == nil || statusOf(s.state.Load()) != ready:
			b[i].Store(0)
			return
		case oldest == 0 || s.expires.Load() < since:
			oldest, since = n, s.expires.Load()
		}
	}
	if c.evict(oldest) {
		c.stats.evicted.Add(1)
	}
}

func (c *Cache) unindex(n uint32) {
	s := c.t.at(n)
	p := s.loadPair()
	c.t.halfBucket([2]uint64{s.theirs[0].Load(), s.theirs[1].Load()}).remove(n)
	c.t.pairBucket(&p).remove(n)
}

// list enters a slot among those of its peer, as the youngest.
func (c *Cache) list(n uint32) {
	s := c.t.at(n)
	p := s.loadPair()
	k := p.key()
	peer := k.Peer()
	h := c.peers[peer]
	if h == nil {
		h = new(held)
		c.peers[peer] = h
	}
	c.listed[n], c.inList[n], c.prev[n], c.next[n] = peer, true, h.last, 0
	if h.last != 0 {
		c.next[h.last] = n
	} else {
		h.first = n
	}
	h.last = n
	h.n++
}

func (c *Cache) unlist(n uint32) {
	h := c.peers[c.listed[n]]
	if !c.inList[n] || h == nil {
		return
	}
	if c.prev[n] != 0 {
		c.next[c.prev[n]] = c.next[n]
	} else {
		h.first = c.next[n]
	}
	if c.next[n] != 0 {
		c.prev[c.next[n]] = c.prev[n]
	} else {
		h.last = c.prev[n]
	}
	c.inList[n] = false
	if h.n--; h.n == 0 {
		delete(c.peers, c.listed[n])
	}
}
