package stream

import (
	"linecrypt/ctrlplane/shm"
	"linecrypt/dataplane/mbuf"
	"linecrypt/flowtable"
)

// piece is a stored run of a stream that cannot be worked yet: of wire bytes, or of the host's plaintext. A flow's pieces of
// one direction are in order and do not overlap.
type piece struct {
	m     *mbuf.Mbuf
	at    uint64 // position in the stream: WPos on the ingress side, PPos on the egress side
	off   int
	n     int    // positions: the FIN of a host's segment is one of them
	stamp uint32 // grows with each piece stored: which SACK block is the most recent
	next  uint32
	host  hostSegment
}

// hostSegment is what a piece of the host's plaintext keeps of its segment's headers.
type hostSegment struct {
	hdrEnd       int
	tsVal, tsEcr uint32
	urg          uint16
	flags        uint8
	hasTS        bool
}

func (p *piece) end() uint64 { return p.at + uint64(p.n) }

func (c *Core) freePieceNode(i uint32) {
	c.pieces[i] = piece{next: c.freePiece}
	c.freePiece = i
}

// place finds the link in a list of pieces at which n positions from at on belong, cut where pieces that are stored already
// overlap them: skip positions in front are there, and left remain.
func (c *Core) place(first *uint32, at uint64, n int) (link *uint32, skip, left int) {
	link, left = first, n
	for *link != 0 {
		p := &c.pieces[*link]
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

// insert puts a piece at a link. The caller has checked that there is a node.
func (c *Core) insert(link *uint32, p piece) {
	i := c.freePiece
	c.freePiece = c.pieces[i].next
	p.next = *link
	c.pieces[i] = p
	*link = i
	c.n[shm.StoredSegments]++
}

// dropPiece frees the first piece of a flow.
func (c *Core) dropPiece(r *flowtable.Record) {
	i := r.Local.Pieces
	p := &c.pieces[i]
	r.Local.Pieces = p.next
	r.Local.NPieces--
	c.cache.Free(p.m)
	c.freePieceNode(i)
}

// store keeps wire bytes for later.
func (f *flow) store(m *mbuf.Mbuf, w WPos, off, n int) {
	link, skip, left := f.c.place(&f.r.Local.Pieces, uint64(w), n)
	if left == 0 {
		f.drop(m, shm.DropIngressOld)
		return
	}
	if f.c.freePiece == 0 || f.r.Local.NPieces >= f.c.cfg.FlowPieces || f.c.cache.Avail() < f.c.cfg.PoolLow {
		f.drop(m, shm.DropIngressLimit)
		return
	}
	f.r.Local.NPieces++
	f.r.Local.Stamp++
	f.c.insert(link, piece{m: m, at: uint64(w) + uint64(skip), off: off + skip, n: left, stamp: f.r.Local.Stamp})
}

// drain works stored pieces that follow what was received without a hole.
func (f *flow) drain() {
	in := &f.r.Ingress
	in.Flags &^= flowtable.IngressStalled
	if f.r.Egress.Flags&flowtable.EgressDead != 0 || f.part() != nil && !f.finishPart() {
		return
	}
	for f.r.Local.Pieces != 0 && in.Flags&flowtable.IngressStalled == 0 && f.r.Egress.Flags&flowtable.EgressDead == 0 {
		i := f.r.Local.Pieces
		p := &f.c.pieces[i]
		next := uint64(f.contiguous())
		if p.at > next || in.Flags&(flowtable.IngressInit|flowtable.IngressKeys) == flowtable.IngressInit {
			return
		}
		if p.end() <= next {
			f.c.dropPiece(f.r)
			continue
		}
		ch := chunk{m: p.m, off: p.off + int(next-p.at), n: p.n - int(next-p.at), hdrEnd: -1, flags: PSH}
		f.r.Local.Pieces = p.next
		f.r.Local.NPieces--
		f.c.freePieceNode(i)
		f.feed(ch)
		if uint64(f.contiguous()) == next {
			return
		}
	}
}
