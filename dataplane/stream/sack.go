package stream

import (
	"linecrypt/flowtable"
)

// maxSACK is how many blocks fit into a segment beside the timestamps, if there are any (RFC 2018 section 3).
func (f *flow) maxSACK() int {
	if f.r.HostFlags&flowtable.FlagTimestamps != 0 {
		return 3
	}
	return 4
}

// storedSACK adds the ranges that are stored behind a hole to an acknowledgement for the wire, the most recent first.
func (f *flow) storedSACK(em *Emit) {
	in := &f.r.Ingress
	if in.Pieces == 0 || f.r.HostFlags&flowtable.FlagSACK == 0 {
		return
	}
	var ranges [4]struct {
		start, end WPos
		stamp      uint32
	}
	n, limit := 0, f.maxSACK()-int(em.NSACK)
	for i := in.Pieces; i != 0 && limit > 0; {
		p := &f.c.pieces[i]
		start, end, stamp := p.w, p.end(), p.stamp
		for i = p.next; i != 0 && f.c.pieces[i].w == end; i = p.next {
			p = &f.c.pieces[i]
			end, stamp = p.end(), max(stamp, p.stamp)
		}
		at := n
		for at > 0 && ranges[at-1].stamp < stamp {
			at--
		}
		if at >= limit {
			continue
		}
		n = min(n+1, limit)
		copy(ranges[at+1:n], ranges[at:n-1])
		ranges[at].start, ranges[at].end, ranges[at].stamp = start, end, stamp
	}
	for _, r := range ranges[:n] {
		em.SACK[em.NSACK] = [2]uint32{f.peerISN() + uint32(r.start), f.peerISN() + uint32(r.end)}
		em.NSACK++
	}
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
	if seg.NSACK == 0 || f.r.HostFlags&flowtable.FlagSACK == 0 || e.Queue.Count == 0 {
		return
	}
	var bs [4]bounds
	n := min(int(seg.NSACK), len(bs), f.maxSACK())
	for i := range n {
		bs[i].left, bs[i].right = unwrap(seg.SACK[i][0], f.hostISN(), e.WUna), unwrap(seg.SACK[i][1], f.hostISN(), e.WUna)
	}
	p := e.PUna
	it := f.c.chunks.Iter(&e.Queue)
	for en, _ := it.Next(); en != nil; en, _ = it.Next() {
		end := p + plainLen(en)
		for i := range n {
			bs[i].cover(int64(en.WEnd-uint64(en.Len)), int64(en.WEnd+finLen(en)), p, end)
		}
		p = end
	}
	emitBounds(em, bs[:n], f.hostISN())
}

// hostSACK translates the host's SACK blocks to the wire.
func (f *flow) hostSACK(seg *Segment, em *Emit) {
	in := &f.r.Ingress
	if seg.NSACK == 0 || f.r.HostFlags&flowtable.FlagSACK == 0 || in.Queue.Count == 0 {
		return
	}
	var bs [4]bounds
	n := min(int(seg.NSACK), len(bs), f.maxSACK())
	for i := range n {
		bs[i].left, bs[i].right = unwrap(seg.SACK[i][0], f.peerISN(), in.HostAck), unwrap(seg.SACK[i][1], f.peerISN(), in.HostAck)
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
