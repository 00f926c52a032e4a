package stream

import (
	"linecrypt/dataplane/mbuf"
	"linecrypt/flowtable"
)

// piece is a stored run of wire bytes that cannot be worked yet. A flow's pieces are in order and do not overlap.
type piece struct {
	m     *mbuf.Mbuf
	w     WPos
	off   int
	n     int
	stamp uint32 // grows with each piece stored: which SACK block is the most recent
	next  uint32
}

func (p *piece) end() WPos { return p.w + WPos(p.n) }

func (c *Core) freePieceNode(i uint32) {
	c.pieces[i] = piece{next: c.freePiece}
	c.freePiece = i
}

// dropPiece frees the first piece of a flow.
func (c *Core) dropPiece(in *flowtable.Ingress) {
	i := in.Pieces
	p := &c.pieces[i]
	in.Pieces = p.next
	in.NPieces--
	c.cache.Free(p.m)
	c.freePieceNode(i)
}

// store keeps bytes for later, cut where pieces that are stored already overlap them.
func (f *flow) store(m *mbuf.Mbuf, w WPos, off, n int) {
	in := &f.r.Ingress
	at := &in.Pieces
	for *at != 0 {
		p := &f.c.pieces[*at]
		if p.w > w {
			n = min(n, int(p.w-w))
			break
		}
		if end := p.end(); end > w {
			cut := min(n, int(end-w))
			w, off, n = w+WPos(cut), off+cut, n-cut
		}
		at = &p.next
	}
	if n == 0 {
		f.drop(m, DropIngressOld)
		return
	}
	i := f.c.freePiece
	if i == 0 || in.NPieces >= f.c.cfg.FlowPieces || f.c.cache.Avail() < f.c.cfg.PoolLow {
		f.drop(m, DropIngressLimit)
		return
	}
	p := &f.c.pieces[i]
	f.c.freePiece = p.next
	in.NPieces++
	in.Stamp++
	*p = piece{m: m, w: w, off: off, n: n, stamp: in.Stamp, next: *at}
	*at = i
	f.count(StoredSegments)
}

// drain works stored pieces that follow what was received without a hole.
func (f *flow) drain() {
	in := &f.r.Ingress
	in.Flags &^= flowtable.IngressStalled
	if f.r.Egress.Flags&flowtable.EgressDead != 0 || f.part() != nil && !f.finishPart() {
		return
	}
	for in.Pieces != 0 && in.Flags&flowtable.IngressStalled == 0 && f.r.Egress.Flags&flowtable.EgressDead == 0 {
		i := in.Pieces
		p := &f.c.pieces[i]
		next := f.contiguous()
		if p.w > next || in.Flags&(flowtable.IngressInit|flowtable.IngressKeys) == flowtable.IngressInit {
			return
		}
		if p.end() <= next {
			f.c.dropPiece(in)
			continue
		}
		ch := chunk{m: p.m, off: p.off + int(next-p.w), n: p.n - int(next-p.w), hdrEnd: -1, flags: PSH}
		in.Pieces = p.next
		in.NPieces--
		f.c.freePieceNode(i)
		f.feed(ch)
		if f.contiguous() == next {
			return
		}
	}
}
