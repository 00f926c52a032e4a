package stream

import (
	"linecrypt/ctrlplane/shm"
	"linecrypt/flowtable"
)

// stallLimit is how long frames in flight are held for a far end that acknowledges nothing, in ns.
const stallLimit = 60e9

// share returns how many frames the flow may have in flight. What all flows have beyond their minimum comes from one stock, of which
// each may have as much as it leaves: see shares.
func (f *flow) share() uint32 {
	free := max(f.c.cfg.SharedFrames-f.c.excess, 0)
	return min(minFlight+uint32(free), f.c.cfg.FlowFrames)
}

// mayFly reports whether the flow may have another frame in flight, one that ends at a plaintext position: while it has less than its
// share, or if the host was told that it may send as far. What was told is taken back only where no frame is left to be shared.
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
	return f.c.excess < cfg.SharedFrames && later(e.EdgeTold, f.hostISN()+uint32(end))
}

// shareEdge returns the plaintext position up to which the flow's share lets the host send, or edge, the far end's, where that is not
// behind it. It never lies before what the host was told.
func (f *flow) shareEdge(edge uint64, frame int) uint64 {
	e := &f.r.Egress
	n, limit := uint64(e.Queue.Count), uint64(f.share())
	left := int64(f.c.cfg.FlowBytes) - int64(e.WNext-e.WUna)
	flying := e.PNext - e.PUna
	want := edge - e.PNext
	if n < limit && int64(want) <= left && (want*n <= (limit-n)*flying || n == 0 && want <= limit*uint64(frame)) {
		return edge
	}
	room := uint64(0)
	if n < limit && left > 0 {
		each := uint64(frame)
		if flying > 0 {
			each = (flying + n - 1) / n
		}
		room = min((limit-n)*each, uint64(left))
	}
	if n < minFlight {
		room = max(room, (minFlight-n)*uint64(frame))
	}
	if told := int64(int32(e.EdgeTold - f.hostISN() - uint32(e.PNext))); told > int64(room) {
		room = uint64(told)
	}
	return min(edge, e.PNext+room)
}

// stallDeadline returns when a far end that acknowledges nothing is dealt with, 0 for never.
func (c *Core) stallDeadline(r *flowtable.Record) int64 {
	switch {
	case r.Local.Held > 0 && r.Rare.Stalled != r.Rare.Progress:
		return r.Rare.Progress + stallLimit
	case r.Egress.Queue.Count > 0:
		return r.Rare.Progress + c.cfg.GiveUp
	}
	return 0
}

// stalled deals with a far end that acknowledges nothing: after a while what is held for it is dropped, later it is given up as its
// host would (R2 of RFC 9293 section 3.8.3, user timeout of RFC 5482).
func (f *flow) stalled() {
	if r := f.r; r.Local.Held > 0 && r.Rare.Stalled != r.Rare.Progress {
		f.c.dropHeld(r, shm.KeptStalled)
		r.Rare.Stalled = r.Rare.Progress
		return
	}
	f.c.Abort(f.idx, f.r, shm.AbortFarEndTimeout, f.now, f.out)
}
