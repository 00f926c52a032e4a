package stream

import (
	"math"

	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/flowtable"
)

// maxSACK is how many blocks fit into a segment beside the timestamps, if there are any (RFC 2018 section 3).
func (f *flow) maxSACK() int {
	if f.r.Flags&flowtable.FlagTimestamps != 0 {
		return 3
	}
	return 4
}

// queuedRange is a run of queued segments without a hole, and the most recent of their stamps.
type queuedRange struct {
	start, end uint64
	stamp      uint32
}

// recent finds the ranges of a queue that begin behind from and were last added to before the stamp below, the most
// recent first, as many as fit into ranges. It returns their number, and whether there are more.
func (c *Core) recent(first uint32, from uint64, below uint32, ranges []queuedRange) (n int, more bool) {
	for i := first; i != 0; {
		p := &c.outOfOrder[i]
		r := queuedRange{p.at, p.end(), p.stamp}
		for i = p.next; i != 0 && c.outOfOrder[i].at <= r.end; i = p.next {
			p = &c.outOfOrder[i]
			r.end, r.stamp = max(r.end, p.end()), max(r.stamp, p.stamp)
		}
		if r.start <= from || r.stamp >= below {
			continue
		}
		at := n
		for at > 0 && ranges[at-1].stamp < r.stamp {
			at--
		}
		more = more || n == len(ranges)
		if at == len(ranges) {
			continue
		}
		n = min(n+1, len(ranges))
		copy(ranges[at+1:n], ranges[at:n-1])
		ranges[at] = r
	}
	return n, more
}

// addSACK adds ranges to an emit that has room for them.
func (em *Emit) addSACK(ranges []queuedRange, isn uint32) {
	for i := range ranges {
		em.SACK[em.NSACK] = [2]uint32{isn + uint32(ranges[i].start), isn + uint32(ranges[i].end)}
		em.NSACK++
	}
}

// queuedSACK adds the ranges that are stored behind a hole to an acknowledgement for the wire, the most recent first. What waits without a
// hole in front is none: its sender would send again what the host is about to acknowledge.
func (f *flow) queuedSACK(em *Emit) {
	limit := f.maxSACK() - int(em.NSACK)
	if f.common || f.r.Local.OutOfOrder == 0 || f.r.Flags&flowtable.FlagSACK == 0 || limit <= 0 {
		return
	}
	var ranges [4]queuedRange
	n, _ := f.c.recent(f.r.Local.OutOfOrder, uint64(f.contiguous()), math.MaxUint32, ranges[:limit])
	em.addSACK(ranges[:n], f.peerISN())
}

// bounds is a translated range and what is being translated.
type bounds struct {
	left, right     int64 // asked for
	start, end      uint64
	haveStart, have bool
}

// wireSACK translates the far end's SACK blocks to the plaintext: only whole frames count.
func (f *flow) wireSACK(seg *Segment, em *Emit) {
	e := &f.r.Egress
	if seg.NSACK == 0 || f.r.Flags&flowtable.FlagSACK == 0 {
		return
	}
	var bs [4]bounds
	n := 0
	for i := range min(int(seg.NSACK), len(bs), f.maxSACK()) {
		l, r := unwrap(seg.SACK[i][0], f.hostISN(), e.WUna), unwrap(seg.SACK[i][1], f.hostISN(), e.WUna)
		if i == 0 && r <= int64(e.WAck) {
			f.wireRepeated(em, l, min(r, int64(e.WUna)))
			continue
		}
		bs[n].left, bs[n].right = l, r
		n++
	}
	if n == 0 || e.Queue.Count == 0 {
		return
	}
	p := e.PUna
	it := f.c.chunks.Iter(&e.Queue)
	for {
		w, wEnd, end, ok := it.Chunk()
		if ok = ok && !anyWithin(bs[:n], int64(w), int64(wEnd)); ok {
			it.SkipChunk()
		} else {
			en, _ := it.Next()
			if en == nil {
				break
			}
			w, wEnd, end = en.WEnd-uint64(en.Len), en.WEnd+finLen(en), p+plainLen(en)
		}
		for i := range n {
			bs[i].cover(int64(w), int64(wEnd), p, end)
		}
		p = end
	}
	emitBounds(em, bs[:n], f.hostISN())
}

// anyWithin reports whether a block begins or ends within a run of frames [start, end): they are covered one by one then, and all or
// none of them otherwise.
func anyWithin(bs []bounds, start, end int64) bool {
	for i := range bs {
		if b := &bs[i]; b.left > start && b.left < end || b.right > start && b.right < end {
			return true
		}
	}
	return false
}

// wireRepeated translates the far end's report that [l, r) came twice (RFC 2883), all of which it has acknowledged: the host sees by it
// that it retransmitted for nothing. The frames are not in the ledger any more, and count as full segments.
func (f *flow) wireRepeated(em *Emit, l, r int64) {
	from, to := max(f.acknowledgedPlain(l), 0), f.acknowledgedPlain(r)
	if from < to {
		em.SACK[0], em.NSACK = [2]uint32{f.hostISN() + uint32(from), f.hostISN() + uint32(to)}, 1
	}
}

// acknowledgedPlain is about where in the plaintext a wire position lies that is acknowledged.
func (f *flow) acknowledgedPlain(w int64) int64 {
	e := &f.r.Egress
	n, frame := int64(e.WUna)-w, int64(f.wirePayload())
	n -= tcpcrypt.Overhead * ((n + frame - 1) / frame)
	return int64(e.PUna) - max(n, 0)
}

// hostSACK translates the host's SACK blocks to the wire. It is true where they say that something came twice which the far end sent
// twice.
func (f *flow) hostSACK(seg *Segment, em *Emit) (repeats bool) {
	in := &f.r.Ingress
	if seg.NSACK == 0 || f.r.Flags&flowtable.FlagSACK == 0 {
		return false
	}
	var bs [4]bounds
	n := 0
	for i := range min(int(seg.NSACK), len(bs), f.maxSACK()) {
		l, r := unwrap(seg.SACK[i][0], f.peerISN(), in.HostAck), unwrap(seg.SACK[i][1], f.peerISN(), in.HostAck)
		if i == 0 && r <= int64(in.HostAck) {
			repeats = f.hostRepeated(em, l, r)
			continue
		}
		bs[n].left, bs[n].right = l, r
		n++
	}
	if n == 0 || in.Queue.Count == 0 {
		return repeats
	}
	p := in.PAckH
	it := f.c.chunks.Iter(&in.Queue)
	for en, _ := it.Next(); en != nil; en, _ = it.Next() {
		end := p + plainLen(en)
		for i := range n {
			if en.WEnd > in.WAcked {
				bs[i].cover(int64(p), int64(end), en.WEnd-uint64(en.Len), en.WEnd)
			}
		}
		p = end
	}
	emitBounds(em, bs[:n], f.peerISN())
	return repeats
}

// hostRepeated translates the host's report that [l, r) came twice, if it did because the far end retransmitted. What the gateway
// itself delivered twice is nothing to the far end. It is true where the far end did.
func (f *flow) hostRepeated(em *Emit, l, r int64) (known bool) {
	for _, run := range f.r.Rare.Again {
		if run.PLen > 0 && uint32(l)-run.P < run.PLen && uint32(r)-run.P <= run.PLen {
			em.SACK[0], em.NSACK = [2]uint32{f.peerISN() + run.W, f.peerISN() + run.W + run.WLen}, 1
			return true
		}
	}
	return false
}

// noteAgain remembers a frame that is delivered again because the far end sent it again.
func (f *flow) noteAgain(ref *openRef, pt *opened) {
	a := &f.r.Rare.Again
	a[1] = a[0]
	a[0] = flowtable.Run{W: uint32(ref.w), WLen: uint32(ref.n), P: uint32(ref.p), PLen: uint32(pt.n)}
}

// cover adds a frame [start, end) in the space the block is given in, [to, toEnd) in the other, if the block holds it whole.
func (b *bounds) cover(start, end int64, to, toEnd uint64) {
	if start < b.left || end > b.right || start == end {
		return
	}
	if !b.haveStart {
		b.start, b.haveStart = to, true
	}
	b.end = toEnd
	b.have = b.end > b.start
}

func emitBounds(em *Emit, bs []bounds, isn uint32) {
	for i := range bs {
		if b := &bs[i]; b.have {
			em.SACK[em.NSACK] = [2]uint32{isn + uint32(b.start), isn + uint32(b.end)}
			em.NSACK++
		}
	}
}
