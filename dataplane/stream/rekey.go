package stream

import (
	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/flowtable"
)

// Rekey initiates rekeying (RFC 8548 section 3.8) with an empty frame and reports whether it did: not while the last
// rekeying is unanswered or after the FIN.
func (c *Core) Rekey(idx flowtable.Index, r *flowtable.Record, now int64, out *Output) bool {
	f := flow{c: c, idx: idx, r: r, now: now, out: out}
	if !f.mayRekey() || !f.advanceEgress() {
		return false
	}
	f.rekeyFrame()
	c.judge(r)
	return true
}

// mayRekey reports whether rekeying may be initiated: never more than one generation beyond what the far end has shown.
func (f *flow) mayRekey() bool {
	e, in := &f.r.Egress, &f.r.Ingress
	return e.Flags&(flowtable.EgressKeys|flowtable.EgressFIN|flowtable.EgressDead|flowtable.EgressRekey) == flowtable.EgressKeys &&
		in.Flags&(flowtable.IngressFINp|flowtable.IngressKeys) == flowtable.IngressKeys && f.r.Rare.SealGen <= f.r.Rare.OpenGen
}

// rekeyDue reports whether rekeyIfDue has something to do.
func (f *flow) rekeyDue() bool {
	e := &f.r.Egress
	return f.r.Rare.OpenGen > f.r.Rare.SealGen || e.GenFrames >= e.GenStop || int32(e.GenEdge-uint32(e.WNext)) <= 0 || e.Flags&flowtable.EgressAged != 0
}

// rekeyIfDue begins a new generation, from the frame of n bytes about to be made on, where the current one has sealed enough, its time
// is over, or the far end is ahead. Where it has sealed twice that, the far end is not waited for any more: with data to send, a host may
// be several generations ahead. It is false where the frame must not be sealed: the key has sealed all that it may, and no other can take
// its place.
func (f *flow) rekeyIfDue(n int) bool {
	e := &f.r.Egress
	if e.Flags&flowtable.EgressRekey != 0 {
		return true
	}
	due := f.lags() || e.Flags&flowtable.EgressAged != 0 || f.usedUp(1)
	switch {
	case f.spent(n):
		return f.advanceEgress()
	case due && (f.lags() || f.mayRekey() || f.finished()) || f.usedUp(2):
		f.advanceEgress()
	}
	f.watchKey()
	return true
}

// lags reports whether the far end is a generation ahead (RFC 8548 section 3.8). While the next frame is to begin one, which the window
// may not allow yet, there is no other: the far end follows from one to the next by the frames that begin them.
func (f *flow) lags() bool {
	return f.r.Rare.OpenGen > f.r.Rare.SealGen && f.r.Egress.Flags&(flowtable.EgressRekey|flowtable.EgressFIN) == 0
}

// finished reports whether the far end has sent its last frame: it can follow to no other generation, and need not.
func (f *flow) finished() bool { return f.r.Ingress.Flags&flowtable.IngressFINp != 0 }

// advanceEgress begins the next generation of what is sealed: the next frame carries the rekey bit. False where no key slot
// is free, or the current key is needed for frames in flight and cannot be kept.
func (f *flow) advanceEgress() bool {
	e := &f.r.Egress
	d := tcpcrypt.AB
	if e.Flags&flowtable.EgressBA != 0 {
		d = tcpcrypt.BA
	}
	if !f.mayAge() {
		return false
	}
	mk, nr := tcpcrypt.MasterKey(f.r.Rare.Seal.Master), e.NR
	defer mk.Wipe()
	key, err := f.c.keys.install(&f.r.Rare.Seal, &e.NR, tcpcrypt.AEAD(f.r.AEAD), mk.Next(), d)
	if err != nil {
		return false
	}
	f.age(nr)
	f.r.Local.SealKey = key
	f.r.Rare.SealGen++
	f.beginGeneration()
	e.Flags |= flowtable.EgressRekey
	f.count(shm.Rekeys)
	f.event(EventRekeyed, shm.CounterNone, nil)
	return true
}

// rekeyFrame makes the empty frame of a new generation, and of those that the far end is ahead; if that is not possible now, the timer
// tries again, or the host's next frame begins the generation.
func (f *flow) rekeyFrame() {
	e := &f.r.Egress
	for {
		if f.lags() && f.mayAnswer() {
			f.advanceEgress()
		}
		if e.Flags&(flowtable.EgressRekey|flowtable.EgressFIN) != flowtable.EgressRekey || !f.ownFrame() {
			break
		}
	}
	if f.unshown() {
		f.armOwn()
	}
}

// mayAnswer reports whether the far end may be followed to another generation by an empty frame, which is kept until it is acknowledged and
// is in no share: not while as many generations as are kept wait for that. One that changes its keys over and over and acknowledges nothing
// would make the gateway keep a buffer and a place in the ledger each time.
func (f *flow) mayAnswer() bool { return f.r.Egress.WUna == f.r.Egress.WNext || f.oldRoom() }

// unshown reports whether a generation has begun, or is to begin, that no frame has shown to the far end.
func (f *flow) unshown() bool {
	return f.r.Egress.Flags&(flowtable.EgressRekey|flowtable.EgressFIN) == flowtable.EgressRekey || f.lags()
}

// prepareNext derives the generation that a frame with the rekey bit begins, before it is known to be authentic. False where
// the last rekeying is unfinished, or key slots for it and for the answer are not free.
func (f *flow) prepareNext() bool {
	if f.r.Local.NextKey != 0 || f.r.Local.PrevKey != 0 || len(f.c.keys.free) < 2 {
		return false
	}
	mk := tcpcrypt.MasterKey(f.r.Rare.Open.Master)
	next := mk.Next()
	t := &f.c.keys.traffic
	*t = next.Traffic(tcpcrypt.AEAD(f.r.AEAD), f.ingressDirection())
	key, err := f.c.keys.expand(t)
	if err == nil {
		f.r.Local.NextKey, f.r.Local.NextNR = key, t.NR
	}
	mk.Wipe()
	next.Wipe()
	t.Wipe()
	return err == nil
}

// awaitGeneration has a frame that cannot begin a generation wait for another one to end: for the tag of the frame that ends it, or for the host
// to acknowledge what was sealed under it, which brings the frame up again by itself. Far ends that have much in flight begin one after the other.
// It is false where neither is to come.
func (f *flow) awaitGeneration() bool {
	if f.r.Local.NextKey != 0 {
		f.r.Ingress.Flags |= flowtable.IngressStalled
		return true
	}
	return f.r.Local.PrevKey != 0
}

func (f *flow) ingressDirection() tcpcrypt.Direction {
	if f.r.Egress.Flags&flowtable.EgressBA != 0 {
		return tcpcrypt.AB
	}
	return tcpcrypt.BA
}

// dropNext gives the derived generation up: the frame that was to begin it is not authentic.
func (f *flow) dropNext() {
	f.c.keys.retire(f.r.Local.NextKey)
	f.r.Local.NextKey, f.r.Local.NextNR = 0, [12]byte{}
}

// commitNext makes the derived generation the current one: the frame at w that begins it is authentic. If the local generation
// lags behind, it advances at once and the far end is shown so (RFC 8548 section 3.8).
func (f *flow) commitNext(w WPos) {
	in := &f.r.Ingress
	f.r.Local.PrevKey, f.r.Local.PrevNR, f.r.Rare.WRekey = f.r.Local.OpenKey, in.NR, uint64(w)
	f.r.Local.OpenKey = f.r.Local.NextKey
	mk := tcpcrypt.MasterKey(f.r.Rare.Open.Master)
	next := mk.Next()
	t := next.Traffic(tcpcrypt.AEAD(f.r.AEAD), f.ingressDirection())
	f.r.Rare.Open.Master, in.NR = next, t.NR
	f.r.Rare.OpenGen++
	f.r.Local.NextKey, f.r.Local.NextNR = 0, [12]byte{}
	mk.Wipe()
	next.Wipe()
	t.Wipe()
	if in.WAckH >= f.r.Rare.WRekey {
		f.c.keys.retire(f.r.Local.PrevKey)
		f.r.Local.PrevKey, f.r.Local.PrevNR = 0, [12]byte{}
	}
	f.count(shm.Rekeys)
	f.event(EventRekeyed, shm.CounterNone, nil)
	if f.lags() {
		f.rekeyFrame()
	}
}
