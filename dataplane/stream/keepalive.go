package stream

import (
	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/flowtable"
)

// Verified keep-alive (RFC 8548 sections 3.9 and 8.2): where nothing authentic has come from the far end for a while, and nothing of the
// host's waits for it, it is asked whether it lives by a frame that begins another generation of keys. It must answer by one of that
// generation, which nobody else can make and which nobody can have kept from before. A far end that does not, however often it is asked,
// is dead: the connection is reset on both sides.
//
// A far end that cannot answer so, because it, or the host, has sent its last frame, or one of the windows is closed, is asked as TCP asks
// (RFC 9293 section 3.8.4): its acknowledgement shows that something lives, though not what.
//
// Keep-alives and their answers are no use of the connection: they make it no younger to those who give up what is idle, and the host
// hears of neither, so that its own keep-alives tell it what they would without the gateway.

// heard notes that the far end lives, or that it is about to be seen otherwise whether it does.
func (f *flow) heard() {
	in, rare, idle := &f.r.Ingress, &f.r.Rare, f.c.cfg.KeepIdle
	was := in.Probes
	in.Probes, rare.KeepSeen, rare.KeepAt = 0, uint32(in.WOpen), 0
	if idle > 0 {
		rare.KeepAt = f.r.Moment(f.now + idle)
	}
	if was > 0 {
		f.armOwn()
	}
}

// answered is heard for an answer to a keep-alive.
func (f *flow) answered() {
	f.count(shm.KeepAlivesAnswered)
	f.heard()
}

// answerOfTCP takes an acceptable segment of the far end's while a keep-alive is not answered: it is the answer of one that cannot answer
// by a frame.
func (f *flow) answerOfTCP() {
	if !f.verifiable() {
		f.answered()
	}
}

// ofNoUse reports whether a segment of the far end's is about frames of the gateways' own alone: it makes the connection no younger.
func (f *flow) ofNoUse(seg *Segment, news *ackNews) bool {
	switch {
	case seg.Flags&FIN != 0:
		return false
	case seg.Len == 0:
		return news.own || news.answer
	case seg.Len != tcpcrypt.Overhead || news.advanced && !news.own:
		return false
	}
	h, err := tcpcrypt.ParseHeader(seg.M.Buf()[seg.Off : seg.Off+seg.Len])
	return err == nil && h.Rekey() && h.FrameLen() == seg.Len
}

// keepAlive looks whether the far end lives; it was to at a time, which has come.
func (f *flow) keepAlive(at int64) {
	in, e, cfg := &f.r.Ingress, &f.r.Egress, &f.c.cfg
	if in.Flags&flowtable.IngressClosed != 0 {
		f.r.Rare.KeepAt, in.Probes = 0, 0
		return
	}
	next := f.now + cfg.KeepInterval
	if in.Probes == 0 {
		quiet := at - cfg.KeepIdle
		if uint32(in.WOpen) != f.r.Rare.KeepSeen {
			quiet = f.r.LastSeen // the frame came then at the latest
			f.r.Rare.KeepSeen = uint32(in.WOpen)
		}
		if f.now-quiet < cfg.KeepIdle {
			f.r.Rare.KeepAt = f.r.Moment(quiet + cfg.KeepIdle + 1<<27)
			return
		}
	}
	switch {
	case e.PNext > e.PUna:
		// What the host has in flight shows whether the far end lives, by the time that GiveUp allows.
	case in.Probes >= cfg.KeepProbes:
		f.c.Abort(f.idx, f.r, shm.AbortKeepAlive, f.now, f.out)
		return
	case f.probeFarEnd():
		in.Probes++
		f.r.Rare.OwnTimer = 0
		f.count(shm.KeepAlives)
	}
	f.r.Rare.KeepAt = f.r.Moment(next)
}

// probeFarEnd asks the far end whether it lives, and reports whether it could. RFC 8548 section 3.8 allows one rekeying by an empty frame
// at a time: the second keep-alive and those behind it are the first one again.
func (f *flow) probeFarEnd() bool {
	e := &f.r.Egress
	switch {
	case !f.emitRoom(4):
		return false
	case !f.verifiable():
		f.ask(ToWire)
		return true
	case f.r.Rare.SealGen <= f.r.Rare.OpenGen && !f.advanceEgress():
		return false
	}
	if f.unshown() {
		f.rekeyFrame()
		return !f.unshown()
	}
	if en, id := f.c.chunks.Front(&e.Queue); en != nil {
		f.resendOwn(en, id)
	} else {
		f.ask(ToWire) // it has acknowledged the frame, and owes the answer
	}
	return true
}

// verifiable reports whether the far end can show by a frame that it lives: both directions are open, and so are the windows that the
// question and the answer need.
func (f *flow) verifiable() bool {
	e, in := &f.r.Egress, &f.r.Ingress
	asked := f.r.Rare.SealGen > f.r.Rare.OpenGen && !f.unshown()
	return e.Flags&flowtable.EgressFIN == 0 && in.Flags&(flowtable.IngressFINp|flowtable.IngressWireFIN) == 0 &&
		(asked || e.WNext+tcpcrypt.Overhead <= e.WEdge) && in.WOpen+tcpcrypt.Overhead <= in.WEdge
}
