package stream

import (
	"math"

	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/flowtable"
)

// ackFromWire takes acknowledgement and window of an acceptable wire segment at position w that acknowledges the wire up to a.
func (f *flow) ackFromWire(seg *Segment, w, a int64, news *ackNews) {
	e := &f.r.Egress
	if a < int64(e.WAck) {
		return
	}
	edge := uint64(a) + uint64(seg.Win)<<f.r.Peer.WScale
	news.advanced = uint64(a) > e.WAck
	// A segment that was overtaken must not take the window back (RFC 9293 section 3.10.7.4).
	if news.advanced || w > int64(e.WL1) || edge > e.WEdge {
		news.window = edge != e.WEdge
		e.WEdge = edge
		e.WL1 = uint64(max(w, int64(e.WL1)))
	}
	news.dup = !news.advanced && !news.window
	if news.advanced {
		e.WAck, e.Dups = uint64(a), 0
		f.advanceWire()
	} else if seg.Win == 0 && e.Queue.Count > 0 {
		f.progress() // a far end that answers, and has no room, lives (RFC 9293 section 3.8.6.1)
	} else if news.dup && seg.Len == 0 && e.Queue.Count > 0 {
		f.wireDup()
	}
}

// advanceWire frees every frame the far end has in full.
func (f *flow) advanceWire() {
	e := &f.r.Egress
	popped := false
	for {
		run, id := f.c.chunks.FrontRun(&e.Queue)
		n, w, p := 0, e.WUna, e.PUna
		for i := range run {
			en := &run[i]
			fin := finLen(en)
			if en.WEnd+fin > e.WAck {
				break
			}
			w = en.WEnd + fin
			p += uint64(en.Plain()) + fin
			n++
		}
		if n == 0 {
			break
		}
		e.WUna, e.PUna = w, p
		f.c.popRun(f.r, id, n)
		popped = true
		if n < len(run) {
			break
		}
	}
	if popped {
		e.PartAcked = 0
		f.progress()
		if !f.common && f.r.Local.OldKeys != 0 {
			f.c.dropOldKeys(f.r, e.WUna)
		}
		f.armOwn()
		if !f.common && e.Queue.Count == 0 && f.lags() {
			f.r.Rare.OwnTimer = f.now // answers have waited for this, see mayAnswer
		}
	}
}

// wireDup counts duplicate acknowledgements: what the gateway made itself, nobody else sends again.
func (f *flow) wireDup() {
	e := &f.r.Egress
	if e.Dups < 255 {
		e.Dups++
	}
	if e.Dups != 3 {
		return
	}
	if en, id := f.c.chunks.Front(&e.Queue); en.Flags&flowtable.EntryOwn != 0 {
		f.resendOwn(en, id)
	}
}

// ownShrink is by how many bytes frames of the gateway's own may make the far end's window smaller without a word to the host.
const ownShrink = 4 * tcpcrypt.Overhead

// forwardWireAck passes a wire segment without payload on, translated, unless it tells the host nothing.
func (f *flow) forwardWireAck(seg *Segment, news *ackNews) {
	if f.r.Ingress.Flags&flowtable.IngressKeys == 0 {
		f.c.cache.Free(seg.M)
		return
	}
	e := &f.r.Egress
	oldAck, oldWin := e.AckTold, e.WinTold
	ack, win := f.toHost()
	told := ack == oldAck && (win == oldWin || news.own && win < oldWin && oldWin-win <= ownShrink>>f.r.Peer.WScale+1)
	em := f.emit(EmitForward, ToHost, seg.M, seg.Off, 0)
	if em == nil {
		return
	}
	em.Ack, em.Win = ack, win
	f.wireSACK(seg, em)
	if !f.common && f.r.Local.Gap != 0 && f.tellable(em) {
		f.gapSACK(em, math.MaxUint32)
	}
	if told && em.NSACK == 0 && (!news.dup || news.answer || seg.repeats(f.hostISN()+uint32(e.WAck))) {
		e.WinTold = oldWin
		f.absorb(em)
		return
	}
	moveHeaders(seg.M, seg.Off, seg.Off, 0)
	em.Seq = f.peerISN() + uint32(f.hostNext())
	f.stampHost(em, seg)
	em.Flags = seg.Flags &^ (URG | SYN | FIN)
}
