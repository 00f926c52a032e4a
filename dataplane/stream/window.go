package stream

import (
	"math"

	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/flowtable"
)

// tsLen is what timestamps take of every segment, with padding (RFC 7323 section 3.2).
const tsLen = 12

// minMSS keeps divisions and loops sane where an end announced a tiny segment size.
const minMSS = 64

func (f *flow) tsOverhead() int {
	if f.r.Flags&flowtable.FlagTimestamps != 0 {
		return tsLen
	}
	return 0
}

// wirePayload is the largest payload of a segment to the wire.
func (f *flow) wirePayload() int {
	n := max(int(bounded(f.r.Peer.MSS, f.r.Local.PeerPath)), minMSS+tcpcrypt.Overhead) - f.tsOverhead()
	if limit := f.c.cfg.MaxPayload; limit > 0 {
		n = min(n, limit)
	}
	return n
}

// insidePayload is the largest payload of a segment to the host.
func (f *flow) insidePayload() int {
	return max(int(bounded(f.r.Host.MSS, f.r.Local.HostPath)), minMSS) - f.tsOverhead()
}

// bounded is what an end announced as its MSS, where the path to it takes that; a path of 0 takes anything.
func bounded(mss, path uint16) uint16 {
	if path == 0 {
		return mss
	}
	return min(mss, path)
}

// toHost returns acknowledgement and window for a segment to the host, in header form, and remembers them.
func (f *flow) toHost() (ack uint32, win uint16) {
	e := &f.r.Egress
	e.AckTold = f.hostISN() + uint32(f.acked())
	win, limited := f.hostWindow()
	e.WinTold = win
	if limited {
		f.count(shm.WindowLimited)
	}
	if edge := e.AckTold + uint32(win)<<f.r.Peer.WScale; later(edge, e.EdgeTold) {
		e.EdgeTold = edge
	}
	return e.AckTold, e.WinTold
}

// acked returns the plaintext position that is acknowledged to the host.
func (f *flow) acked() uint64 { return f.r.Egress.PUna + uint64(f.r.Egress.PartAcked) }

// hostWindow translates the far end's window to plaintext: what it still takes must hold the frames' overhead too. It ends with the
// flow's share in what may be in flight, if that comes first; limited says so.
func (f *flow) hostWindow() (win uint16, limited bool) {
	e := &f.r.Egress
	edge := e.PNext
	if f.segment == 0 {
		f.segment = int32(f.wirePayload())
	}
	frame := uint32(f.segment)
	if e.WEdge > e.WNext {
		free := uint32(min(e.WEdge-e.WNext, 1<<31))
		if over := tcpcrypt.Overhead * ((free + frame - 1) / frame); over < free {
			edge += uint64(free - over)
		}
	} else if e.WEdge < e.WNext {
		edge = uint64(f.egressFloor(WPos(e.WEdge)))
	}
	una := f.acked()
	if edge <= una {
		return 0, false
	}
	shift := f.r.Peer.WScale
	win = uint16(min((edge-una)>>shift, 65535))
	if edge <= e.PNext || later(e.EdgeTold, f.hostISN()+uint32(una)+uint32(win)<<shift) {
		return win, false
	}
	share := f.shareEdge(edge, int(frame)-tcpcrypt.Overhead)
	return uint16(min((share-una)>>shift, 65535)), share < edge
}

// egressFloor returns the plaintext position of the largest frame boundary that is not behind w.
func (f *flow) egressFloor(w WPos) PPos {
	e := &f.r.Egress
	p := e.PUna
	it := f.c.chunks.Iter(&e.Queue)
	for {
		if _, end, next, ok := it.Chunk(); ok && end <= uint64(w) {
			it.SkipChunk()
			p = next
			continue
		}
		en, _ := it.Next()
		if en == nil || en.WEnd+finLen(en) > uint64(w) {
			return PPos(p)
		}
		p += plainLen(en)
	}
}

// plainLen is what a frame takes of the plaintext stream, FIN included.
func plainLen(en *flowtable.Entry) uint64 { return uint64(en.Plain()) + finLen(en) }

// finLen is what follows the frame in the wire stream: the position of its FIN.
func finLen(en *flowtable.Entry) uint64 { return uint64(en.Flags & flowtable.EntryFIN) }

// toWire returns acknowledgement and window for a segment to the wire, in header form, and remembers them.
func (f *flow) toWire() (ack uint32, win uint16) {
	in := &f.r.Ingress
	w := f.wireAck()
	edge := f.wireEdge()
	if edge > w {
		win = uint16(min(uint64(edge-w)>>f.r.Host.WScale, 65535))
	}
	in.AckTold, in.WinTold = f.peerISN()+uint32(w), win
	return in.AckTold, in.WinTold
}

// wireAck returns what the gateway acknowledges to the far end: what the host acknowledged, frames it delivers itself behind it, and
// the received bytes of the frame in progress behind those.
func (f *flow) wireAck() WPos {
	in := &f.r.Ingress
	w := in.WAckH
	if ra := f.reassembly(); ra != nil {
		w = f.reassembled(ra)
	}
	if in.Flags&flowtable.IngressFINp != 0 && in.HostAck == in.PNext && in.Flags&flowtable.IngressWireFIN != 0 && w == f.r.Rare.WFin {
		w++
	}
	in.WAcked = max(in.WAcked, w)
	return WPos(in.WAcked)
}

// scarceWindow is what the far ends are allowed to send at a time while there is little room for what may arrive out of order.
const scarceWindow = 32 << 10

// crowded reports whether there is for those of the flow's peer: while three quarters of the places are taken, for a peer that has half of its
// share of them, and for no other.
func (f *flow) crowded() bool {
	q := &f.c.queued
	return f.c.scarce || q.scarce() && 2*int(q.held[f.c.peerOf(f.r)]) > q.least()
}

// wireEdge translates the host's window to the wire. It leaves room for one frame's overhead: a frame is smaller than the
// window that allows it by just that. A frame in progress is always allowed to end. The edge moves back only with the host's.
func (f *flow) wireEdge() WPos {
	in := &f.r.Ingress
	edge := in.WAckH
	if in.PEdge > in.PAckH {
		edge += in.PEdge - in.PAckH + tcpcrypt.Overhead
	}
	if edge > in.WEdge && f.crowded() {
		edge = max(in.WEdge, min(edge, in.WAcked+scarceWindow))
	}
	if a := f.inProgress(); a != nil {
		if end := a.edge(); end > 0 {
			edge = max(edge, end+1<<f.r.Host.WScale-1) // the header rounds down, and must not leave the last bytes out
		}
	}
	if edge >= in.WEdge {
		in.WEdge = edge
		in.Flags &^= flowtable.IngressShrunk
	} else if in.Flags&flowtable.IngressShrunk == 0 {
		edge = in.WEdge
	}
	return WPos(edge)
}

// wireNews reports whether the wire has not been told the current acknowledgement.
func (f *flow) wireNews() bool {
	in := &f.r.Ingress
	return f.peerISN()+uint32(f.wireAck()) != in.AckTold
}

// hostNews reports whether the host has not been told the current acknowledgement or window.
func (f *flow) hostNews() bool {
	e := &f.r.Egress
	win, _ := f.hostWindow()
	return f.hostISN()+uint32(f.acked()) != e.AckTold || win != e.WinTold
}

// ackWire sends the far end an acknowledgement of the gateway's own.
func (f *flow) ackWire() {
	if e := f.ownWireAck(); e != nil {
		f.queuedSACK(e)
	}
}

// ownWireAck is an acknowledgement for the far end without SACK blocks; nil where none can be made.
func (f *flow) ownWireAck() *Emit {
	e := f.build(ToWire)
	if e != nil {
		f.count(shm.OwnAcks)
		e.Seq = f.hostISN() + uint32(f.r.Egress.WNext)
		e.Ack, e.Win = f.toWire()
	}
	return e
}

// ackHost sends the host an acknowledgement of the gateway's own.
func (f *flow) ackHost() {
	if e := f.ownHostAck(); e != nil && f.r.Local.Gap != 0 && f.tellable(e) {
		f.gapSACK(e, math.MaxUint32)
	}
}

// ownHostAck is an acknowledgement for the host without SACK blocks; nil where none can be made.
func (f *flow) ownHostAck() *Emit {
	if f.r.Ingress.Flags&flowtable.IngressKeys == 0 {
		return nil
	}
	e := f.build(ToHost)
	if e != nil {
		f.count(shm.OwnAcks)
		e.Seq = f.peerISN() + uint32(f.hostNext())
		e.Ack, e.Win = f.toHost()
	}
	return e
}
