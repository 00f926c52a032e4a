package stream

import (
	"linecrypt/ctrlplane/shm"
	"linecrypt/flowtable"
)

// Times of a far end that acknowledges nothing, in ns: how long frames in flight are held for it, how long it has at least (R2 of
// RFC 9293 section 3.8.3), and how long it is not looked at again.
const (
	stallLimit = 60e9
	minGiveUp  = 100e9
	lookAgain  = 40e9
)

// share returns how many frames the flow may have in flight: the minimum, and as many as it leaves of the stock for all, see shares.
func (f *flow) share() uint32 {
	s, n := &f.c.flight, uint32(minFlight)
	if s.peerAllows(f.r) {
		n += uint32(s.free())
	}
	return min(n, f.c.cfg.FlowFrames)
}

// mayFly reports whether the flow may have another frame in flight, one that ends at a plaintext position: while it has less than its
// share, or if the host was told that it may send as far. What was told is taken back only once three quarters of the stock are used up.
func (f *flow) mayFly(end uint64) bool {
	e, cfg := &f.r.Egress, &f.c.cfg
	n := e.Queue.Count
	switch {
	case n >= cfg.FlowFrames:
		return false
	case n < minFlight:
		return true
	case n < f.share() && e.WNext-e.WUna < uint64(cfg.FlowBytes):
		return true
	}
	return 4*f.c.flight.free() > cfg.SharedFrames && later(e.EdgeTold, f.hostISN()+uint32(end))
}

// shareEdge returns the plaintext position up to which the flow's share lets the host send, or edge, the far end's, where that is not
// behind it. It never lies before what the host was told.
func (f *flow) shareEdge(edge uint64, frame int) uint64 {
	e := &f.r.Egress
	n, limit := uint64(e.Queue.Count), uint64(f.share())
	left := int64(f.c.cfg.FlowBytes) - int64(e.WNext-e.WUna)
	flying := e.PNext - e.PUna
	want := edge - e.PNext
	if n < limit && int64(want) <= left && (2*want*n <= (limit-n)*flying || n == 0 && 2*want <= limit*uint64(frame)) {
		return edge
	}
	room := uint64(0)
	if n < limit && left > 0 {
		each := uint64(frame)
		if flying > 0 {
			each = (flying + n - 1) / n
		}
		room = min((limit-n+1)/2*each, uint64(left)) // each frame of the flow's makes the share smaller by one
	}
	if n < minFlight {
		room = max(room, (minFlight-n)*uint64(frame), 1<<f.r.Peer.WScale) // less would be told as nothing
	}
	if told := int64(int32(e.EdgeTold - f.hostISN() - uint32(e.PNext))); told > int64(room) {
		room = uint64(told)
	}
	return min(edge, e.PNext+room)
}

// progress notes that the far end lives, or that something begins to be in flight.
func (f *flow) progress() {
	f.r.Local.Progress = f.now
}

// LooksAt returns when a far end that acknowledges nothing of what is in flight is looked at, or earlier: a flow in its common state waits
// for nothing else.
func LooksAt(r *flowtable.Record) int64 { return r.Local.Progress + stallLimit }

// stallDeadline returns when a far end that acknowledges nothing is to be looked at, 0 for never.
func (c *Core) stallDeadline(r *flowtable.Record) int64 {
	look := max(LooksAt(r), r.Rare.Look)
	switch n := r.Egress.Queue.Count; {
	case r.Local.Held > 0 || n > minFlight:
		return look
	case n > 0:
		return max(look, r.Local.Progress+c.cfg.GiveUp)
	}
	return 0
}

// stalled deals with a far end that acknowledges nothing: after a while what is held for it is dropped, later it is given up as its
// host would (R2 of RFC 9293 section 3.8.3, user timeout of RFC 5482); as early as TCP may where places in the ledger are scarce and it
// has more of them than the minimum.
func (f *flow) stalled() {
	r, c := f.r, f.c
	silent := f.now - r.Local.Progress
	scarce := 2*c.flight.free() < c.cfg.SharedFrames && r.Egress.Queue.Count > minFlight
	if r.Egress.Queue.Count > 0 && (silent >= c.cfg.GiveUp || silent >= minGiveUp && scarce) {
		c.Abort(f.idx, r, shm.AbortFarEndTimeout, f.now, f.out)
		return
	}
	c.dropHeld(r, shm.KeptStalled)
	if r.Rare.Look = f.now + lookAgain; silent < c.cfg.GiveUp {
		r.Rare.Look = min(r.Rare.Look, r.Local.Progress+c.cfg.GiveUp)
	}
}
