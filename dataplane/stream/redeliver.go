package stream

import (
	"linecrypt/ctrlplane/shm"
	"linecrypt/flowtable"
)

// oldWireData takes the part of a segment that lies before the next frame: frames that the host has not acknowledged may have
// been lost inside, so they are opened and delivered again.
func (f *flow) oldWireData(seg *Segment, w int64) {
	in := &f.r.Ingress
	end := w + int64(seg.Len)
	p := in.PAckH
	first := true
	it := f.c.chunks.Iter(&in.Queue)
	for en, _ := it.Next(); en != nil; en, _ = it.Next() {
		start := int64(en.WEnd) - int64(en.Len)
		if start >= end {
			break
		}
		if en.Flags&flowtable.EntryDelivery == 0 {
			switch {
			case start >= w && int64(en.WEnd) <= end:
				f.openOld(seg, en, int(start-w), PPos(p))
			case first:
				f.reassembleAgain(seg, w, en, PPos(p))
			}
			first = false
		}
		p += plainLen(en)
	}
}

// openOld queues a whole old frame to be opened again. The frame lies at at in the segment's payload.
func (f *flow) openOld(seg *Segment, en *flowtable.Entry, at int, p PPos) {
	if en.Len == uint32(en.Over) && en.Flags&flowtable.EntryFIN == 0 {
		return // it has nothing to deliver
	}
	if !f.openRoom() {
		f.count(shm.DropNoOutput)
		return
	}
	n := int(en.Len)
	from := seg.Off + at
	m := f.copied(seg.M.Buf()[from : from+n])
	if m == nil {
		f.count(shm.DropIngressPool)
		return
	}
	ref := openRef{m: m, off: BuildOffset, n: n, hdrEnd: -1, kind: openRedeliver, flags: PSH, w: WPos(en.WEnd - uint64(n)), p: p,
		hasTS: seg.HasTS, tsVal: seg.TSVal}
	f.queueOld(&ref)
}

// queueOld queues a frame under the generation it was sealed with.
func (f *flow) queueOld(ref *openRef) {
	in := &f.r.Ingress
	key, nr := f.r.Local.OpenKey, &in.NR
	if uint64(ref.w) < f.r.Rare.WRekey && f.r.Local.PrevKey != 0 {
		key, nr = f.r.Local.PrevKey, &f.r.Local.PrevNR
	}
	f.queueOpen(ref, key, nr)
}

// reassembleAgain collects the oldest delivered frame from segments, where the far end cuts its stream otherwise than before.
func (f *flow) reassembleAgain(seg *Segment, w int64, en *flowtable.Entry, p PPos) {
	ra := f.reassemblyOf()
	if ra == nil {
		return
	}
	f.collect(ra, seg, w, en, p)
	f.idleReassembly()
}

// collect adds what the segment has of the frame.
func (f *flow) collect(ra *reassembly, seg *Segment, w int64, en *flowtable.Entry, p PPos) {
	a := &ra.again
	b := seg.M.Buf()[seg.Off : seg.Off+seg.Len]
	start := WPos(en.WEnd - uint64(en.Len))
	if a.active && a.start != start {
		f.c.freeAssembly(a)
	}
	switch {
	case !a.active:
	case !f.c.agrees(a, WPos(w), b):
		if f.count(shm.DropIngressRival); a.vouched {
			return
		}
		f.c.freeAssembly(a)
	case w < int64(start)+int64(a.have):
		a.vouch() // the same bytes once more: its sender waits for them to be acknowledged
	}
	if !a.active {
		if w > int64(start) {
			return // its beginning is still to come
		}
		if !f.begin(a, start) {
			f.count(shm.ReassembliesRefused)
			return
		}
		a.p, a.need = p, int(en.Len)
	}
	ra.touched = f.now
	at := int64(a.start) + int64(a.have) - w
	if at < 0 || at >= int64(seg.Len) {
		return
	}
	for b = b[at:]; len(b) > 0 && a.have < a.need; {
		n := f.fill(a, b)
		if n <= 0 {
			return
		}
		b = b[n:]
	}
	if a.have < a.need {
		return
	}
	if !f.openRoom() {
		f.count(shm.DropNoOutput)
		return
	}
	ref := openRef{kind: openRedeliverAssembled, m: a.m, large: a.large, delivery: a.delivery, n: a.need, hdrEnd: -1, flags: PSH, w: a.start, p: a.p,
		hasTS: seg.HasTS, tsVal: seg.TSVal}
	if a.large == 0 {
		ref.off = BuildOffset
	}
	f.queueOld(&ref)
	*a = assembly{}
}

// learnAgain takes the timestamp that an old frame came with this time. The host's echo must show that it answers the
// retransmission: by that of the first try, the far end would measure the time until it retransmitted as a round trip, and wait
// longer each time (RFC 7323 section 4.3). It waits until the frame is authentic, since there is more to hit than one position.
func (f *flow) learnAgain(ref *openRef) {
	if peer := &f.r.Peer; ref.hasTS && later(ref.tsVal, peer.TSVal) {
		peer.TSVal = ref.tsVal
	}
}

// openedRedeliver delivers an old frame again.
func (f *flow) openedRedeliver(ref *openRef, ok bool) {
	pt, good := f.c.parse(ref)
	if !ok || !good {
		f.count(shm.DropIngressAuth)
		f.c.freeRef(ref)
		return
	}
	f.learnAgain(ref)
	if uint64(ref.p)+uint64(pt.n) < f.r.Ingress.HostAck {
		f.c.freeRef(ref)
		return
	}
	f.count(shm.RedeliveredFrames)
	f.noteAgain(ref, &pt)
	f.deliver(ref, &pt, ref.p)
}

// openedRedeliverAssembled delivers an old frame that came in several segments: they may have been acknowledged as they came.
func (f *flow) openedRedeliverAssembled(ref *openRef, ok bool) {
	in := &f.r.Ingress
	pt, good := f.c.parse(ref)
	if !ok || !good {
		f.count(shm.DropIngressAuth)
		acked := in.WAcked > uint64(ref.w)
		f.c.freeRef(ref)
		if acked {
			f.c.Abort(f.idx, f.r, shm.AbortAuth, f.now, f.out)
		}
		return
	}
	f.learnAgain(ref)
	wEnd := uint64(ref.w) + uint64(ref.n)
	it := f.c.chunks.Iter(&in.Queue)
	for en, _ := it.Next(); en != nil; en, _ = it.Next() {
		if en.WEnd == wEnd {
			en.Flags |= flowtable.EntryDelivery
			f.count(shm.DeliveryFrames)
			f.count(shm.RedeliveredFrames)
			f.noteAgain(ref, &pt)
			f.enqueueDelivery(ref, &pt, ref.p)
			f.tell()
			return
		}
	}
	f.c.freeRef(ref)
}
