package stream

import (
	"linecrypt/ctrlplane/shm"
	"linecrypt/flowtable"
)

// What connections can make the gateway keep while they reassemble has three bounds: of each connection, of each peer (the /24 or
// /64 of the far end) once three quarters are in use, and of all together. Where all is in use, somebody gives something up: of
// some that have made no progress for a while, who belongs to the peer that holds most.

// peer names a /24 or /64 outside, folded to peerBits: those that fall together share.
type peer uint16

const peerBits = 12

// peerOf returns the flow's peer.
func (c *Core) peerOf(r *flowtable.Record) peer {
	return peer(c.peerKey.Fold(uint64(r.Key.Peer()), 0) >> (64 - peerBits))
}

// share counts what of a stock its peers hold.
type share struct {
	total, used int
	held        [1 << peerBits]uint32
}

// may reports whether the peer may have one more.
func (s *share) may(p peer) bool { return !s.scarce() || int(s.held[p]) <= s.least() }

// scarce reports whether three quarters are in use, and least is what a peer may have then.
func (s *share) scarce() bool { return s.used >= s.total-s.total/4 }
func (s *share) least() int   { return s.total / 16 }

func (s *share) add(p peer) { s.used++; s.held[p]++ }
func (s *share) sub(p peer) { s.used--; s.held[p]-- }

// stock is a number of reassembly objects.
type stock struct {
	free  uint32
	share share
}

// stockOf returns the stock that an object belongs to.
func (c *Core) stockOf(i uint32) *stock {
	if int(i) <= c.cfg.Reassemblies {
		return &c.keyed
	}
	return &c.setup
}

// resource is what reclaim looks for.
type resource uint8

const (
	objects      resource = iota // of connections with keys
	setupObjects                 // of connections without
	largeBuffer                  // for frames in progress
	queuePlaces                  // of out-of-order segments, and the packet buffers they hold
	numResources
)

// reclaimScan is among how many holders the one is chosen that gives something up. reclaimGrace is how long, in ns, one must have been
// without progress.
const (
	reclaimScan  = 64
	reclaimGrace = 1e9
)

// reclaim makes a flow give up what another needs, and reports whether it did.
func (f *flow) reclaim(what resource) bool {
	c := f.c
	victim := uint32(0)
	for range reclaimScan {
		i := c.candidate(what)
		if i == 0 || i == f.r.Local.Reassembly {
			continue
		}
		ra := &c.reassemblies[i]
		if f.now-ra.touched < reclaimGrace || !c.holds(ra, what) {
			continue
		}
		if victim == 0 || c.greedier(ra, &c.reassemblies[victim], what) {
			victim = i
		}
	}
	return victim != 0 && f.giveUp(&c.reassemblies[victim], what)
}

// candidate returns the holder at the place of the resource's array that is next in turn, 0 for none.
func (c *Core) candidate(what resource) uint32 {
	n := 0
	switch what {
	case objects, setupObjects:
		n = len(c.reassemblies)
	case largeBuffer:
		n = len(c.large.owner)
	case queuePlaces:
		n = len(c.outOfOrder)
	}
	c.turn[what] = (c.turn[what] + 1) % n
	i := c.turn[what]
	switch what {
	case objects, setupObjects:
		if c.reassemblies[i].r == nil || (c.stockOf(uint32(i)) == &c.setup) != (what == setupObjects) {
			return 0
		}
		return uint32(i)
	case largeBuffer:
		return c.large.owner[i]
	}
	return c.outOfOrder[i].owner
}

// holds reports whether a flow has what reclaim looks for and can be made to give it up. What it has acknowledged and delivers, it
// cannot.
func (c *Core) holds(ra *reassembly, what resource) bool {
	switch {
	case ra.r == nil || ra.r.Egress.Flags&flowtable.EgressDead != 0:
		return false
	case what == largeBuffer:
		return ra.frame.large != 0 || ra.again.large != 0
	case what == queuePlaces:
		return ra.r.Local.OutOfOrder != 0
	}
	return ra.first == 0 && !ra.init.active
}

// greedier reports whether a is to pay before b.
func (c *Core) greedier(a, b *reassembly, what resource) bool {
	s := c.shareOf(what)
	if x, y := s.held[a.peer], s.held[b.peer]; x != y {
		return x > y
	}
	return a.touched < b.touched
}

func (c *Core) shareOf(what resource) *share {
	switch what {
	case setupObjects:
		return &c.setup.share
	case largeBuffer:
		return &c.large.share
	case queuePlaces:
		return &c.queued
	}
	return &c.keyed.share
}

// giveUp takes the resource from a flow. What is not acknowledged can come again; a flow that has acknowledged a part of what it
// loses is at its end.
func (f *flow) giveUp(ra *reassembly, what resource) bool {
	v := flow{c: f.c, idx: ra.idx, r: ra.r, now: f.now, out: f.out}
	if what == queuePlaces {
		f.count(shm.ReassemblyReclaimed)
		v.dropOutOfOrder()
		v.idleReassembly()
		return true
	}
	in := &v.r.Ingress
	acked := ra.frame.active && in.WAcked > uint64(ra.frame.start) || ra.again.active && in.WAcked > uint64(ra.again.start)
	if acked && !f.emitRoom(2+segmentEmits) {
		return false
	}
	f.count(shm.ReassemblyReclaimed)
	if acked {
		f.c.Abort(v.idx, v.r, shm.AbortReassembly, f.now, f.out)
	}
	v.abandon(ra)
	return true
}

// largeBuffer returns a buffer for a frame in progress that has outgrown a packet buffer, 0 for none. Where they are scarce, a
// connection has one.
func (f *flow) largeBuffer() uint32 {
	l := &f.c.large
	ra := f.reassembly()
	scarce := l.share.used >= l.share.total-l.share.total/4
	if scarce && f.hasLarge(ra) || !l.share.may(ra.peer) || len(l.free) == 0 && !f.reclaim(largeBuffer) {
		f.count(shm.LargeBuffersRefused)
		return 0
	}
	return l.alloc(f.r.Local.Reassembly, ra.peer)
}

// hasLarge reports whether the flow has a large buffer already.
func (f *flow) hasLarge(ra *reassembly) bool {
	if ra.frame.large != 0 || ra.again.large != 0 || ra.init.large != 0 {
		return true
	}
	for i := ra.first; i != 0; i = f.c.deliveries[i].next {
		if f.c.deliveries[i].large != 0 {
			return true
		}
	}
	return false
}
