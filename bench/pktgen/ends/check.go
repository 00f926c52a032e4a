package ends

import (
	"linecrypt/bench/pattern"
	"linecrypt/cryptobatch"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/packet"
	"linecrypt/flowtable"
)

// opening is a frame whose tag is being checked.
type opening struct {
	m     *mbuf.Mbuf
	n     uint32
	k     uint64
	at    int64
	fin   bool // it is the last one, and without data
	empty bool // it begins a generation, and is without data
}

// arrive takes the data of the packet at hand, of direction d, and reports whether it keeps the buffer until openAll.
func (e *Ends) arrive(n uint32, d direction, at int64) (keeps bool) {
	p, f := &e.pkt, &e.flows[n]
	h := &f.halves[d]
	pos := unwrap(p.Seq, f.isn[d], e.place(f, n, d, false, h.got))
	fin := p.Flags&packet.FlagFIN != 0
	if d == up && !f.plain {
		return e.framesCame(n, pos, at, fin)
	}
	if fin {
		if p.PayloadLen > 0 {
			e.wrong("connection %d: a FIN with data that was sent without", n)
		}
		e.finCame(n, d, pos)
		return false
	}
	k, begins := e.segmentAt(f, n, d, false, pos)
	if !begins || int(p.PayloadLen) != e.size(n, k) {
		e.wrong("connection %d: %d bytes at byte %d are not a segment that was sent", n, p.PayloadLen, pos)
		return false
	}
	e.checkBytes(p.PayloadBytes(), n, d, k)
	e.came(n, d, k, at)
	return false
}

// framesCame takes the packet at hand, whose payload begins at a position of the wire: one frame, or several where the gateway has put
// together what it sends again.
func (e *Ends) framesCame(n uint32, pos uint64, at int64, fin bool) (keeps bool) {
	p := &e.pkt
	b := p.PayloadBytes()
	for {
		h, err := tcpcrypt.ParseHeader(b)
		if err != nil || h.FrameLen() >= len(b) {
			return e.frameCame(n, pos, b, at, fin)
		}
		first := b[:h.FrameLen()]
		p.M.Retain() // for this frame
		if !e.frameCame(n, pos, first, at, false) {
			e.free(flowtable.Outside, p.M)
		}
		pos, b = pos+uint64(len(first)), b[len(first):]
	}
}

// frameCame takes what begins at a position of the wire as one frame.
func (e *Ends) frameCame(n uint32, pos uint64, b []byte, at int64, fin bool) (keeps bool) {
	p, f := &e.pkt, &e.flows[n]
	if int64(pos) < int64(f.base[up]) {
		e.initAgain(n)
		return false
	}
	h, err := tcpcrypt.ParseHeader(b)
	if err == nil && h.Rekey() && !e.beginsKnown(f, n, pos) && !e.rekeyCame(n, pos, len(b), fin) {
		return false
	}
	o, ok := e.expected(f, n, pos, fin)
	if !ok {
		if in := &f.halves[up]; in.gen > 0 && o.k < in.mark {
			e.repeated(n) // of a generation that is not known any more
			return false
		}
		if e.outOfTurn(f, n, pos) {
			e.early(n)
			return false
		}
	}
	if !ok || err != nil || h.FrameLen() != o.size || len(b) != o.size || h.Control != o.control {
		if e.outOfTurn(f, n, pos) {
			e.early(n)
			return false
		}
		e.wrong("connection %d: %d bytes at byte %d of the wire are not a frame of data that was sent", n, len(b), pos)
		return false
	}
	key, nr := e.keys.of(f, n, up, o.gen)
	body := b[tcpcrypt.HeaderLen:]
	// The gateway may keep the frame to send it again, on a wire that hands buffers over: it is not to be written to.
	dst := e.plains[len(e.opens)][:]
	e.opens = append(e.opens, cryptobatch.Op{Key: key, Src: body, Dst: dst, AAD: b[:tcpcrypt.HeaderLen], Nonce: tcpcrypt.Nonce(*nr, pos)})
	o.m, o.n, o.at, o.fin = p.M, n, at, fin
	e.opening = append(e.opening, o.opening)
	if len(e.opens) == cap(e.opens) {
		e.openAll()
	}
	return true
}

// expectation is what a frame at a position is to be.
type expectation struct {
	opening
	size    int // of the whole frame
	gen     uint32
	control byte
}

// expected returns what the frame at a position is to be, and false where no frame of a generation that is known begins there.
func (e *Ends) expected(f *flow, n uint32, pos uint64, fin bool) (o expectation, ok bool) {
	h := &f.halves[up]
	o.size = tcpcrypt.Overhead
	if empty, there := e.emptyPos(f, n, up); there && pos == empty {
		o.k, o.gen, o.control, o.empty = h.mark, h.gen, tcpcrypt.ControlRekey, true
		return o, true
	}
	o.k, ok = e.segmentAt(f, n, up, false, pos)
	if !fin {
		o.size += e.size(n, o.k)
	}
	o.gen = h.generation(o.k)
	if h.begins(o.k) {
		o.control = tcpcrypt.ControlRekey
	}
	if h.gen > 1 && o.k == h.before && o.k < h.mark {
		ok = false // it may have begun its generation, or not: that is not known any more
	}
	return o, ok && (h.gen == 0 || o.k >= h.before)
}

// beginsKnown reports whether the frame at a position is the one that begins the last generation that is known.
func (e *Ends) beginsKnown(f *flow, n uint32, pos uint64) bool {
	h := &f.halves[up]
	if empty, ok := e.emptyPos(f, n, up); ok {
		return pos == empty
	}
	return h.gen > 0 && pos == e.wirePos(f, n, up, h.mark)
}

// outOfTurn reports whether a frame may be of a generation that is yet to begin, because others before it are missing.
func (e *Ends) outOfTurn(f *flow, n uint32, pos uint64) bool {
	return e.sc.Disturb.Disturbed() && pos > e.wirePos(f, n, up, f.halves[up].got)
}

// openAll checks the tags of the frames that came, and their bytes.
func (e *Ends) openAll() {
	if len(e.opens) == 0 {
		return
	}
	e.batch.Open(e.opens)
	for i := range e.opening {
		o, op := &e.opening[i], &e.opens[i]
		f := &e.flows[o.n]
		plain := op.Dst[:len(op.Src)-tcpcrypt.TagLen]
		flags := byte(0)
		if o.fin {
			flags = tcpcrypt.FlagFIN
		}
		switch {
		case op.Status != cryptobatch.StatusOK && e.sc.Disturb.Disturbed() && o.k > f.halves[up].got:
			e.early(o.n)
		case op.Status != cryptobatch.StatusOK:
			e.wrong("connection %d: frame %d: tag: %v", o.n, o.k, op.Status)
		case plain[0] != flags:
			e.wrong("connection %d: frame %d: flags 0x%02x", o.n, o.k, plain[0])
		case o.empty:
			e.oweNow(o.n, up)
		case o.fin:
			e.finCame(o.n, up, e.wirePos(f, o.n, up, o.k))
		default:
			e.checkBytes(plain[tcpcrypt.FlagsLen:], o.n, up, o.k)
			e.came(o.n, up, o.k, o.at)
		}
		e.free(flowtable.Outside, o.m)
		e.follow(o.n)
	}
	e.opens, e.opening = e.opens[:0], e.opening[:0]
}

// checkBytes compares data with what was sent.
func (e *Ends) checkBytes(b []byte, n uint32, d direction, k uint64) {
	if at := pattern.Differs(b, e.flows[n].stream(n, d), int64(e.plainPos(n, k))); at >= 0 {
		e.wrong("connection %d: segment %d: byte %d of %d is wrong", n, k, at, len(b))
	}
}

// came notes that segment k of a direction has come, and is right.
func (e *Ends) came(n uint32, d direction, k uint64, at int64) {
	f := &e.flows[n]
	h := &f.halves[d]
	was, had := e.debt(h), h.got
	switch {
	case k < h.got:
		e.Again++
		e.oweNow(n, d)
		return
	case k == h.got:
		h.got++
		for ; h.beyond&1 != 0; h.beyond >>= 1 {
			h.got++
		}
		h.beyond >>= 1
	case k-h.got > 64:
		e.Disordered++
		e.oweNow(n, d)
		return // further ahead than is kept: it will come again
	default:
		bit := uint64(1) << (k - h.got - 1)
		if h.beyond&bit != 0 {
			e.Again++
			e.oweNow(n, d)
			return
		}
		h.beyond |= bit
		e.Disordered++
	}
	e.debts[d.reverse()] += e.debt(h) - was
	e.Arrived++
	e.ArrivedBytes += uint64(e.size(n, k))
	if h.probeAt != 0 && h.probe == k {
		e.Latency.Add(at - h.probeAt)
		h.probeAt = 0
	}
	switch {
	case h.beyond != 0, h.got > had+1: // RFC 5681 section 4.2: a gap, or a part of it, and its end
		e.oweNow(n, d)
	case h.got-h.told >= uint64(e.sc.Traffic.AckEvery):
		e.owe(n, d)
	}
	e.step(n)
}
