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
	m   *mbuf.Mbuf
	n   uint32
	k   uint64
	at  int64
	fin bool // it is the last one, and without data
}

// arrive takes the data of the packet at hand, of direction d, and reports whether it keeps the buffer until openAll.
func (e *Ends) arrive(n uint32, d direction, at int64) (keeps bool) {
	p, f := &e.pkt, &e.flows[n]
	h := &f.halves[d]
	pos := unwrap(p.Seq, f.isn[d], e.place(f, n, d, false, h.got))
	fin := p.Flags&packet.FlagFIN != 0
	if d == up && !f.plain {
		return e.frameCame(n, pos, at, fin)
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

// frameCame takes a frame at a position of the wire.
func (e *Ends) frameCame(n uint32, pos uint64, at int64, fin bool) (keeps bool) {
	p, f := &e.pkt, &e.flows[n]
	b := p.PayloadBytes()
	if int64(pos) < int64(f.base[up]) {
		e.initAgain(n)
		return false
	}
	k, begins := e.segmentAt(f, n, up, false, pos)
	size := tcpcrypt.Overhead
	if !fin {
		size += e.size(n, k)
	}
	h, err := tcpcrypt.ParseHeader(b)
	if !begins || err != nil || h.FrameLen() != size || len(b) != size || h.Control != 0 {
		e.wrong("connection %d: %d bytes at byte %d of the wire are not a frame of data that was sent", n, len(b), pos)
		return false
	}
	key, nr := e.keys.of(f, n, up)
	body := b[tcpcrypt.HeaderLen:]
	// The gateway may keep the frame to send it again, on a wire that hands buffers over: it is not to be written to.
	dst := e.plains[len(e.opens)][:]
	e.opens = append(e.opens, cryptobatch.Op{Key: key, Src: body, Dst: dst, AAD: b[:tcpcrypt.HeaderLen], Nonce: tcpcrypt.Nonce(*nr, pos)})
	e.opening = append(e.opening, opening{m: p.M, n: n, k: k, at: at, fin: fin})
	if len(e.opens) == cap(e.opens) {
		e.openAll()
	}
	return true
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
		case op.Status != cryptobatch.StatusOK:
			e.wrong("connection %d: frame %d: tag: %v", o.n, o.k, op.Status)
		case plain[0] != flags:
			e.wrong("connection %d: frame %d: flags 0x%02x", o.n, o.k, plain[0])
		case o.fin:
			e.finCame(o.n, up, e.wirePos(f, o.n, up, o.k))
		default:
			e.checkBytes(plain[tcpcrypt.FlagsLen:], o.n, up, o.k)
			e.came(o.n, up, o.k, o.at)
		}
		e.free(flowtable.Outside, o.m)
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
