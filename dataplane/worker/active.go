package worker

import (
	"linecrypt/ctrlplane/shm"
	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/packet"
	"linecrypt/flowtable"
)

// The active side: the inside host opens the connection and the gateway plays role A.
//
//	host SYN    held; the control plane offers -> SYN + ENO out               ActiveOffer, ActiveSyn
//	SYN-ACK     held; ENO in it -> the control plane makes Init1              ActiveAnswer
//	            ACK + ENO + Init1 out; Init2 is collected                     ActiveInit
//	Init2       -> the control plane agrees on keys                           ActiveKeys
//	            keys in place; only now the SYN-ACK goes to the host          Encrypted

// activeOpening handles segments before Init1 is sent.
func (w *Worker) activeOpening(s flowtable.Side, p *packet.Packet, i flowtable.Index, r *flowtable.Record, now int64) {
	const syn, ack, rst = packet.FlagSYN, packet.FlagACK, packet.FlagRST
	switch {
	case p.Flags&rst != 0:
		w.activeReset(s, p, i, r)
	case s == inside && opens(p):
		w.hostSYNAgain(p, i, r, now)
	case s == inside:
		w.strayFromHost(p)
	case p.Flags&(syn|ack) == syn:
		w.simultaneous(p, i, r, now)
	case p.Flags&(syn|ack) == syn|ack && r.State == flowtable.ActiveSyn:
		w.synAck(p, i, r, now)
	case p.Flags&(syn|ack) == syn|ack:
		w.drop(p, shm.DropHeld)
	case p.Flags&ack != 0 && r.State == flowtable.ActiveSyn:
		// The far end answers for a connection that the host has forgotten; the host's RST ends that (RFC 9293 section 3.5.1).
		w.pass(s, p)
	default:
		w.drop(p, shm.DropHandshake)
	}
}

// activeReset passes a RST on, and forgets the connection where the RST is about it and not about an older one.
func (w *Worker) activeReset(s flowtable.Side, p *packet.Packet, i flowtable.Index, r *flowtable.Record) {
	switch {
	case s == inside:
		w.pass(s, p)
		if p.Seq == r.Host.ISN || p.Seq == r.Host.ISN+1 {
			w.remove(i, r)
		}
	case r.State == flowtable.ActiveAnswer && p.Seq == r.Peer.ISN+1:
		// The host does not know yet that the far end has answered.
		w.cache.Free(p.M)
		w.resetHost(r)
		w.remove(i, r)
	default:
		w.pass(s, p)
		if p.Flags&packet.FlagACK != 0 && p.Ack == r.Host.ISN+1 {
			w.remove(i, r)
		}
	}
}

// strayFromHost passes what a host that opens or accepts a connection says of an older one, but for its data: that connection
// may have been encrypted.
func (w *Worker) strayFromHost(p *packet.Packet) {
	if p.PayloadLen > 0 || p.Flags&packet.FlagACK == 0 {
		w.drop(p, shm.DropHandshake)
		return
	}
	w.pass(inside, p)
}

// hostSYNAgain handles the host's retransmission of its SYN.
func (w *Worker) hostSYNAgain(p *packet.Packet, i flowtable.Index, r *flowtable.Record, now int64) {
	if r.State != flowtable.ActiveSyn {
		w.drop(p, shm.DropHeld)
		return
	}
	w.n[shm.HandshakeResent]++
	r.Rare.Resent++
	b := &w.blocks.all[r.Local.HsBlock]
	if int(r.Rare.Resent) >= w.params.ENOTries && w.ctl.Policy() != flowtable.Require {
		// Something on the path may drop SYNs with an option it does not know (RFC 8547 section 4.6 allows this).
		w.n[shm.SynWithoutENO]++
		w.n[shm.HandshakesFallback]++
		w.becomePlain(i, r, now)
		w.pass(inside, p)
		return
	}
	if p.Opt.Has(packet.OptTimestamps) && !p.Opt.Malformed {
		// The far end takes no older timestamp from the gateway than this (RFC 7323 section 5.3).
		r.Host.TSVal = p.Opt.TSVal
	}
	w.sendOffer(p, i, r, b, now)
}

// sendOffer sends the host's SYN with the ENO option that the control plane gave, or, where the option does not fit, without.
func (w *Worker) sendOffer(p *packet.Packet, i flowtable.Index, r *flowtable.Record, b *block, now int64) {
	opt := b.enoOf(roleA)
	if !fits(p, opt) {
		w.hold(b, p)
		w.fallBack(i, r, inside, now)
		return
	}
	// Removing the cookie, and with it the data that it vouches for, keeps RFC 8547 section 4.7.
	ok := !p.Opt.HasAny(packet.OptTFO) || p.Opt.TFOLen == 0 || p.RemoveTFO()
	ok = ok && (p.PayloadLen == 0 || p.SetPayloadLen(0)) && p.InsertENO(opt)
	if !ok {
		// The host sends again, and then what is said of it is held as it came.
		w.drop(p, shm.DropInternal)
		return
	}
	p.ClampMSS(w.carried(p.Ver == 4))
	p.Finish(w.tx[outside].offload)
	w.tx[outside].push(p.M)
}

// fits reports whether an ENO option that may be put on the segment finds room in it, once a Fast Open cookie is gone.
func fits(p *packet.Packet, opt []byte) bool {
	if p.Opt.Malformed || len(opt) < 2 || opt[0] != packet.KindENO || int(opt[1]) != len(opt) {
		return false
	}
	room := p.OptionRoom()
	if p.Opt.HasAny(packet.OptTFO) && p.Opt.TFOLen > 0 {
		room += int(p.Opt.TFOLen) + 2
	}
	return room >= len(opt) && p.M.HeadroomLen() >= packet.MaxOptions
}

// simultaneous leaves a connection that both ends open at once in the clear: both say b=0 (RFC 8547 section 4.3) and, since the
// SYN told so, no SYN-ACK needs ENO (section 4.6).
func (w *Worker) simultaneous(p *packet.Packet, i flowtable.Index, r *flowtable.Record, now int64) {
	learn(&r.Peer, p)
	if w.ctl.Policy() == flowtable.Require {
		w.n[shm.DropRefused]++
		w.refuseSYN(outside, p)
		w.refuse(i, r, now)
		return
	}
	w.fallBack(i, r, inside, now)
	if !p.Opt.HasAny(packet.OptENO) || !p.RemoveENO() {
		w.pass(outside, p)
		return
	}
	p.Finish(w.tx[inside].offload)
	w.passBuffer(outside, p.M)
}

// synAck handles the far end's answer to SYN + ENO.
func (w *Worker) synAck(p *packet.Packet, i flowtable.Index, r *flowtable.Record, now int64) {
	if p.Ack != r.Host.ISN+1 {
		w.pass(outside, p)
		return
	}
	b := &w.blocks.all[r.Local.HsBlock]
	w.hold(b, p)
	learn(&r.Peer, p)
	if p.Opt.Malformed || p.Opt.ENOCount != 1 || p.Opt.ENOLen < 2 || p.Opt.HasAny(packet.OptBinding) {
		w.fallBack(i, r, outside, now)
		return
	}
	capture(&r.Rare.ToHost, p)
	agree(r)
	b.setENO(roleB, p.ENO())
	w.table.SetState(i, flowtable.ActiveAnswer)
	w.ask(r, b, shm.ActiveAnswer, now)
	w.schedule(i, r)
}

// sendInit1 sends ACK + ENO + Init1.
func (w *Worker) sendInit1(i flowtable.Index, r *flowtable.Record, rep *shm.Reply, now int64) {
	b := &w.blocks.all[r.Local.HsBlock]
	b.setSecret(rep.Secret)
	b.setInit(roleA, rep.Init)
	r.TEP, r.Role = rep.TEP, flowtable.RoleA
	w.core.Start(i, r, now)
	r.Flags |= flowtable.FlagStarted | flowtable.FlagSendENO
	w.table.SetState(i, flowtable.ActiveInit)
	if !w.core.QueueInit(i, r, b.initOf(roleA), now, w.out) {
		// Nothing of ENO has been confirmed, so the connection may still be plain.
		r.Flags &^= flowtable.FlagSendENO
		w.fallBack(i, r, outside, now)
		return
	}
	b.ask = 0
	w.schedule(i, r)
}

// activeExchange handles segments while Init2 is awaited or at the control plane.
func (w *Worker) activeExchange(s flowtable.Side, p *packet.Packet, i flowtable.Index, r *flowtable.Record, now int64) {
	switch {
	case s == inside && p.Flags&packet.FlagRST != 0:
		w.cache.Free(p.M)
		w.abort(i, r, shm.ReasonReset, now)
	case s == inside:
		w.drop(p, shm.DropHeld)
	case p.Flags&packet.FlagRST != 0:
		w.wireReset(p, i, r)
	case p.Flags&packet.FlagSYN != 0:
		w.drop(p, shm.DropHeld)
		w.ackPeer(r)
	case p.Opt.Malformed:
		w.drop(p, shm.DropOptions)
	default:
		r.Flags &^= flowtable.FlagSendENO
		w.translate(s, p, i, r, now)
	}
}

// wireReset handles the far end's RST while Init messages are under way: one that is where it must be ends the connection, for
// another in the window the far end is asked to confirm it (RFC 5961 section 3.2).
func (w *Worker) wireReset(p *packet.Packet, i flowtable.Index, r *flowtable.Record) {
	at := p.Seq - (r.Peer.ISN + 1)
	in := &r.Ingress
	if at != uint32(in.WNext) && at != uint32(in.WAcked) {
		w.drop(p, shm.DropHandshake)
		if at < r.Host.Win {
			w.ackPeer(r)
		}
		return
	}
	w.cache.Free(p.M)
	w.n[shm.HandshakesAborted]++
	w.resetHost(r)
	w.remove(i, r)
}

// releaseSynAck lets the host have the SYN-ACK: from here on its connection exists and is encrypted.
func (w *Worker) releaseSynAck(i flowtable.Index, r *flowtable.Record) {
	b := &w.blocks.all[r.Local.HsBlock]
	m := b.held
	b.held = nil
	if m == nil {
		return
	}
	p := &w.scratch
	if p.Parse(m) != packet.TCP {
		w.drop(p, shm.DropHandshake)
		return
	}
	p.RemoveENO()
	if p.PayloadLen > 0 {
		p.SetPayloadLen(0)
	}
	p.ClampMSS(w.mssForHost(r.Peer.MSS, p.Ver == 4))
	p.Finish(w.tx[inside].offload)
	b.copy = w.clone(m)
	w.tx[inside].push(m)
}

// clamped is the MSS that leaves room for a frame's overhead.
func clamped(mss uint16) uint16 { return max(mss, overhead+1) - overhead }

// clone copies a packet, or returns nil when no buffer is free.
func (w *Worker) clone(m *mbuf.Mbuf) *mbuf.Mbuf {
	c := w.cache.Alloc()
	if c == nil {
		return nil
	}
	if !c.Append(m.Data()) {
		w.cache.Free(c)
		return nil
	}
	c.OlFlags, c.TxOffload = m.OlFlags, m.TxOffload
	return c
}

// justEncrypted handles segments of an encrypted connection that are SYNs, or come before the host has shown that it knows
// of the connection's establishment.
func (w *Worker) justEncrypted(s flowtable.Side, p *packet.Packet, i flowtable.Index, r *flowtable.Record, now int64) {
	if p.Flags&packet.FlagSYN == 0 {
		if s == inside && !p.Opt.Malformed {
			w.freeBlock(r)
		}
		w.translate(s, p, i, r, now)
		return
	}
	if s == outside {
		// A SYN in an established connection is answered by an acknowledgement (RFC 9293 section 3.10.7.4); the sender's RST
		// tells whether it was in earnest.
		w.drop(p, shm.DropHandshake)
		w.ackPeer(r)
		return
	}
	w.drop(p, shm.DropHeld)
	if r.Flags&flowtable.FlagActive == 0 {
		w.ackHost(r)
		return
	}
	if r.Local.HsBlock != 0 {
		w.sendSynAckAgain(&w.blocks.all[r.Local.HsBlock])
	}
}

// sendSynAckAgain sends the host its SYN-ACK again.
func (w *Worker) sendSynAckAgain(b *block) {
	if b.copy == nil {
		return
	}
	w.n[shm.HandshakeResent]++
	if m := w.clone(b.copy); m != nil {
		w.tx[inside].push(m)
	}
}
