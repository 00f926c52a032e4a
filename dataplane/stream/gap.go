package stream

import (
	"math"

	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/flowtable"
)

// gap is a flow's queue of host segments behind plaintext that was lost inside, in the order of their positions. They are
// framed when the gap is filled.
type gap struct {
	first uint32 // segment
	count uint32
	stamp uint32 // of the segment queued last
	told  uint32 // stamp up to which the host knows of them by duplicate acknowledgements
	next  uint16
}

// maxGaps is how many flows can have a gap at a time: the record has 16 bits for it.
const maxGaps = math.MaxUint16

// toldAtOnce is how many duplicate acknowledgements tell the host of what was queued before it could be told: three are what
// a host without SACK retransmits on.
const toldAtOnce = 3

// gapOf returns the flow's gap, made if need be; nil when there is none to be had.
func (f *flow) gapOf() *gap {
	if f.r.Local.Gap == 0 {
		i := f.c.freeGap
		if i == 0 {
			return nil
		}
		f.c.freeGap = f.c.gaps[i].next
		f.c.gaps[i] = gap{}
		f.r.Local.Gap = i
	}
	return &f.c.gaps[f.r.Local.Gap]
}

// idleGap gives the gap back when nothing is in it.
func (c *Core) idleGap(r *flowtable.Record) {
	if r.Local.Gap != 0 && c.gaps[r.Local.Gap].first == 0 {
		c.gaps[r.Local.Gap] = gap{next: c.freeGap}
		c.freeGap, r.Local.Gap = r.Local.Gap, 0
	}
}

// unlink takes the first segment out of a gap; the buffer is the caller's.
func (c *Core) unlink(r *flowtable.Record, g *gap) {
	c.shares.give(r)
	i := g.first
	g.first = c.outOfOrder[i].next
	g.count--
	c.freeOutOfOrderNode(i)
}

// dropGap frees what is behind a gap and returns the number of segments.
func (c *Core) dropGap(r *flowtable.Record) uint64 {
	if r.Local.Gap == 0 {
		return 0
	}
	g := &c.gaps[r.Local.Gap]
	n := uint64(g.count)
	for g.first != 0 {
		c.cache.Free(c.outOfOrder[g.first].m)
		c.unlink(r, g)
	}
	c.idleGap(r)
	return n
}

// behindGap takes a segment [p, end) of the host's in front of which something is missing.
func (f *flow) behindGap(seg *Segment, p, end uint64) {
	var g *gap
	if f.c.mayHold(f.r) {
		g = f.gapOf()
	}
	if g == nil || !f.mayQueue(seg, g, end) {
		f.c.idleGap(f.r)
		f.refuse(seg, shm.DropEgressGap)
		return
	}
	link, skip, left := f.c.place(&g.first, p, int(end-p))
	if left == 0 {
		// The host sends what is queued: it has not been told, or asks how far the gateway is.
		f.drop(seg.M, shm.DropEgressGap)
		f.ackGap(math.MaxUint32, true)
	} else {
		g.count++
		g.stamp++
		f.c.insert(link, outOfOrderSegment(seg, p, skip, left, g.stamp))
		f.c.shares.take(f.r)
		if f.r.Egress.Queue.Count == 0 && g.count == 1 {
			f.progress()
		}
		f.tellGap()
	}
	if f.wireNews() {
		f.ackWire()
	}
}

// mayQueue reports whether a segment can be framed at all once the gap is filled, and whether there is room for it.
func (f *flow) mayQueue(seg *Segment, g *gap, end uint64) bool {
	e, c := &f.r.Egress, f.c
	const head = tcpcrypt.Overhead - tcpcrypt.TagLen + tcpcrypt.UrgentLen
	return e.Flags&flowtable.EgressFIN == 0 && end-e.PUna <= math.MaxUint16<<f.r.Peer.WScale &&
		c.freeOutOfOrder != 0 && g.count < c.cfg.FlowOutOfOrder && e.Queue.Count+g.count < c.cfg.FlowFrames && seg.Len <= tcpcrypt.MaxData-tcpcrypt.UrgentLen &&
		seg.M.DataOff() >= head && seg.Off+seg.Len+tcpcrypt.TagLen <= int(seg.M.BufLen)
}

// outOfOrderSegment queues left positions of a segment at p, behind the first skip ones.
func outOfOrderSegment(seg *Segment, p uint64, skip, left int, stamp uint32) outOfOrder {
	flags, urg := seg.Flags, seg.Urg-uint16(min(skip, int(seg.Urg)))
	if skip+left <= seg.Len {
		flags &^= FIN
	}
	return outOfOrder{
		m: seg.M, at: p + uint64(skip), off: seg.Off + skip, n: left, stamp: stamp,
		host: hostSegment{hdrEnd: seg.Off, flags: flags, urg: urg, hasTS: seg.HasTS, tsVal: seg.TSVal, tsEcr: seg.TSEcr},
	}
}

// segment makes the host's segment again, without the positions before next.
func (p *outOfOrder) segment(isn uint32, next uint64) Segment {
	cut := int(next - p.at)
	seg := Segment{
		M: p.m, Off: p.off + cut, Len: p.n - cut, Seq: isn + uint32(next), Flags: p.host.flags,
		Urg: p.host.urg - uint16(min(cut, int(p.host.urg))), HasTS: p.host.hasTS, TSVal: p.host.tsVal, TSEcr: p.host.tsEcr,
	}
	if seg.Flags&FIN != 0 {
		seg.Len--
	}
	return seg
}

// fillGap frames the queued segments that nothing is missing in front of any more. What the far end's window or the flow's
// limits do not allow yet waits for its acknowledgement; the host's own retransmission may be framed before.
func (f *flow) fillGap() {
	e := &f.r.Egress
	e.Flags &^= flowtable.EgressStalled
	for f.r.Local.Gap != 0 && e.Flags&(flowtable.EgressDead|flowtable.EgressFIN) == 0 {
		g := &f.c.gaps[f.r.Local.Gap]
		p := &f.c.outOfOrder[g.first]
		next := e.PNext
		if p.at > next {
			return
		}
		m, hdrEnd := p.m, p.host.hdrEnd
		if p.end() <= next {
			f.c.unlink(f.r, g)
			f.drop(m, shm.DropEgressOld)
			f.c.idleGap(f.r)
			continue
		}
		seg := p.segment(f.hostISN(), next)
		if !f.mayFrame(&seg) {
			return
		}
		f.c.unlink(f.r, g)
		f.c.idleGap(f.r)
		f.frameSegment(&seg, hdrEnd)
		if e.PNext == next {
			return
		}
	}
	if e.Flags&flowtable.EgressFIN != 0 {
		f.c.n[shm.DropEgressBehindFin] += f.c.dropGap(f.r)
	}
}

// mayFrame reports whether a queued segment can be framed now. Where only the output is in the way, Timeout goes on.
func (f *flow) mayFrame(seg *Segment) bool {
	e := &f.r.Egress
	need := seg.Len + tcpcrypt.Overhead
	if seg.Flags&URG != 0 {
		need += tcpcrypt.Overhead + 2*tcpcrypt.UrgentLen // two frames, at worst
	}
	if e.WNext+uint64(need) > e.WEdge || !f.mayFly(e.PNext+uint64(seg.Len)+uint64(seg.Flags&FIN)) {
		return false
	}
	if !f.emitRoom(4) || cap(f.out.Seals)-len(f.out.Seals) < segmentOps {
		e.Flags |= flowtable.EgressStalled
		return false
	}
	return true
}

// tellable reports whether the host may be told of segments behind a gap. It takes what is selectively acknowledged for a
// sign that everything sent before is lost, so that what is in flight to the far end must have arrived there first: all
// but one frame is acknowledged, or the SACK blocks that go along reach up to the gap.
func (f *flow) tellable(em *Emit) bool {
	e := &f.r.Egress
	if e.Queue.Count <= 1 {
		return true
	}
	gap := f.hostISN() + uint32(e.PNext)
	for i := range em.NSACK {
		if em.SACK[i][1] == gap {
			return true
		}
	}
	return false
}

// gapSACK adds ranges behind the gap to an acknowledgement for the host, the most recent first, those before the stamp below
// only. It returns the stamp of the last one, 0 if there are no more. Of the far end's own blocks, all but one fit at most.
func (f *flow) gapSACK(em *Emit, below uint32) uint32 {
	e := &f.r.Egress
	if f.r.Local.Gap == 0 || f.r.Flags&flowtable.FlagSACK == 0 {
		return 0
	}
	g := &f.c.gaps[f.r.Local.Gap]
	limit := f.maxSACK()
	em.NSACK = min(em.NSACK, uint8(limit-1))
	var ranges [4]queuedRange
	n, more := f.c.recent(g.first, e.PNext, below, ranges[:limit-int(em.NSACK)])
	em.addSACK(ranges[:n], f.hostISN())
	if more {
		return ranges[n-1].stamp
	}
	g.told = g.stamp
	return 0
}

// ackGap is ackHost with the ranges behind the gap whose stamps are before below; it returns what gapSACK does. Unless forced it
// tells nothing that is too early.
func (f *flow) ackGap(below uint32, force bool) uint32 {
	em := f.ownHostAck()
	if em == nil || !force && !f.tellable(em) {
		return 0
	}
	return f.gapSACK(em, below)
}

// tellGap tells the host of what was queued behind the gap and not told yet, if it is time.
func (f *flow) tellGap() {
	e := &f.r.Egress
	if f.r.Local.Gap == 0 || e.Queue.Count > 1 {
		return
	}
	g := &f.c.gaps[f.r.Local.Gap]
	if f.c.outOfOrder[g.first].at <= e.PNext {
		return // there is no gap: the far end's window is waited for
	}
	below := uint32(math.MaxUint32)
	for range min(g.stamp-g.told, toldAtOnce) {
		if !f.emitRoom(1) {
			return
		}
		below = f.ackGap(below, false)
		if below == 0 && f.r.Flags&flowtable.FlagSACK != 0 {
			break
		}
	}
	g.told = g.stamp
}
