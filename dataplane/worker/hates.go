package worker

import (
	"linecrypt/ctrlplane/shm"
	"linecrypt/flowtable"
)

// hates remembers far ends whose paths drop or reset segments with ENO, so that only the first connection pays. It goes by the
// address, and for IPv6 by the /64, which one site has: a host must not decide over its neighbours. It is bounded, and an entry ends:
// after a while one connection tries ENO again, and the others wait for how that goes.
type hates struct {
	key   flowtable.FoldKey
	sets  [hateSets][hateWays]hate
	count uint64
}

type hate struct {
	key   uint64
	until int64 // ns of the monotonic clock; 0: not in use
}

const (
	hateSets = 256
	hateWays = 4

	hateTime  = int64(600e9) // an entry's life
	hateProbe = int64(30e9)  // how long others wait for the one that tries again
)

// hatesENO remembers the far end of a connection as one whose path hates ENO. Silence proves nothing while there are encrypted
// connections between the same two hosts: their segments were lost, as a flood would have it, and not refused.
func (w *Worker) hatesENO(r *flowtable.Record, why shm.Counter, now int64) {
	silence := why == shm.PlainSynUnanswered || why == shm.AbortAckUnanswered
	if silence && w.pairs.encrypted(&r.Key) {
		w.n[shm.HatesDoubted]++
		return
	}
	w.hates.remember(&r.Key.Outside, now, w.n)
}

// hateKey is the address, never 0.
func hateKey(a *[16]byte) uint64 {
	if !flowtable.IsIPv4(a) {
		return uint64(flowtable.PeerOf(a)) | 1<<63
	}
	return uint64(a[12])<<24 | uint64(a[13])<<16 | uint64(a[14])<<8 | uint64(a[15]) | 1<<32
}

func (h *hates) set(key uint64) *[hateWays]hate {
	return &h.sets[h.key.Fold(key, 0)>>40%hateSets]
}

// hates reports whether a SYN to the address is to go without ENO. An entry whose time is over lets one go with it.
func (h *hates) hates(a *[16]byte, now int64) bool {
	if h.count == 0 {
		return false
	}
	key := hateKey(a)
	set := h.set(key)
	for i := range set {
		if e := &set[i]; e.until != 0 && e.key == key {
			if now < e.until {
				return true
			}
			e.until = now + hateProbe
			return false
		}
	}
	return false
}

// remember enters an address, at the cost of the entry that ends first where its set is full.
func (h *hates) remember(a *[16]byte, now int64, n *shm.Block) {
	key := hateKey(a)
	set := h.set(key)
	victim := &set[0]
	for i := range set {
		e := &set[i]
		if e.until != 0 && e.key == key {
			e.until = now + hateTime
			return
		}
		if e.until < victim.until {
			victim = e
		}
	}
	n[shm.HatesRemembered]++
	if victim.until != 0 {
		n[shm.HatesEvicted]++
	} else {
		h.count++
	}
	*victim = hate{key: key, until: now + hateTime}
	n[shm.HatesNow] = h.count
}

// accepts forgets an address whose path takes ENO.
func (h *hates) accepts(a *[16]byte, n *shm.Block) {
	if h.count == 0 {
		return
	}
	key := hateKey(a)
	set := h.set(key)
	for i := range set {
		if e := &set[i]; e.until != 0 && e.key == key {
			*e = hate{}
			h.count--
			n[shm.HatesForgotten]++
			n[shm.HatesNow] = h.count
		}
	}
}
