package stream

import "linecrypt/flowtable"

// oldKey is a generation of what a flow seals that is not the current one any more, while frames of it are in flight: without its key
// they could not be sealed again.
type oldKey struct {
	from, to uint64 // wire positions
	key      uint32 // expanded
	next     uint16 // older one of the flow, or of the free list
	nr       [12]byte
}

// Bounds of what is kept of old generations: of a flow, and key slots that stay free for rekeying.
const (
	maxOldKeys = 4
	keySpare   = 512
)

// sealedUnder returns the expanded key and the nonce randomizer of the generation that a frame at wire position w was sealed under, 0
// where the key is gone.
func (c *Core) sealedUnder(r *flowtable.Record, w uint64) (key uint32, nr *[12]byte) {
	if w >= r.Rare.WSeal {
		return r.Local.SealKey, &r.Egress.NR
	}
	for i := r.Local.OldKeys; i != 0; i = c.oldKeys[i].next {
		if o := &c.oldKeys[i]; w >= o.from && w < o.to {
			return o.key, &o.nr
		}
	}
	return 0, nil
}

// sealable reports whether the frame can be sealed again.
func (c *Core) sealable(r *flowtable.Record, en *flowtable.Entry) bool {
	key, _ := c.sealedUnder(r, en.WEnd-uint64(en.Len))
	return key != 0
}

// mayAge reports whether the current generation of what is sealed can become an old one: its key can be kept, or is not needed because
// the bytes of all its frames in flight are held.
func (f *flow) mayAge() bool {
	if f.oldRoom() {
		return true
	}
	it := f.c.chunks.Iter(&f.r.Egress.Queue)
	for en, id := it.Next(); en != nil; en, id = it.Next() {
		if en.WEnd > f.r.Rare.WSeal && !f.c.kept[id].sealed() {
			return false
		}
	}
	return true
}

// oldRoom reports whether another old key can be kept.
func (f *flow) oldRoom() bool {
	n := 0
	for i := f.r.Local.OldKeys; i != 0; i = f.c.oldKeys[i].next {
		n++
	}
	return n < maxOldKeys && f.c.freeOldKey != 0 && len(f.c.keys.free) > min(f.c.cfg.Keys/4, keySpare)
}

// age makes the current generation an old one, whose nonce randomizer was nr; the next one begins with the next frame. Where its key is
// not kept, its frames are not dropped any more.
func (f *flow) age(nr [12]byte) {
	l, e := &f.r.Local, &f.r.Egress
	if i := f.c.freeOldKey; e.WUna < e.WNext && f.oldRoom() {
		f.c.freeOldKey = f.c.oldKeys[i].next
		f.c.oldKeys[i] = oldKey{from: f.r.Rare.WSeal, to: e.WNext, key: l.SealKey, nr: nr, next: l.OldKeys}
		l.OldKeys = i
	} else {
		f.c.keys.retire(l.SealKey)
	}
	f.r.Rare.WSeal = e.WNext
}

// dropOldKeys gives up the old generations that end at the wire position w or before.
func (c *Core) dropOldKeys(r *flowtable.Record, w uint64) {
	for at := &r.Local.OldKeys; *at != 0; {
		i := *at
		o := &c.oldKeys[i]
		if o.to > w {
			at = &o.next
			continue
		}
		*at = o.next
		c.keys.retire(o.key)
		*o = oldKey{next: c.freeOldKey}
		c.freeOldKey = i
	}
}
