package stream

import (
	"unsafe"

	"linecrypt/ctrlplane/shm"
	"linecrypt/dataplane/mbuf"
	"linecrypt/flowtable"
)

// keptKind says what is held of a frame in flight beside its ledger entry.
type keptKind uint8

const (
	keptNothing keptKind = iota
	keptWhole            // the sealed bytes, in the buffer that is sent
	keptPacked           // the sealed bytes, in a buffer with those of its neighbours
	keptPart             // plaintext of a frame to be sealed again, as far as the host has sent it again
	keptOwn              // what the gateway made and retransmits itself: it is never dropped, and is in no share
)

// kept is what is held of a frame in flight, 16 bytes. It lies outside of the Go heap, as packet buffers do.
type kept struct {
	m    *mbuf.Mbuf
	off  uint16 // of the frame in the buffer
	n    uint16 // keptPacked: bytes of the frame; keptPart: bytes of the plaintext
	kind keptKind
}

// packLimit is the largest frame in bytes that is packed where buffers are not plenty: a small one would hold a whole buffer otherwise.
const packLimit = 512

// packLines is how many lines of a buffer to pack frames in are asked for at most: a core waits for some twenty at a time.
const packLines = 16

// packs reports whether frames of up to packLimit bytes are packed, which costs a copy to memory that is not in the cache: a fifth of what a
// segment of 400 bytes takes beside its AEAD. None are while less than an eighth of the buffers is held, and none of a flow that has few in flight
// while less than half of them is.
func (c *Core) packs(inFlight uint32) bool {
	s := &c.shares
	return 8*s.held >= s.budget && (inFlight > minHeld || 2*s.held >= s.budget) || c.scarce
}

// sealed reports whether the frame's sealed bytes are held.
func (k *kept) sealed() bool { return k.m != nil && k.kind != keptPart }

// mayHold reports whether the flow may hold another buffer. Where buffers have run short, those who hold most make room first.
func (c *Core) mayHold(r *flowtable.Record) bool {
	s := &c.shares
	if s.budget-s.held < s.low || c.scarce {
		c.relieve()
		c.scarce = c.cache.Avail() < c.cfg.PoolLow
		return !c.scarce && s.allows(r)
	}
	return s.allows(r)
}

// relieve drops what the greediest flows hold, until there is room for those who hold little.
func (c *Core) relieve() {
	for range 2 {
		r := c.shares.greediest()
		if r == nil {
			return
		}
		if c.dropHeld(r, shm.KeptDropped) == 0 {
			c.shares.spare(r)
		}
		if c.shares.free() >= 2*c.shares.low && c.cache.Avail() >= c.cfg.PoolLow {
			return
		}
	}
}

// keepWhole holds a frame's bytes in the buffer that it is sent in, if the flow may.
func (f *flow) keepWhole(id flowtable.EntryID, m *mbuf.Mbuf, off int) {
	if !f.c.mayHold(f.r) {
		f.count(shm.KeptRefused)
		return
	}
	m.Retain()
	f.c.kept[id] = kept{m: m, off: uint16(off), kind: keptWhole}
	f.c.shares.take(f.r)
}

// pack copies the bytes of a small frame behind those of the frame before it, or to a buffer in which others will follow. Only frames
// of one ledger chunk and one key generation lie together: they go in the order they came, and the last one takes the buffer along.
func (c *Core) pack(r *flowtable.Record, id flowtable.EntryID, b []byte, begins bool) {
	if id.Place() > 0 && !begins {
		if k := &c.kept[id-1]; k.kind == keptPacked {
			at := int(k.off) + int(k.n)
			if at+len(b) <= int(k.m.BufLen) {
				to := unsafe.Add(k.m.BufAddr, at)
				copy(unsafe.Slice((*byte)(to), len(b)), b)
				k := &c.kept[id]
				k.m, k.off, k.n, k.kind = c.kept[id-1].m, uint16(at), uint16(len(b)), keptPacked
				return
			}
		}
	}
	var m *mbuf.Mbuf
	if c.mayHold(r) {
		m = c.cache.Alloc()
	}
	if m == nil {
		c.n[shm.KeptRefused]++
		return
	}
	mbuf.PrefetchMemory(m.BufAddr, min(flowtable.ChunkEntries*len(b)/64+1, packLines, int(m.BufLen)/64))
	copy(m.Buf(), b)
	c.kept[id] = kept{m: m, n: uint16(len(b)), kind: keptPacked}
	c.shares.take(r)
}

// unkeep gives back what is held of a frame.
func (c *Core) unkeep(r *flowtable.Record, id flowtable.EntryID) {
	k := &c.kept[id]
	switch k.kind {
	case keptNothing:
		return
	case keptPacked:
		if next := id + 1; next.Place() < flowtable.ChunkEntries && c.kept[next].m == k.m {
			*k = kept{} // the buffer is the next one's now
			return
		}
		c.shares.give(r)
	case keptWhole, keptPart:
		c.shares.give(r)
	}
	c.given.free(c, k.m)
	*k = kept{}
}

// pushFrame enters a frame into the ledger; nil where there is no room.
func (c *Core) pushFrame(r *flowtable.Record) (*flowtable.Entry, flowtable.EntryID) {
	e := &r.Egress
	en, id := c.chunks.Push(&e.Queue)
	if en == nil {
		return nil, 0
	}
	c.chunks.Mark(id, e.PNext)
	c.flight.took(r, e.Queue.Count)
	return en, id
}

// popFrame removes the oldest frame in flight.
func (c *Core) popFrame(r *flowtable.Record) { c.popRun(r, c.chunks.FrontID(&r.Egress.Queue), 1) }

// popRun removes the n oldest frames in flight, n of those that FrontRun returns, of which id is the first.
func (c *Core) popRun(r *flowtable.Record, id flowtable.EntryID, n int) {
	held := c.kept[id : id+flowtable.EntryStride-flowtable.EntryID(id.Place())] // of what is left of the chunk; nothing is held of the last one
	for i := range held[:n] {
		k := &held[i]
		if k.kind == keptPacked && held[i+1].m == k.m {
			*k = kept{} // the buffer is the next one's now
		} else if k.kind != keptNothing {
			c.unkeep(r, id+flowtable.EntryID(i))
		}
	}
	l := &r.Egress.Queue
	c.chunks.PopRun(l, n)
	c.flight.gaveRun(r, l.Count, uint32(n))
}

// dropHeld drops the bytes of a flow's frames in flight and, where that was not enough, its segments behind a gap. The ledger entries
// stay: when the host sends the plaintext again, it is sealed again. It returns how many were dropped, and counts them under why.
func (c *Core) dropHeld(r *flowtable.Record, why shm.Counter) uint64 {
	n := uint64(0)
	it := c.chunks.Iter(&r.Egress.Queue)
	if r.Egress.PartAcked > 0 {
		it.Next()
	}
	for en, id := it.Next(); en != nil && r.Local.Held > 0; en, id = it.Next() {
		if k := &c.kept[id]; k.m != nil && k.kind != keptOwn && en.Flags&flowtable.EntryPending == 0 && c.sealable(r, en) {
			c.unkeep(r, id) // in their order, all of a buffer
			n++
		}
	}
	if r.Local.Held >= minHeld || why == shm.KeptStalled {
		n += c.dropGap(r)
	}
	c.n[why] += n
	return n
}
