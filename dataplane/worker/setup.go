package worker

import (
	"linecrypt/ctrlplane/shm"
	"linecrypt/dataplane/packet"
	"linecrypt/flowtable"
)

// setup handles a segment of a connection that is being set up, or that has just become encrypted. Its checksum is right
// and its options are well formed.
func (w *Worker) setup(s flowtable.Side, p *packet.Packet, i flowtable.Index, r *flowtable.Record, now int64) {
	switch r.State {
	case flowtable.ActiveOffer, flowtable.ActiveSyn, flowtable.ActiveAnswer:
		w.activeOpening(s, p, i, r, now)
	case flowtable.ActiveInit, flowtable.ActiveKeys:
		w.activeExchange(s, p, i, r, now)
	case flowtable.PassiveOffer, flowtable.PassiveSyn, flowtable.PassiveAck:
		w.passiveOpening(s, p, i, r, now)
	case flowtable.PassiveInit, flowtable.PassiveKeys:
		w.passiveExchange(s, p, i, r, now)
	case flowtable.Encrypted:
		w.justEncrypted(s, p, i, r, now)
	default:
		w.drop(p, shm.DropHandshake)
	}
}

// committed reports whether the far end may believe that the connection is encrypted: then there is no way back to plaintext,
// and without a record its messages would reach the host as if they were data.
func committed(r *flowtable.Record) bool {
	return r.Flags&flowtable.FlagStarted != 0 || r.State == flowtable.PassiveAck
}

// reopened decides what a SYN with another sequence number than the record's means, and reports whether the record is
// gone and the SYN begins a connection of its own.
func (w *Worker) reopened(s flowtable.Side, i flowtable.Index, r *flowtable.Record, now int64) bool {
	if s == outside {
		if r.State != flowtable.PassiveOffer && r.State != flowtable.PassiveSyn {
			return false
		}
		// The host has not answered the SYN before, and will take this one for it.
		w.remove(i, r)
		return true
	}
	// The host has forgotten the connection: nobody else can send from its port.
	if r.Flags&flowtable.FlagStarted != 0 {
		w.abort(i, r, shm.ReasonReset, now)
	} else {
		w.resetPeer(r)
	}
	w.remove(i, r)
	return true
}

// fallBack leaves the connection in the clear and sends the segment that decided it, which is held, on as it came; under
// policy require it refuses the connection.
func (w *Worker) fallBack(i flowtable.Index, r *flowtable.Record, from flowtable.Side, now int64) {
	b := &w.blocks.all[r.Local.HsBlock]
	m := b.held
	b.held = nil
	w.n[shm.HandshakesFallback]++
	if w.ctl.Policy() == flowtable.Require {
		if m != nil {
			w.cache.Free(m)
		}
		w.refuse(i, r, now)
		return
	}
	w.becomePlain(i, r, now)
	if m != nil {
		w.passBuffer(from, m)
	}
}

// becomePlain ends a connection's set-up without encryption.
func (w *Worker) becomePlain(i flowtable.Index, r *flowtable.Record, now int64) {
	w.freeBlock(r)
	if r.Flags&flowtable.FlagStarted != 0 {
		w.core.Release(i, r)
		r.Flags &^= flowtable.FlagStarted
		r.ClearStreams()
	}
	w.table.SetState(i, flowtable.Plain)
	w.table.Arm(i, now+w.params.PlainIdle)
}

// refuse resets both sides of a connection that is being set up, as far as they know of it.
func (w *Worker) refuse(i flowtable.Index, r *flowtable.Record, now int64) {
	w.n[shm.DropRefused]++
	w.n[shm.HandshakesRefused]++
	w.resetBoth(i, r, now)
	w.endSetup(i, r, shm.ReasonRequired)
}

// resetBoth sends the RSTs with which a connection in set-up ends, in the forms that their receivers' states accept.
func (w *Worker) resetBoth(i flowtable.Index, r *flowtable.Record, now int64) {
	w.n[shm.HandshakesAborted]++
	if r.Flags&flowtable.FlagStarted != 0 {
		w.core.Abort(i, r, shm.AbortCaller, now, w.out)
		w.finish(now)
		return
	}
	w.resetHost(r)
	w.resetPeer(r)
}

// resetHost sends the host a RST: in SYN-SENT it takes one that acknowledges its SYN, in SYN-RECEIVED one at the sequence number
// that it expects.
func (w *Worker) resetHost(r *flowtable.Record) {
	if r.Host.Flags&flowtable.EndpointSYN == 0 {
		return
	}
	if r.Flags&flowtable.FlagActive == 0 {
		w.send(inside, template(&r.Rare.ToHost), &packet.Seg{Seq: r.Peer.ISN + 1, Flags: packet.FlagRST})
		return
	}
	t := *template(&r.Rare.ToWire)
	t.Reverse()
	w.send(inside, &t, &packet.Seg{Ack: r.Host.ISN + 1, Flags: packet.FlagRST | packet.FlagACK})
}

// resetPeer is resetHost for the far end. One that has not answered the host's SYN with its own is reset too where it may
// have got the SYN.
func (w *Worker) resetPeer(r *flowtable.Record) {
	seg := packet.Seg{Seq: r.Host.ISN + 1, Ack: r.Peer.ISN + 1, Flags: packet.FlagRST | packet.FlagACK}
	if r.Flags&flowtable.FlagActive != 0 {
		if r.State == flowtable.ActiveOffer {
			return
		}
		if r.Peer.Flags&flowtable.EndpointSYN == 0 {
			seg.Ack, seg.Flags = 0, packet.FlagRST
		}
		w.send(outside, template(&r.Rare.ToWire), &seg)
		return
	}
	if r.Host.Flags&flowtable.EndpointSYN == 0 {
		seg.Seq = 0
	}
	t := *template(&r.Rare.ToHost)
	t.Reverse()
	w.send(outside, &t, &seg)
}

// abort resets a connection whose translator runs, and keeps its record for stragglers.
func (w *Worker) abort(i flowtable.Index, r *flowtable.Record, why shm.Reason, now int64) {
	w.core.Abort(i, r, shm.AbortCaller, now, w.out)
	w.over(i, r, why)
}

// over moves a connection that has ended to Closing and tells the control plane.
func (w *Worker) over(i flowtable.Index, r *flowtable.Record, why shm.Reason) {
	if r.State == flowtable.Closing {
		return
	}
	w.freeBlock(r)
	if !unpassable(r) {
		w.pairs.add(&r.Key, 1)
	}
	w.table.SetState(i, flowtable.Closing)
	w.report(i, r, why)
	w.schedule(i, r)
}

// unpassable reports whether segments of the connection may be under way that must not pass as plaintext, so that its hosts
// count in Pairs.
func unpassable(r *flowtable.Record) bool {
	return r.State == flowtable.Encrypted || r.State == flowtable.Closing
}

// remove forgets a connection, with all that is kept for it.
func (w *Worker) remove(i flowtable.Index, r *flowtable.Record) {
	// What the translator gathered for the connection in this burst refers to the record.
	if w.finish(w.now); r.State != flowtable.Free {
		w.forget(i, r)
	}
}

// forget is remove where nothing is gathered.
func (w *Worker) forget(i flowtable.Index, r *flowtable.Record) {
	w.freeBlock(r)
	if unpassable(r) {
		w.pairs.add(&r.Key, -1)
	}
	w.report(i, r, shm.ReasonFinished)
	if r.Flags&flowtable.FlagStarted != 0 {
		w.core.Release(i, r)
	}
	w.table.Remove(i)
	w.n[shm.FlowsRemoved]++
	w.changed = true
}

// freeBlock ends the use of the record's block, if it has one.
func (w *Worker) freeBlock(r *flowtable.Record) {
	if r.Local.HsBlock == 0 {
		return
	}
	b := &w.blocks.all[r.Local.HsBlock]
	if b.held != nil {
		w.cache.Free(b.held)
	}
	if b.copy != nil {
		w.cache.Free(b.copy)
	}
	w.blocks.put(r.Local.HsBlock)
	r.Local.HsBlock = 0
}

// hold keeps a segment until the control plane has answered.
func (w *Worker) hold(b *block, p *packet.Packet) {
	if b.held != nil {
		w.cache.Free(b.held)
	}
	complete(p)
	b.held = p.M
}
