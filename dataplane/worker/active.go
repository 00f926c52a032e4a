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
func (w *Worker) activeOpening(s side, p *packet.Packet, i flowtable.Index, r *flowtable.Record, now int64) {
	const syn, ack, rst = packet.FlagSYN, packet.FlagACK, packet.FlagRST
	switch {
	case p.Flags&rst != 0:
		w.pass(s, p)
		w.remove(i, r)
	case s == inside && opens(p):
		w.hostSYNAgain(p, i, r, now)
	case s == inside:
		w.pass(s, p)
	case p.Flags&(syn|ack) == syn:
		// Simultaneous open: both ends say b=0, so encryption is off (RFC 8547 section 4.3) and, since the SYN told so, no
		// SYN-ACK needs ENO (4.6).
		w.simultaneous(p, i, r, now)
	case p.Flags&(syn|ack) == syn|ack && r.State == flowtable.ActiveSyn:
		w.synAck(p, i, r, now)
	case p.Flags&(syn|ack) == syn|ack:
		w.drop(p, shm.DropHeld)
	default:
		w.drop(p, shm.DropHandshake)
	}
}

// hostSYNAgain handles the host's retransmission of its SYN.
func (w *Worker) hostSYNAgain(p *packet.Packet, i flowtable.Index, r *flowtable.Record, now int64) {
	if r.State != flowtable.ActiveSyn {
		w.drop(p, shm.DropHeld)
		return
	}
	r.Handshake++
	b := &w.blocks.all[r.HsBlock]
	if int(r.Handshake) >= w.params.ENOTries && w.ctl.Policy() != Require {
		// Something on the path may drop SYNs with an option it does not know (RFC 8547 section 4.6 allows this).
		w.n[shm.HandshakesFallback]++
		w.becomePlain(i, r, now)
		w.pass(inside, p)
		return
	}
	w.sendOffer(p, i, r, b, now)
}

// sendOffer sends the host's SYN with the ENO option that the control plane gave, or, where the option does not fit, without.
func (w *Worker) sendOffer(p *packet.Packet, i flowtable.Index, r *flowtable.Record, b *block, now int64) {
	// Removing the cookie and with it the data that it vouches for keeps RFC 8547 section 4.7.
	if p.Opt.TFOLen > 0 && p.Opt.HasAny(packet.OptTFO) && !p.RemoveTFO() || p.PayloadLen > 0 && !p.SetPayloadLen(0) ||
		!p.InsertENO(b.enoOf(roleA)) {
		w.hold(b, p)
		w.fallBack(i, r, inside, now)
		return
	}
	p.Finish(w.tx[outside].offload)
	w.tx[outside].push(p.M)
}

// simultaneous leaves a connection that both ends open at once in the clear.
func (w *Worker) simultaneous(p *packet.Packet, i flowtable.Index, r *flowtable.Record, now int64) {
	if w.ctl.Policy() == Require {
		w.cache.Free(p.M)
		w.refuse(i, r, now)
		return
	}
	w.fallBack(i, r, inside, now)
	if p.Opt.HasAny(packet.OptENO) && p.RemoveENO() {
		p.Finish(w.tx[inside].offload)
	}
	w.n[shm.PassedPackets]++
	w.tx[inside].push(p.M)
}

// synAck handles the far end's answer to SYN + ENO.
func (w *Worker) synAck(p *packet.Packet, i flowtable.Index, r *flowtable.Record, now int64) {
	if p.Ack != r.Host.ISN+1 {
		w.pass(outside, p)
		return
	}
	b := &w.blocks.all[r.HsBlock]
	w.hold(b, p)
	learn(&r.Peer, p)
	if p.Opt.ENOCount != 1 || p.Opt.ENOLen < 2 || p.Opt.HasAny(packet.OptBinding) {
		w.fallBack(i, r, outside, now)
		return
	}
	capture(&r.ToHost, p)
	agree(r)
	b.setENO(roleB, p.ENO())
	w.table.SetState(i, flowtable.ActiveAnswer)
	w.ask(r, b, shm.ActiveAnswer, now)
	w.schedule(i, r)
}

// sendInit1 sends ACK + ENO + Init1.
func (w *Worker) sendInit1(i flowtable.Index, r *flowtable.Record, rep *shm.Reply, now int64) {
	b := &w.blocks.all[r.HsBlock]
	b.setSecret(rep.Secret)
	b.setInit(roleA, rep.Init)
	r.TEP, r.Role = rep.TEP, 1
	w.core.Start(i, r, now)
	r.HostFlags |= flowtable.FlagStarted | flowtable.FlagSendENO
	w.table.SetState(i, flowtable.ActiveInit)
	if !w.core.QueueInit(i, r, b.initOf(roleA), now, w.out) {
		// Nothing of ENO has been confirmed, so the connection may still be plain.
		r.HostFlags &^= flowtable.FlagSendENO
		w.fallBack(i, r, outside, now)
		return
	}
	b.ask = 0
	w.schedule(i, r)
}

// activeExchange handles segments while Init2 is awaited or at the control plane.
func (w *Worker) activeExchange(s side, p *packet.Packet, i flowtable.Index, r *flowtable.Record, now int64) {
	switch {
	case s == inside && p.Flags&packet.FlagRST != 0:
		w.cache.Free(p.M)
		w.abort(i, r, shm.ReasonReset, now)
	case s == inside, p.Flags&packet.FlagSYN != 0:
		w.drop(p, shm.DropHeld)
	case p.Flags&packet.FlagRST != 0:
		// The host is in SYN-SENT: it takes a RST only with the right acknowledgement.
		if p.Seq != w.expectedFromPeer(r) {
			w.drop(p, shm.DropHandshake)
			return
		}
		w.cache.Free(p.M)
		t := *template(&r.ToWire)
		t.Reverse()
		w.send(inside, &t, &packet.Seg{Ack: r.Host.ISN + 1, Flags: packet.FlagRST | packet.FlagACK})
		w.remove(i, r)
	default:
		r.HostFlags &^= flowtable.FlagSendENO
		w.translate(s, p, i, r, now)
	}
}

// expectedFromPeer is the next sequence number that the wire owes.
func (w *Worker) expectedFromPeer(r *flowtable.Record) uint32 {
	return r.Peer.ISN + 1 + uint32(r.Ingress.WNext)
}

// releaseSynAck lets the host have the SYN-ACK: from here on its connection exists and is encrypted.
func (w *Worker) releaseSynAck(i flowtable.Index, r *flowtable.Record) {
	b := &w.blocks.all[r.HsBlock]
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
	p.ClampMSS(clamped(r.Peer.MSS))
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
func (w *Worker) justEncrypted(s side, p *packet.Packet, i flowtable.Index, r *flowtable.Record, now int64) {
	if p.Flags&packet.FlagSYN == 0 {
		if s == inside {
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
	if r.HostFlags&flowtable.FlagActive == 0 {
		w.ackHost(r)
		return
	}
	if r.HsBlock == 0 || w.blocks.all[r.HsBlock].copy == nil {
		return
	}
	if m := w.clone(w.blocks.all[r.HsBlock].copy); m != nil {
		w.tx[inside].push(m)
	}
}
