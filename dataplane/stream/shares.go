package stream

import (
	"math/bits"

	"linecrypt/flowtable"
)

// What every flow may always have, however scarce memory is: packet buffers held for what is in flight, and frames in flight.
const (
	minHeld   = 16
	minFlight = 16
)

// classes is the number of powers of two by which holders are ranked: more than there can be buffers.
const classes = 24

// class ranks a number of buffers.
func class(n uint32) uint8 { return uint8(min(bits.Len32(n), classes-1)) }

// rung puts a node into one list of a ranking.
type rung struct {
	next, prev uint32
	class      uint8
}

// ranking holds nodes in a list for each class. Node 0 is none. A node moves up at once and down only when its class is looked
// at: what goes up and down often then costs nothing.
type ranking struct {
	used  uint32 // bit c: list c is not empty
	heads [classes]uint32
}

func (k *ranking) add(links []rung, i uint32, c uint8) {
	links[i] = rung{next: k.heads[c], class: c}
	if next := k.heads[c]; next != 0 {
		links[next].prev = i
	}
	k.heads[c] = i
	k.used |= 1 << c
}

func (k *ranking) remove(links []rung, i uint32) {
	l := links[i]
	if l.prev != 0 {
		links[l.prev].next = l.next
	} else if k.heads[l.class] = l.next; l.next == 0 {
		k.used &^= 1 << l.class
	}
	if l.next != 0 {
		links[l.next].prev = l.prev
	}
	links[i] = rung{}
}

func (k *ranking) move(links []rung, i uint32, c uint8) {
	k.remove(links, i)
	k.add(links, i, c)
}

// top returns a node of the highest class, 0 where there is none.
func (k *ranking) top() uint32 {
	if k.used == 0 {
		return 0
	}
	return k.heads[bits.Len32(k.used)-1]
}

// holder is a flow that holds, or has held, as much as the minimum.
type holder struct {
	r       *flowtable.Record
	peer    uint32
	counted uint32 // of what the flow holds: what its peer's sum has of it
	next    uint32 // of the free list
}

// countEvery is how far a flow may be from what its peer's sum has of it.
const countEvery = 16

// farEnds are those of one prefix, as long as one of their flows is a holder.
type farEnds struct {
	at    flowtable.Peer
	held  uint32 // buffers its holders hold
	flows uint32 // holders
	next  uint32 // in its hash bucket, or of the free list
	rank  ranking
}

// shares divides the packet buffers that may be held for what is in flight. A flow may always hold minHeld. Beyond that it may
// hold as many as are free: what is left shrinks with each flow that takes its part, so that n greedy flows have one part in
// n+1 each, one part stays free, and no flow is looked at on another's account (the dynamic thresholds of Choudhury and Hahne,
// IEEE/ACM Transactions on Networking 6(2), 1998). Once half of the buffers are held, the flows of one peer together may hold twice
// what is free. The flows above the minimum are ranked by peer, so that who holds most is found at once. Frames in flight are divided
// in the same way, because each takes a place in the ledger.
type shares struct {
	flight bool // frames in flight are divided, as Egress.Queue counts them, and not buffers, as Local.Held does
	budget int  // buffers that are to be held at most
	low    int  // while fewer are free, those who hold most make room
	held   int

	holders     []holder
	holderLinks []rung
	freeHolder  uint32
	hand        uint32 // where a place was last looked for that can be taken from its flow
	peers       []farEnds
	peerLinks   []rung
	freePeer    uint32
	rank        ranking           // of peers
	buckets     []uint32          // peers by hash of their prefix; the number is a power of two
	key         flowtable.FoldKey // of buckets
}

// maxHolders bounds the flows that are ranked. A place has 16 bits.
const maxHolders = 1 << 13

func (s *shares) init(budget int) {
	s.budget, s.low = budget, min(2*minHeld, budget/8)
	n := min(2*budget/minHeld+2, maxHolders) // twice as many as can hold the minimum, or enough to know who holds much
	s.holders, s.holderLinks = make([]holder, n+1), make([]rung, n+1)
	s.peers, s.peerLinks = make([]farEnds, n+1), make([]rung, n+1)
	for i := uint32(n); i > 0; i-- {
		s.holders[i].next, s.freeHolder = s.freeHolder, i
		s.peers[i].next, s.freePeer = s.freePeer, i
	}
	s.buckets = make([]uint32, 1<<bits.Len(uint(n)))
	s.key = flowtable.NewFoldKey()
}

// free is the number of buffers that are left, 0 where more are held than should be.
func (s *shares) free() int { return max(s.budget-s.held, 0) }

// of returns how much a flow holds.
func (s *shares) of(r *flowtable.Record) uint32 {
	if s.flight {
		return r.Egress.Queue.Count
	}
	return r.Local.Held
}

// place returns where a record has the flow's place among the holders, 0 for none.
func (s *shares) place(r *flowtable.Record) *uint16 {
	if s.flight {
		return &r.Local.Flyer
	}
	return &r.Local.Holder
}

// allows reports whether a flow may hold another buffer.
func (s *shares) allows(r *flowtable.Record) bool {
	n, free := int(s.of(r)), s.free()
	if n < minHeld {
		return free > 0
	}
	return n < free && s.peerAllows(r)
}

// peerAllows reports whether the flow's peer leaves it room.
func (s *shares) peerAllows(r *flowtable.Record) bool {
	free := s.free()
	return 2*free > s.budget || int(s.peers[s.holders[*s.place(r)].peer].held) < 2*free
}

// take counts a buffer that a flow holds from now on.
func (s *shares) take(r *flowtable.Record) {
	r.Local.Held++
	s.took(r, r.Local.Held)
}

// give counts a buffer that a flow holds no more.
func (s *shares) give(r *flowtable.Record) {
	r.Local.Held--
	s.gave(r, r.Local.Held)
}

// took is told that a flow holds one more, n.
func (s *shares) took(r *flowtable.Record, n uint32) {
	s.held++
	if n%countEvery == 0 {
		s.count(r)
	}
}

// gave is told that a flow holds one less, n.
func (s *shares) gave(r *flowtable.Record, n uint32) {
	s.held--
	if n%countEvery == 0 {
		s.count(r)
	}
}

// gaveRun is gave for more at once, fewer than countEvery: the flow holds n now.
func (s *shares) gaveRun(r *flowtable.Record, n, more uint32) {
	s.held -= int(more)
	if at := n + more - 1; at-at%countEvery >= n {
		s.countOf(r, at-at%countEvery)
	}
}

// count brings a flow's peer and the ranks up to date with what the flow holds.
func (s *shares) count(r *flowtable.Record) { s.countOf(r, s.of(r)) }

// countOf is count for a flow that holds n, or did just before.
func (s *shares) countOf(r *flowtable.Record, n uint32) {
	h := uint32(*s.place(r))
	if h == 0 {
		if n >= minHeld {
			s.enlist(r, n)
		}
		return
	}
	hold := &s.holders[h]
	p := &s.peers[hold.peer]
	p.held += n - hold.counted
	hold.counted = n
	if c := class(n); c > s.holderLinks[h].class {
		p.rank.move(s.holderLinks, h, c)
	}
	if c := class(p.held); c > s.peerLinks[hold.peer].class {
		s.rank.move(s.peerLinks, hold.peer, c)
	}
}

// enlist makes a flow that holds n a holder, if there is a place.
func (s *shares) enlist(r *flowtable.Record, n uint32) {
	if s.freeHolder == 0 && !s.reclaim() {
		return
	}
	h := s.freeHolder
	s.freeHolder = s.holders[h].next
	pi := s.peerOf(r.Key.Peer())
	s.holders[h] = holder{r: r, peer: pi, counted: n}
	*s.place(r) = uint16(h)
	p := &s.peers[pi]
	p.held += n
	p.flows++
	p.rank.add(s.holderLinks, h, class(n))
	s.rank.move(s.peerLinks, pi, max(class(p.held), s.peerLinks[pi].class))
}

// reclaimTries is how many holders are looked at for a place.
const reclaimTries = 256

// reclaim takes a place from a flow that holds less than the minimum again.
func (s *shares) reclaim() bool {
	for range reclaimTries {
		if s.hand++; s.hand >= uint32(len(s.holders)) {
			s.hand = 1
		}
		if r := s.holders[s.hand].r; s.of(r) < minHeld {
			s.delist(r)
			return true
		}
	}
	return false
}

// delist ends that a flow is a holder, if it is one.
func (s *shares) delist(r *flowtable.Record) {
	h := uint32(*s.place(r))
	if h == 0 {
		return
	}
	pi := s.holders[h].peer
	p := &s.peers[pi]
	p.rank.remove(s.holderLinks, h)
	p.held -= s.holders[h].counted
	p.flows--
	s.holders[h] = holder{next: s.freeHolder}
	s.freeHolder, *s.place(r) = h, 0
	if p.flows == 0 {
		s.dropPeer(pi)
	}
}

func (s *shares) bucket(at flowtable.Peer) *uint32 {
	return &s.buckets[s.key.Fold(uint64(at), 0)>>32&uint64(len(s.buckets)-1)]
}

// peerOf finds or makes the peer of a prefix. There are as many peers as holders.
func (s *shares) peerOf(at flowtable.Peer) uint32 {
	b := s.bucket(at)
	for i := *b; i != 0; i = s.peers[i].next {
		if s.peers[i].at == at {
			return i
		}
	}
	i := s.freePeer
	s.freePeer = s.peers[i].next
	s.peers[i] = farEnds{at: at, next: *b}
	*b = i
	s.rank.add(s.peerLinks, i, 0)
	return i
}

func (s *shares) dropPeer(i uint32) {
	b := s.bucket(s.peers[i].at)
	for *b != i {
		b = &s.peers[*b].next
	}
	*b = s.peers[i].next
	s.rank.remove(s.peerLinks, i)
	s.peers[i] = farEnds{next: s.freePeer}
	s.freePeer = i
}

// greediest returns the flow that holds most of the peer that holds most, to within a factor of two each; nil where no flow
// holds as much as the minimum.
func (s *shares) greediest() *flowtable.Record {
	for {
		pi := s.rank.top()
		if pi == 0 {
			return nil
		}
		p := &s.peers[pi]
		if c := class(p.held); c < s.peerLinks[pi].class {
			s.rank.move(s.peerLinks, pi, c)
			continue
		}
		h := p.rank.top()
		r := s.holders[h].r
		if c := class(s.of(r)); c < s.holderLinks[h].class {
			p.rank.move(s.holderLinks, h, c)
			continue
		}
		if s.of(r) < minHeld {
			s.delist(r)
			continue
		}
		return r
	}
}

// spare ranks a flow last until it takes more, and its peer where all of its flows are ranked so: nothing of what it holds can
// be dropped.
func (s *shares) spare(r *flowtable.Record) {
	h := uint32(*s.place(r))
	if h == 0 {
		return
	}
	pi := s.holders[h].peer
	p := &s.peers[pi]
	p.rank.move(s.holderLinks, h, 0)
	if p.rank.used == 1 {
		s.rank.move(s.peerLinks, pi, 0)
	}
}
