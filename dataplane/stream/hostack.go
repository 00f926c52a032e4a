package stream

import (
	"linecrypt/ctrlplane/shm"
	"linecrypt/flowtable"
)

// ackNews is what an acknowledgement said that was not known before.
type ackNews struct {
	advanced bool // the acknowledgement number
	window   bool // the right edge
	dup      bool // neither: a duplicate
	own      bool // it acknowledges frames of the gateway's own, and nothing else
	answer   bool // a duplicate that may answer a keep-alive of the gateway's own
}

// hostAck takes acknowledgement and window of a host's segment that acknowledges plaintext up to a.
func (f *flow) hostAck(seg *Segment, a int64, news *ackNews) {
	in := &f.r.Ingress
	if a < int64(in.HostAck) {
		return
	}
	edge := uint64(a) + uint64(seg.Win)<<f.r.Host.WScale
	news.advanced = uint64(a) > in.HostAck
	news.window = edge != in.PEdge
	news.dup = !news.advanced && !news.window
	if edge < in.PEdge {
		in.Flags |= flowtable.IngressShrunk
	}
	in.PEdge = edge
	if news.advanced {
		in.HostAck = uint64(a)
		in.HostDups = 0
		f.advanceHost()
	} else if news.dup && seg.Len == 0 && in.HostDups < 255 {
		in.HostDups++
	}
	if l := &f.r.Local; !f.common && l.Filled != 0 && int16(filledAt(in.WAckH)-l.Filled) >= 0 {
		l.Filled = 0 // also where its acknowledgements come with data
	}
	if !f.common && f.r.Local.Reassembly != 0 {
		f.deliveryAcked(news)
	}
}

// advanceHost moves the acknowledged boundary over every frame the host has in full, those without plaintext included.
func (f *flow) advanceHost() {
	in := &f.r.Ingress
	for {
		run, _ := f.c.chunks.FrontRun(&in.Queue)
		n, w, p := 0, in.WAckH, in.PAckH
		for i := range run {
			en := &run[i]
			end := p + plainLen(en)
			if end > in.HostAck {
				break
			}
			w, p = en.WEnd, end
			n++
		}
		if n == 0 {
			break
		}
		in.WAckH, in.PAckH = w, p
		f.c.chunks.PopRun(&in.Queue, n)
		if n < len(run) {
			break
		}
	}
	if !f.common && f.r.Rare.OpenGen != 0 && f.r.Local.PrevKey != 0 && in.WAckH >= f.r.Rare.WRekey {
		f.c.keys.retire(f.r.Local.PrevKey)
		f.r.Local.PrevKey, f.r.Local.PrevNR = 0, [12]byte{}
		in.Flags |= flowtable.IngressStalled // a frame that begins the next generation may have waited for this
	}
}

// forwardHostAck passes a segment without payload on, translated, unless it tells the far end nothing.
func (f *flow) forwardHostAck(seg *Segment, news *ackNews) {
	if f.awaitsFilled(seg, news) {
		f.drop(seg.M, shm.AbsorbedAcks)
		return
	}
	in, e := &f.r.Ingress, &f.r.Egress
	oldAck, oldWin := in.AckTold, in.WinTold
	ack, win := f.toWire()
	em := f.emit(EmitForward, ToWire, seg.M, seg.Off, 0)
	if em == nil {
		return
	}
	repeats := f.hostSACK(seg, em)
	// What the host is missing of a frame that the gateway delivers is nothing to the far end.
	inside := !news.dup || in.WAcked > in.WAckH+1 || seg.repeats(f.peerISN()+uint32(in.HostAck))
	if ack == oldAck && win == oldWin && em.NSACK == 0 && inside {
		f.absorb(em)
		return
	}
	f.queuedSACK(em)
	moveHeaders(seg.M, seg.Off, seg.Off, 0)
	em.Seq, em.Ack, em.Win = f.hostISN()+uint32(e.WNext), ack, win
	f.stampWire(em, seg)
	if repeats && news.advanced {
		// The host answers the retransmission, as its first answer was lost inside: what it echoes is older, see reportTwice.
		em.TSEcr, em.NewTS = f.r.Peer.TSVal, seg.HasTS
	}
	em.Flags = seg.Flags &^ (URG | SYN)
}

// awaitsFilled reports whether an acknowledgement is for some of what was delivered when a hole was filled, and others follow. A receiver
// acknowledges all of that at once; the host, which gets it from the gateway segment by segment, does not. Where there are no selective
// acknowledgements, a sender takes each of its acknowledgements for the sign of another hole (RFC 6582 section 3.2) and sends again what has
// arrived, and for how long the path takes.
func (f *flow) awaitsFilled(seg *Segment, news *ackNews) bool {
	l := &f.r.Local
	if l.Filled == 0 {
		return false
	}
	if news.advanced && seg.NSACK == 0 {
		return true
	}
	l.Filled = 0
	return false
}

// filledAt is a wire position as Local.Filled has it.
func filledAt(w uint64) uint16 { return uint16(w>>8) | 1 }

// absorb takes back the last emit, an acknowledgement that is not to be passed on.
func (f *flow) absorb(em *Emit) {
	f.drop(em.M, shm.AbsorbedAcks)
	*em = Emit{}
	f.out.Emits = f.out.Emits[:len(f.out.Emits)-1]
}

// repeats reports whether the segment's first SACK block lies below ack: it tells of something received twice
// (RFC 2883 section 4).
func (s *Segment) repeats(ack uint32) bool { return s.NSACK > 0 && later(ack, s.SACK[0][1]) }

// hostNext is the plaintext position of the next byte to be sent to the host.
func (f *flow) hostNext() PPos {
	in := &f.r.Ingress
	if ra := f.reassembly(); ra != nil && ra.unsent(f.c) {
		return ra.sent
	}
	return PPos(in.PNext)
}

// checkClosed tells the caller once that both directions are finished.
func (f *flow) checkClosed() {
	e, in := &f.r.Egress, &f.r.Ingress
	if in.Flags&flowtable.IngressClosed != 0 {
		f.r.Rare.Linger = f.now + f.c.cfg.Linger // somebody has missed the end and asks again
		return
	}
	if in.Flags&flowtable.IngressFINp == 0 || e.Flags&flowtable.EgressFIN == 0 {
		return
	}
	if e.WUna == e.WNext && in.HostAck == in.PNext {
		in.Flags |= flowtable.IngressClosed
		f.r.Rare.Linger = f.now + f.c.cfg.Linger
		f.event(EventClosed, shm.CounterNone, nil)
	}
}
