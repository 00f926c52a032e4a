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
func (w *Worker) passiveOpening(s flowtable.Side, p *packet.Packet, i flowtable.Index, r *flowtable.Record, now int64) {
	const syn, ack, rst = packet.FlagSYN, packet.FlagACK, packet.FlagRST
	switch {
	case p.Flags&rst != 0:
		w.passiveReset(s, p, i, r)
	case s == outside && opens(p) && r.State == flowtable.PassiveOffer:
		w.drop(p, shm.DropHeld)
	case s == outside && opens(p):
		w.peerSYNAgain(p, i, r, now)
	case s == inside && p.Flags&(syn|ack) == syn|ack && r.State != flowtable.PassiveOffer:
		w.answer(p, i, r, now)
	case s == outside && p.Flags&ack != 0 && r.State == flowtable.PassiveAck:
		w.confirm(p, i, r, now)
	case s == inside && opens(p) && r.State != flowtable.PassiveAck:
		w.simultaneousAnswer(p, i, r, now)
	case s == inside && r.State == flowtable.PassiveSyn:
		w.olderConnection(p, i, r)
	default:
		w.drop(p, shm.DropHandshake)
	}
}

// olderConnection handles a host that goes on with a connection it has already instead of answering the SYN. It may be one that
// the gateway never saw opened, and the SYN forged: it must not suffer. Where the far end has in truth forgotten it, the far
// end's RST ends it and the SYN comes again (RFC 9293 section 3.5.1).
func (w *Worker) olderConnection(p *packet.Packet, i flowtable.Index, r *flowtable.Record) {
	if w.ctl.Policy() == flowtable.Require {
		w.strayFromHost(p)
		return
	}
	w.remove(i, r)
	w.pass(inside, p)
}

// passiveReset passes a RST on, and forgets the connection where the RST is about it and not about an older one. One that the
// host would not take must not make the gateway forget: what came then would reach the host as if it were data.
func (w *Worker) passiveReset(s flowtable.Side, p *packet.Packet, i flowtable.Index, r *flowtable.Record) {
	about := p.Seq == r.Peer.ISN+1
	if s == inside {
		about = p.Seq == r.Host.ISN+1 || p.Flags&packet.FlagACK != 0 && p.Ack == r.Peer.ISN+1
	}
	if s == outside && r.State == flowtable.PassiveOffer {
		w.drop(p, shm.DropHandshake) // the host knows of nothing
	} else {
		w.pass(s, p)
	}
	if about {
		w.remove(i, r)
	}
}

// peerSYNAgain handles the far end's SYN where it comes again.
func (w *Worker) peerSYNAgain(p *packet.Packet, i flowtable.Index, r *flowtable.Record, now int64) {
	w.n[shm.HandshakeResent]++
	if p.Seq == r.Peer.ISN && r.State == flowtable.PassiveAck && p.Opt.Malformed {
		w.drop(p, shm.DropOptions)
		return
	}
	if p.Seq == r.Peer.ISN && p.Opt.ENOCount != 1 {
		// The far end has given ENO up, as it may between retransmissions (RFC 8547 section 4.6).
		w.hold(&w.blocks.all[r.Local.HsBlock], p)
		w.fallBack(i, r, outside, now)
		return
	}
	// With another sequence number it is about another connection: the host says what becomes of the two.
	w.forwardSYN(p, i, r, now)
}

// simultaneousAnswer leaves a connection that both ends open at once in the clear: see simultaneous.
func (w *Worker) simultaneousAnswer(p *packet.Packet, i flowtable.Index, r *flowtable.Record, now int64) {
	if w.ctl.Policy() == flowtable.Require {
		learn(&r.Host, p)
		w.n[shm.DropRefused]++
		w.refuseSYN(inside, p)
		w.resetPeer(r)
		w.remove(i, r)
		return
	}
	b := &w.blocks.all[r.Local.HsBlock]
	m := b.held
	b.held = nil
	w.n[shm.HandshakesFallback]++
	w.becomePlain(i, r, now)
	w.pass(inside, p)
	if m != nil {
		w.passBuffer(outside, m)
	}
}

// forwardSYN sends the far end's SYN to the host without ENO, without data (RFC 8547 section 4.7) and with room for frames.
func (w *Worker) forwardSYN(p *packet.Packet, i flowtable.Index, r *flowtable.Record, now int64) {
	ok := p.RemoveENO() && (p.Opt.TFOLen == 0 || !p.Opt.HasAny(packet.OptTFO) || p.RemoveTFO()) &&
		(p.PayloadLen == 0 || p.SetPayloadLen(0))
	if !ok {
		w.drop(p, shm.DropOptions)
		return
	}
	p.ClampMSS(w.mssForHost(r.Peer.MSS, p.Ver == 4))
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
	if r.State == flowtable.PassiveAck {
		w.n[shm.HandshakeResent]++
	}
	learn(&r.Host, p)
	capture(&r.Rare.ToWire, p)
	if p.Opt.HasAny(packet.OptBinding|packet.OptENO) || !p.InsertENO(w.blocks.all[r.Local.HsBlock].enoOf(roleB)) {
		w.answerPlain(p, i, r, now)
		return
	}
	p.ClampMSS(w.carried(p.Ver == 4))
	p.Finish(w.tx[outside].offload)
	w.tx[outside].push(p.M)
	w.table.SetState(i, flowtable.PassiveAck)
}

// answerPlain sends a SYN-ACK that can have no ENO option as it is, which turns encryption off, unless one with ENO is out
// already.
func (w *Worker) answerPlain(p *packet.Packet, i flowtable.Index, r *flowtable.Record, now int64) {
	if r.State == flowtable.PassiveAck {
		w.drop(p, shm.DropHandshake)
		return
	}
	w.hold(&w.blocks.all[r.Local.HsBlock], p)
	w.fallBack(i, r, inside, now)
}

// confirm handles the first ACK of the far end: only with ENO in it is encryption on (RFC 8547 section 4.6).
func (w *Worker) confirm(p *packet.Packet, i flowtable.Index, r *flowtable.Record, now int64) {
	switch at := p.Seq - (r.Peer.ISN + 1); {
	case p.Flags&packet.FlagSYN != 0 || p.Ack != r.Host.ISN+1 || at > r.Host.Win:
		// Not an answer to the SYN-ACK, or not in the window: an older connection's.
		w.drop(p, shm.DropHandshake)
		return
	case p.Opt.Malformed && p.Opt.HasAny(packet.OptENO):
		w.drop(p, shm.DropOptions)
		return
	case !p.Opt.HasAny(packet.OptENO):
		w.hold(&w.blocks.all[r.Local.HsBlock], p)
		w.fallBack(i, r, outside, now)
		return
	}
	agree(r)
	r.Role = flowtable.RoleB
	r.Peer.Win = uint32(p.Win) << r.Peer.WScale
	if p.Opt.Has(packet.OptTimestamps) {
		r.Peer.TSVal = p.Opt.TSVal
	}
	w.core.Start(i, r, now)
	r.Flags |= flowtable.FlagStarted
	w.table.SetState(i, flowtable.PassiveInit)
	w.translate(outside, p, i, r, now)
}

// passiveExchange handles segments while Init1 is collected or at the control plane.
func (w *Worker) passiveExchange(s flowtable.Side, p *packet.Packet, i flowtable.Index, r *flowtable.Record, now int64) {
	switch {
	case s == inside && p.Flags&packet.FlagRST != 0:
		w.cache.Free(p.M)
		w.abort(i, r, shm.ReasonReset, now)
	case s == inside && p.Flags&packet.FlagSYN != 0:
		w.drop(p, shm.DropHeld)
	case s == inside:
		w.drop(p, shm.DropHandshake)
	case p.Flags&packet.FlagRST != 0:
		w.wireReset(p, i, r)
	case p.Flags&packet.FlagSYN != 0:
		w.drop(p, shm.DropHandshake)
		w.ackPeer(r)
	case p.Opt.Malformed:
		w.drop(p, shm.DropOptions)
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
	if r.Flags&flowtable.FlagTimestamps != 0 {
		seg.HasTS, seg.TSVal, seg.TSEcr = true, r.Peer.TSVal, r.Host.TSVal
	}
	w.send(inside, template(&r.Rare.ToHost), &seg)
}

// ackPeer sends the far end an acknowledgement of what it was told last.
func (w *Worker) ackPeer(r *flowtable.Record) {
	seg := packet.Seg{
		Seq: r.Host.ISN + 1 + uint32(r.Egress.WNext), Ack: r.Peer.ISN + 1 + uint32(r.Ingress.WAcked),
		Win: r.Ingress.WinTold, Flags: packet.FlagACK,
	}
	if r.Flags&flowtable.FlagTimestamps != 0 {
		seg.HasTS, seg.TSVal, seg.TSEcr = true, r.Host.TSVal, r.Peer.TSVal
	}
	if r.Flags&flowtable.FlagSendENO != 0 {
		seg.ENO = enoACK
	}
	w.send(outside, template(&r.Rare.ToWire), &seg)
}

// window is the header's field for a window in bytes.
func window(bytes uint32, shift uint8) uint16 { return uint16(min(bytes>>shift, 0xffff)) }
