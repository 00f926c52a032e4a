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
	n := max(int(f.r.Peer.MSS), minMSS+tcpcrypt.Overhead) - f.tsOverhead()
	if limit := f.c.cfg.MaxPayload; limit > 0 {
		n = min(n, limit)
	}
	return n
}

// insidePayload is the largest payload of a segment to the host.
func (f *flow) insidePayload() int { return max(int(f.r.Host.MSS), minMSS) - f.tsOverhead() }

// toHost returns acknowledgement and window for a segment to the host, in header form, and remembers them.
func (f *flow) toHost() (ack uint32, win uint16) {
	e := &f.r.Egress
	e.AckTold = f.hostISN() + uint32(e.PUna)
	e.WinTold = f.hostWindow()
	return e.AckTold, e.WinTold
}

// hostWindow translates the far end's window to plaintext: what it still takes must hold the frames' overhead too.
func (f *flow) hostWindow() uint16 {
	e := &f.r.Egress
	edge := e.PNext
	if e.WEdge > e.WNext {
		free := uint32(min(e.WEdge-e.WNext, 1<<31))
		frame := uint32(f.wirePayload())
		if over := tcpcrypt.Overhead * ((free + frame - 1) / frame); over < free {
			edge += uint64(free - over)
		}
	} else if e.WEdge < e.WNext {
		edge = uint64(f.egressFloor(WPos(e.WEdge)))
	}
	if edge <= e.PUna {
		return 0
	}
	return uint16(min((edge-e.PUna)>>f.r.Peer.WScale, 65535))
}

// egressFloor returns the plaintext position of the largest frame boundary that is not behind w.
func (f *flow) egressFloor(w WPos) PPos {
	e := &f.r.Egress
	p := e.PUna
	it := f.c.chunks.Iter(&e.Queue)
	for en, _ := it.Next(); en != nil && en.WEnd+finLen(en) <= uint64(w); en, _ = it.Next() {
		p += plainLen(en)
	}
	return PPos(p)
}

// plainLen is what a frame takes of the plaintext stream, FIN included.
func plainLen(en *flowtable.Entry) uint64 { return uint64(en.Len) - uint64(en.Over) + finLen(en) }

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

// scarce reports whether there is.
func (c *Core) scarce() bool {
	return c.queued.used >= c.queued.total-c.queued.total/4 || c.cache.Avail() < c.cfg.PoolLow
}

// wireEdge translates the host's window to the wire. It leaves room for one frame's overhead: a frame is smaller than the
// window that allows it by just that. A frame in progress is always allowed to end. The edge moves back only with the host's.
func (f *flow) wireEdge() WPos {
	in := &f.r.Ingress
	edge := in.WAckH
	if in.PEdge > in.PAckH {
		edge += in.PEdge - in.PAckH + tcpcrypt.Overhead
	}
	if edge > in.WEdge && f.c.scarce() {
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
	return f.hostISN()+uint32(e.PUna) != e.AckTold || f.hostWindow() != e.WinTold
}

// ackWire sends the far end an acknowledgement of the gateway's own.
func (f *flow) ackWire() {
	if e := f.ownWireAck(); e != nil {
		f.storedSACK(e)
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
