package stream

import (
	"math"

	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/flowtable"
)

// A generation of what is sealed has two limits. The soft one is what the gateway, or the rule of the connection, is configured to: it
// begins another one there as soon as RFC 8548 section 3.8 allows, and seals on meanwhile. The hard one is what the AEAD allows. Where a
// connection comes to it and cannot begin another generation, because no key slot is free, or the current key is needed for frames in
// flight and cannot be kept, it is reset: nothing is sealed beyond.

// softLimits returns the soft limits of the connection. They are far enough from the hard ones to begin another generation in time.
func (f *flow) softLimits() tcpcrypt.Limits {
	cfg, own, hard := &f.c.cfg, &f.r.Rare.Rekey, f.hardLimits()
	return tcpcrypt.Limits{
		Frames: min(unlessZero(flowtable.Limit(own.Frames, cfg.RekeyFrames)), hard.Frames/2),
		Bytes:  min(unlessZero(flowtable.Limit(own.Bytes, cfg.RekeyBytes)), hard.Bytes/2),
	}
}

// hardLimits returns what a key of the connection may seal.
func (f *flow) hardLimits() tcpcrypt.Limits {
	cfg, l := &f.c.cfg, tcpcrypt.AEAD(f.r.AEAD).Limits()
	return tcpcrypt.Limits{Frames: min(l.Frames, unlessZero(cfg.KeyFrames)), Bytes: min(l.Bytes, unlessZero(cfg.KeyBytes))}
}

// unlessZero returns a limit, of which 0 is none.
func unlessZero(limit uint64) uint64 {
	if limit == 0 {
		return math.MaxUint64
	}
	return limit
}

// genBytes is what the current generation has sealed, in bytes of the wire.
func (f *flow) genBytes() uint64 { return f.r.Egress.WNext - f.r.Rare.WSeal }

// usedUp reports whether the current generation has sealed once or twice what is configured for one.
func (f *flow) usedUp(times uint64) bool {
	l := f.softLimits()
	return uint64(f.r.Egress.GenFrames)/times >= l.Frames || f.genBytes()/times >= l.Bytes
}

// spent reports whether the current key must not seal a frame of n bytes more.
func (f *flow) spent(n int) bool {
	l := f.hardLimits()
	return uint64(f.r.Egress.GenFrames) >= l.Frames || f.genBytes()+uint64(n) > l.Bytes
}

// glance is how many bytes of the wire are sealed at most before limits are looked at again: positions of 32 bits tell them apart.
const glance = 1 << 30

// watchKey notes how far the fast path seals without a look at the limits: as far as the soft ones allow.
func (f *flow) watchKey() {
	e, l := &f.r.Egress, f.softLimits()
	left := uint64(0)
	if used := f.genBytes(); used < l.Bytes {
		left = min(l.Bytes-used, glance)
	}
	e.GenStop = uint32(min(l.Frames, math.MaxUint32))
	e.GenEdge = uint32(e.WNext + left)
}

// beginGeneration notes that another generation begins with the next frame that is sealed.
func (f *flow) beginGeneration() {
	e, rare := &f.r.Egress, &f.r.Rare
	e.GenFrames = 0
	e.Flags &^= flowtable.EgressAged
	f.watchKey()
	rare.RekeyAt = 0
	if d := f.rekeyTime(); d > 0 {
		rare.RekeyAt = f.r.Moment(f.now + d)
	}
}

// rekeyTime is for how long, in ns, a generation is used, 0 for ever.
func (f *flow) rekeyTime() int64 {
	d := flowtable.Limit(f.r.Rare.Rekey.Time, uint64(f.c.cfg.RekeyTime))
	if d > math.MaxInt64 {
		return 0
	}
	return int64(d)
}

// rekeyRetry is the time, in ns, after which rekeying is tried again that was due and not allowed.
const rekeyRetry = 5e9

// generationTimeout begins another generation where the current one, whose time is over at a time, was used: something was sent or
// received since it began. A connection that is idle rekeys once, and then keeps still.
func (f *flow) generationTimeout(at int64) {
	e, rare := &f.r.Egress, &f.r.Rare
	if e.Flags&(flowtable.EgressFIN|flowtable.EgressKeys) != flowtable.EgressKeys || f.r.Ingress.Flags&flowtable.IngressClosed != 0 {
		rare.RekeyAt = 0
		return
	}
	if e.Flags&flowtable.EgressAged == 0 {
		if f.r.LastSeen < at-f.rekeyTime() {
			rare.RekeyAt = f.r.Moment(f.now + f.rekeyTime())
			return
		}
		f.count(shm.RekeysTimed)
		e.Flags |= flowtable.EgressAged
	}
	if f.mayRekey() && f.advanceEgress() {
		f.rekeyFrame()
		return
	}
	rare.RekeyAt = f.r.Moment(f.now + rekeyRetry)
}
