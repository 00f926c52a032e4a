package worker

import (
	"linecrypt/ctrlplane/shm"
	"linecrypt/dataplane/handshake"
	"linecrypt/dataplane/packet"
	"linecrypt/flowtable"
)

// sendOwn sends a segment of the gateway's own that set-up asks for.
func (w *Worker) sendOwn(k handshake.ActionKind, i flowtable.Index, r *flowtable.Record, now int64) {
	switch k {
	case handshake.ActSendSYN:
		w.sendSYN(r)
	case handshake.ActSynAck:
		w.sendSynAck(r, true)
	case handshake.ActKept:
		w.sendSynAck(r, false)
	case handshake.ActAckPeer:
		w.ackPeer(i, r, now)
	case handshake.ActAckHost:
		w.ackHost(i, r, now)
	case handshake.ActResetHost:
		w.resetHost(r)
	case handshake.ActResetPeer:
		w.resetPeer(r)
	case handshake.ActAbortStream:
		// The reason is counted as that of set-up.
		w.core.Abort(i, r, shm.CounterNone, now, w.out)
	}
}

// sendSYN sends the host's SYN once more, without ENO, from what is known of it.
func (w *Worker) sendSYN(r *flowtable.Record) {
	var other [20]byte
	e := &r.Host
	o := append(other[:0], packet.KindMSS, 4, byte(e.MSS>>8), byte(e.MSS))
	if e.Flags&flowtable.EndpointSACK != 0 {
		o = append(o, packet.KindSACKPermitted, 2)
	}
	if e.Flags&flowtable.EndpointWScale != 0 {
		o = append(o, packet.KindNOP, packet.KindWScale, 3, e.WScale)
	}
	seg := packet.Seg{Seq: e.ISN, Win: window(e.Win, 0), Flags: packet.FlagSYN, Other: o}
	if e.Flags&flowtable.EndpointTS != 0 {
		seg.HasTS, seg.TSVal = true, e.TSVal
	}
	w.send(flowtable.Outside, template(&r.Rare.ToWire), &seg)
}

// sendSynAck gives the host the SYN-ACK that is kept: from here on its connection exists. Where it is encrypted ENO is off the SYN-ACK
// and the MSS is clamped. What finds no buffer is asked for by the host's next SYN.
func (w *Worker) sendSynAck(r *flowtable.Record, encrypted bool) {
	if r.Local.HsBlock == 0 {
		return
	}
	b := &w.blocks.all[r.Local.HsBlock]
	m := w.cache.Alloc()
	if m == nil {
		w.n[shm.DropNoBuffer]++
		return
	}
	p := &w.scratch
	if !m.Append(b.synAck[:b.nSynAck]) || p.Parse(m) != packet.TCP {
		w.n[shm.DropInternal]++
		w.cache.Free(m)
		return
	}
	if encrypted {
		p.RemoveENO()
		p.ClampMSS(w.mssForHost(r.Peer.MSS, p.Ver == 4))
	}
	p.Finish(w.tx[flowtable.Inside].offload)
	w.tx[flowtable.Inside].push(m)
}

// clamped is the MSS that leaves room for a frame's overhead.
func clamped(mss uint16) uint16 { return max(mss, overhead+1) - overhead }

// ackHost sends the host an acknowledgement of all that the far end acknowledged: the last ACK of connection set-up, or, before keys
// are in place, one that is at odds with what a host believes that has forgotten the connection.
func (w *Worker) ackHost(i flowtable.Index, r *flowtable.Record, now int64) {
	if r.State == flowtable.Encrypted {
		w.core.Acknowledge(i, r, flowtable.Inside, now, w.out)
		return
	}
	t := w.toHost(r)
	w.send(flowtable.Inside, &t, &packet.Seg{Seq: r.Peer.ISN + 1, Ack: r.Host.ISN + 1, Flags: packet.FlagACK})
}

// toHost returns the template for segments to the host; before the far end has sent one it is that of the host's turned round.
func (w *Worker) toHost(r *flowtable.Record) packet.Template {
	if template(&r.Rare.ToHost).Ver != 0 {
		return *template(&r.Rare.ToHost)
	}
	t := *template(&r.Rare.ToWire)
	t.Reverse()
	return t
}

// ackPeer sends the far end an acknowledgement of what it was told last; in front of the ACK that confirms ENO, one of its SYN, by
// which a far end that has got the SYN-ACK learns nothing else than from that.
func (w *Worker) ackPeer(i flowtable.Index, r *flowtable.Record, now int64) {
	if r.Flags&flowtable.FlagStarted != 0 {
		w.core.Acknowledge(i, r, flowtable.Outside, now, w.out)
		return
	}
	seg := packet.Seg{Seq: r.Host.ISN + 1, Ack: r.Peer.ISN + 1, Win: window(r.Host.Win, 0), Flags: packet.FlagACK, ENO: enoACK}
	both := r.Host.Flags & r.Peer.Flags
	if both&flowtable.EndpointWScale != 0 {
		seg.Win = window(r.Host.Win, r.Host.WScale)
	}
	if both&flowtable.EndpointTS != 0 {
		seg.HasTS, seg.TSVal, seg.TSEcr = true, r.Host.TSVal, r.Peer.TSVal
	}
	w.send(flowtable.Outside, template(&r.Rare.ToWire), &seg)
}

// window is the header's field for a window in bytes.
func window(bytes uint32, shift uint8) uint16 { return uint16(min(bytes>>shift, 0xffff)) }

// resetHost sends the host a RST: in SYN-SENT it takes one that acknowledges its SYN, in SYN-RECEIVED one at the sequence number
// that it expects.
func (w *Worker) resetHost(r *flowtable.Record) {
	if r.Host.Flags&flowtable.EndpointSYN == 0 {
		return
	}
	if r.Flags&flowtable.FlagActive == 0 {
		w.send(flowtable.Inside, template(&r.Rare.ToHost), &packet.Seg{Seq: r.Peer.ISN + 1, Flags: packet.FlagRST})
		return
	}
	t := *template(&r.Rare.ToWire)
	t.Reverse()
	w.send(flowtable.Inside, &t, &packet.Seg{Ack: r.Host.ISN + 1, Flags: packet.FlagRST | packet.FlagACK})
}

// resetPeer is resetHost for the far end. One that has not answered the host's SYN with its own is reset too where it may
// have got the SYN.
func (w *Worker) resetPeer(r *flowtable.Record) {
	seg := packet.Seg{Seq: r.Host.ISN + 1, Ack: r.Peer.ISN + 1, Flags: packet.FlagRST | packet.FlagACK}
	if r.Flags&flowtable.FlagActive != 0 {
		if r.Peer.Flags&flowtable.EndpointSYN == 0 {
			seg.Ack, seg.Flags = 0, packet.FlagRST
		}
		w.send(flowtable.Outside, template(&r.Rare.ToWire), &seg)
		return
	}
	if r.Host.Flags&flowtable.EndpointSYN == 0 {
		seg.Seq = 0
	}
	t := *template(&r.Rare.ToHost)
	t.Reverse()
	w.send(flowtable.Outside, &t, &seg)
}
