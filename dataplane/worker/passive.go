package worker

import (
	"linecrypt/ctrlplane/shm"
	"linecrypt/dataplane/packet"
	"linecrypt/flowtable"
)

// The passive side: the far end opens the connection and the gateway plays role B.
//
//	SYN + ENO           held; the control plane makes the answer              PassiveOffer
//	                    SYN without ENO to the host                           PassiveSyn
//	host SYN-ACK        goes out with the answer                              PassiveAck
//	ACK + ENO (+Init1)  ENO is confirmed; Init1 is collected                  PassiveInit
//	Init1               -> the control plane makes Init2 and the keys         PassiveKeys
//	                    Init2 out; only now the last ACK goes to the host     Encrypted

// passiveOpening handles segments before ENO is confirmed.
func (w *Worker) passiveOpening(s side, p *packet.Packet, i flowtable.Index, r *flowtable.Record, now int64) {
	const syn, ack, rst = packet.FlagSYN, packet.FlagACK, packet.FlagRST
	switch {
	case p.Flags&rst != 0:
		w.pass(s, p)
		w.remove(i, r)
	case s == outside && opens(p) && r.State == flowtable.PassiveOffer:
		w.drop(p, shm.DropHeld)
	case s == outside && opens(p):
		w.forwardSYN(p, i, r, now)
	case s == inside && p.Flags&(syn|ack) == syn|ack && r.State != flowtable.PassiveOffer:
		w.answer(p, i, r, now)
	case s == outside && p.Flags&ack != 0 && r.State == flowtable.PassiveAck:
		w.confirm(p, i, r, now)
	case s == inside && opens(p):
		// Simultaneous open: see activeOpening.
		w.becomePlain(i, r, now)
		w.pass(s, p)
	default:
		w.drop(p, shm.DropHandshake)
	}
}

// forwardSYN sends the far end's SYN to the host without ENO, without data (RFC 8547 section 4.7) and with room for frames.
func (w *Worker) forwardSYN(p *packet.Packet, i flowtable.Index, r *flowtable.Record, now int64) {
	ok := p.RemoveENO() && (p.Opt.TFOLen == 0 || !p.Opt.HasAny(packet.OptTFO) || p.RemoveTFO()) &&
		(p.PayloadLen == 0 || p.SetPayloadLen(0))
	if !ok {
		w.hold(&w.blocks.all[r.HsBlock], p)
		w.fallBack(i, r, outside, now)
		return
	}
	p.ClampMSS(clamped(r.Peer.MSS))
	p.Finish(w.tx[inside].offload)
	w.tx[inside].push(p.M)
	if r.State == flowtable.PassiveOffer {
		w.table.SetState(i, flowtable.PassiveSyn)
	}
}

// answer sends the host's SYN-ACK out with our ENO option.
func (w *Worker) answer(p *packet.Packet, i flowtable.Index, r *flowtable.Record, now int64) {
	if p.Ack != r.Peer.ISN+1 {
		w.pass(inside, p)
		return
	}
	b := &w.blocks.all[r.HsBlock]
	if p.Opt.HasAny(packet.OptBinding|packet.OptENO) || !p.InsertENO(b.enoOf(roleB)) {
		w.hold(b, p)
		w.fallBack(i, r, inside, now)
		return
	}
	learn(&r.Host, p)
	capture(&r.ToWire, p)
	p.Finish(w.tx[outside].offload)
	w.tx[outside].push(p.M)
	w.table.SetState(i, flowtable.PassiveAck)
}

// confirm handles the first ACK of the far end: only with ENO in it is encryption on (RFC 8547 section 4.6).
func (w *Worker) confirm(p *packet.Packet, i flowtable.Index, r *flowtable.Record, now int64) {
	if p.Flags&packet.FlagSYN != 0 || p.Ack != r.Host.ISN+1 {
		w.pass(outside, p)
		return
	}
	if !p.Opt.HasAny(packet.OptENO) {
		w.hold(&w.blocks.all[r.HsBlock], p)
		w.fallBack(i, r, outside, now)
		return
	}
	agree(r)
	r.Role = 2
	r.Peer.Win = uint32(p.Win) << r.Peer.WScale
	if p.Opt.Has(packet.OptTimestamps) {
		r.Peer.TSVal = p.Opt.TSVal
	}
	w.core.Start(i, r, now)
	r.HostFlags |= flowtable.FlagStarted
	w.table.SetState(i, flowtable.PassiveInit)
	w.translate(outside, p, i, r, now)
}

// passiveExchange handles segments while Init1 is collected or at the control plane.
func (w *Worker) passiveExchange(s side, p *packet.Packet, i flowtable.Index, r *flowtable.Record, now int64) {
	switch {
	case p.Flags&packet.FlagSYN != 0:
		w.drop(p, shm.DropHeld)
	case s == inside && p.Flags&packet.FlagRST != 0:
		w.cache.Free(p.M)
		w.abort(i, r, shm.ReasonReset, now)
	case s == inside:
		w.drop(p, shm.DropHandshake)
	case p.Flags&packet.FlagRST != 0:
		if p.Seq != w.expectedFromPeer(r) {
			w.drop(p, shm.DropHandshake)
			return
		}
		w.cache.Free(p.M)
		w.send(inside, template(&r.ToHost), &packet.Seg{Seq: r.Peer.ISN + 1, Flags: packet.FlagRST})
		w.remove(i, r)
	default:
		w.translate(s, p, i, r, now)
	}
}

// ackHost sends the host an acknowledgement of all that the far end acknowledged: the last ACK of connection set-up.
func (w *Worker) ackHost(r *flowtable.Record) {
	seg := packet.Seg{
		Seq: r.Peer.ISN + 1 + uint32(r.Ingress.PNext), Ack: r.Host.ISN + 1 + uint32(r.Egress.PUna),
		Win: window(r.Peer.Win, r.Peer.WScale), Flags: packet.FlagACK,
	}
	if r.HostFlags&flowtable.FlagTimestamps != 0 {
		seg.HasTS, seg.TSVal, seg.TSEcr = true, r.Peer.TSVal, r.Host.TSVal
	}
	w.send(inside, template(&r.ToHost), &seg)
}

// ackPeer sends the far end an acknowledgement of what it was told last.
func (w *Worker) ackPeer(r *flowtable.Record) {
	seg := packet.Seg{
		Seq: r.Host.ISN + 1 + uint32(r.Egress.WNext), Ack: r.Peer.ISN + 1 + uint32(r.Ingress.WAcked),
		Win: r.Ingress.WinTold, Flags: packet.FlagACK,
	}
	if r.HostFlags&flowtable.FlagTimestamps != 0 {
		seg.HasTS, seg.TSVal, seg.TSEcr = true, r.Host.TSVal, r.Peer.TSVal
	}
	w.send(outside, template(&r.ToWire), &seg)
}

// window is the header's field for a window in bytes.
func window(bytes uint32, shift uint8) uint16 { return uint16(min(bytes>>shift, 0xffff)) }
