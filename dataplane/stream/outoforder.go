package stream

import (
	"bytes"

	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/dataplane/mbuf"
	"linecrypt/flowtable"
)

// outOfOrder is a segment that cannot be worked yet, because something in front of it is missing: of the wire's bytes, or of the
// host's plaintext (gap.go). A flow's segments of one direction are queued in order. They do not overlap, unless they contradict
// each other.
type outOfOrder struct {
	m     *mbuf.Mbuf
	at    uint64 // position in the stream: WPos on the ingress side, PPos on the egress side
	off   int
	n     int    // positions: the FIN of a host's segment is one of them
	stamp uint32 // grows with each segment queued: which SACK block is the most recent
	next  uint32
	owner uint32 // ingress: the reassembly object of its flow
	rival bool   // ingress: other bytes came for some of its positions; one of the two is forged
	marks uint8  // ingress: what it said of congestion
	host  hostSegment
}

// hostSegment is what the queue has of the headers of a host's segment.
type hostSegment struct {
	hdrEnd       int
	tsVal, tsEcr uint32
	urg          uint16
	flags        uint8
	hasTS        bool
}

func (p *outOfOrder) end() uint64 { return p.at + uint64(p.n) }

func (c *Core) freeOutOfOrderNode(i uint32) {
	if owner := c.outOfOrder[i].owner; owner != 0 {
		c.queued.sub(c.reassemblies[owner].peer)
	}
	c.outOfOrder[i] = outOfOrder{next: c.freeOutOfOrder}
	c.freeOutOfOrder = i
}

// place finds the link in a queue at which n positions from at on belong, cut where segments that are queued already
// overlap them: skip positions in front are there, and left remain.
func (c *Core) place(first *uint32, at uint64, n int) (link *uint32, skip, left int) {
	link, left = first, n
	for *link != 0 {
		p := &c.outOfOrder[*link]
		if p.at > at {
			return link, skip, int(min(uint64(left), p.at-at))
		}
		if end := p.end(); end > at {
			cut := int(min(uint64(left), end-at))
			at, skip, left = at+uint64(cut), skip+cut, left-cut
		}
		link = &p.next
	}
	return link, skip, left
}

// insert puts a segment at a link. The caller has checked that there is a node.
func (c *Core) insert(link *uint32, p outOfOrder) {
	i := c.freeOutOfOrder
	c.freeOutOfOrder = c.outOfOrder[i].next
	p.next = *link
	c.outOfOrder[i] = p
	*link = i
	c.n[shm.OutOfOrderSegments]++
}

// minOutOfOrder is how many segments a flow may queue while buffers or places are scarce, and maxRivals how many that contradict
// others.
const (
	minOutOfOrder = 4
	maxRivals     = 16
)

// bytes returns those of [from, to), which lies in the segment.
func (p *outOfOrder) bytes(from, to uint64) []byte {
	return p.m.Buf()[p.off+int(from-p.at) : p.off+int(to-p.at)]
}

// dropOutOfOrder frees all segments that wait for missing ones.
func (f *flow) dropOutOfOrder() {
	for f.r.Local.OutOfOrder != 0 {
		f.dropQueued(&f.r.Local.OutOfOrder)
	}
}

// dropQueued frees the segment at a link.
func (f *flow) dropQueued(link *uint32) {
	f.c.cache.Free(f.c.outOfOrder[*link].m)
	f.unqueue(link)
}

// unqueue takes the segment at a link out of the queue; its buffer is the caller's.
func (f *flow) unqueue(link *uint32) {
	i := *link
	p := &f.c.outOfOrder[i]
	*link = p.next
	f.r.Local.Queued--
	if ra := f.reassembly(); p.rival && ra != nil {
		ra.rivals--
	}
	f.c.freeOutOfOrderNode(i)
}

// enqueue keeps wire bytes that follow a hole, or cannot be worked now.
func (f *flow) enqueue(m *mbuf.Mbuf, w WPos, off, n int, marks uint8) {
	if !f.mayEnqueue() {
		f.drop(m, shm.DropIngressLimit)
		f.idleReassembly()
		return
	}
	ra := f.reassembly()
	link, skip, left := f.c.place(&f.r.Local.OutOfOrder, uint64(w), n)
	rival := f.contradict(uint64(w), m.Buf()[off:off+n])
	switch {
	case rival && ra.rivals >= maxRivals:
		f.drop(m, shm.DropIngressRival)
		f.idleReassembly()
		return
	case rival:
		// Which of the two is forged, only their tags can tell: both wait.
		f.count(shm.RivalSegments)
		ra.rivals++
		skip, left = 0, n
		link = f.behind(uint64(w))
	case left == 0:
		f.drop(m, shm.DropIngressOld)
		f.idleReassembly()
		return
	}
	ra.touched = f.now
	f.r.Local.Queued++
	f.r.Local.Stamp++
	f.c.queued.add(ra.peer)
	f.c.insert(link, outOfOrder{
		m: m, at: uint64(w) + uint64(skip), off: off + skip, n: left, stamp: f.r.Local.Stamp, owner: f.r.Local.Reassembly, rival: rival,
		marks: marks & congestion,
	})
}

// behind is the link behind all segments that begin at or before a position.
func (f *flow) behind(at uint64) *uint32 {
	link := &f.r.Local.OutOfOrder
	for *link != 0 && f.c.outOfOrder[*link].at <= at {
		link = &f.c.outOfOrder[*link].next
	}
	return link
}

// contradict reports whether queued segments have other bytes than b, from position at on, for the same positions. They are
// marked.
func (f *flow) contradict(at uint64, b []byte) bool {
	found := false
	end := at + uint64(len(b))
	for i := f.r.Local.OutOfOrder; i != 0; i = f.c.outOfOrder[i].next {
		p := &f.c.outOfOrder[i]
		if p.at >= end {
			break
		}
		from, to := max(at, p.at), min(end, p.end())
		if from >= to || bytes.Equal(p.bytes(from, to), b[from-at:to-at]) {
			continue
		}
		found = true
		if ra := f.reassembly(); !p.rival && ra != nil {
			p.rival = true
			ra.rivals++
		}
	}
	return found
}

// mayEnqueue reports whether the flow may queue another segment, after others have given something up if need be. The flow then
// has its object.
func (f *flow) mayEnqueue() bool {
	c, n := f.c, uint32(f.r.Local.Queued)
	if n >= c.cfg.FlowOutOfOrder || f.reassemblyOf() == nil {
		return false
	}
	low := c.cfg.PoolLow
	if n < minOutOfOrder {
		low /= 2
	} else if !c.queued.may(f.reassembly().peer) {
		f.count(shm.OutOfOrderRefused)
		return false
	}
	return (c.freeOutOfOrder != 0 || f.reclaim(queuePlaces)) && (c.cache.Avail() >= low || f.reclaim(queuePlaces) && c.cache.Avail() >= low)
}

// drain works queued segments that follow what was received without a hole.
func (f *flow) drain() {
	in := &f.r.Ingress
	in.Flags &^= flowtable.IngressStalled
	if f.r.Egress.Flags&flowtable.EgressDead != 0 || f.inProgress() != nil && !f.finishFrame() {
		return
	}
	for n := 0; in.Flags&flowtable.IngressStalled == 0 && f.r.Egress.Flags&flowtable.EgressDead == 0; n++ {
		next := uint64(f.contiguous())
		link := f.nextQueued(next)
		if link == nil || in.Flags&(flowtable.IngressInit|flowtable.IngressKeys) == flowtable.IngressInit {
			break
		}
		p := &f.c.outOfOrder[*link]
		ch := chunk{m: p.m, off: p.off + int(next-p.at), n: p.n - int(next-p.at), hdrEnd: -1, flags: PSH | p.marks}
		f.unqueue(link)
		f.feed(ch)
		if uint64(f.contiguous()) == next {
			break
		}
		if n > 0 { // of one alone the host's acknowledgement is that of all
			f.r.Local.Filled = filledAt(next)
		}
	}
	f.idleReassembly()
}

// nextQueued finds the segment to go on with at position next, and drops those that are used up; nil if there is none. Among some that
// contradict each other, it prefers one that begins there with a whole frame; those it has passed over stay until a frame in
// their place is authentic.
func (f *flow) nextQueued(next uint64) *uint32 {
	in := &f.r.Ingress
	var best *uint32
	for link := &f.r.Local.OutOfOrder; *link != 0; {
		p := &f.c.outOfOrder[*link]
		switch {
		case p.at > next:
			return best
		case p.rival && p.end() > in.WOpen && (p.end() <= next || p.at < next):
			if p.at < in.WOpen && in.WNext == in.WOpen && f.inProgress() == nil {
				f.count(shm.DropIngressRival)
				f.dropQueued(link) // what came before its end is authentic, and not what it says
				continue
			}
			if in.WNext != in.WOpen {
				in.Flags |= flowtable.IngressStalled // until the frame before it is opened
			}
		case p.end() <= next:
			f.dropQueued(link)
			continue
		case !p.rival:
			if best == nil {
				return link
			}
		case best == nil || f.c.wholeFrame(p):
			best = link
		}
		link = &p.next
	}
	return best
}

// wholeFrame reports whether a segment begins with a whole frame, by its header.
func (c *Core) wholeFrame(p *outOfOrder) bool {
	b := p.bytes(p.at, p.end())
	h, err := tcpcrypt.ParseHeader(b)
	return err == nil && h.FrameLen() <= len(b)
}

// retryRivals makes Timeout go on with what is queued, after a frame has failed.
func (f *flow) retryRivals() {
	if f.r.Local.OutOfOrder != 0 {
		f.r.Ingress.Flags |= flowtable.IngressStalled
	}
}
