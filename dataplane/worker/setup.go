package worker

import (
	"linecrypt/ctrlplane/shm"
	"linecrypt/dataplane/packet"
	"linecrypt/dataplane/stream"
	"linecrypt/flowtable"
)

// setup handles a segment of a connection that is being set up, or that has just become encrypted. Its checksum is right
// and its options are well formed.
func (w *Worker) setup(s side, p *packet.Packet, i flowtable.Index, r *flowtable.Record, now int64) {
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

// reopened decides what a SYN with another sequence number than the record's means, and reports whether the record is
// gone and the SYN begins a connection of its own.
func (w *Worker) reopened(s side, p *packet.Packet, i flowtable.Index, r *flowtable.Record, now int64) bool {
	if s == outside {
		return false
	}
	// The host has forgotten the connection: nobody else can send from its port.
	w.abort(i, r, shm.ReasonReset, now)
	w.finish(now)
	w.remove(i, r)
	return true
}

// fallBack leaves the connection in the clear and sends the segment that decided it, which is held, on as it came; under
// policy require it refuses the connection.
func (w *Worker) fallBack(i flowtable.Index, r *flowtable.Record, from side, now int64) {
	b := &w.blocks.all[r.HsBlock]
	m := b.held
	b.held = nil
	w.n[shm.HandshakesFallback]++
	if w.ctl.Policy() == Require {
		if m != nil {
			w.cache.Free(m)
		}
		w.refuse(i, r, now)
		return
	}
	w.becomePlain(i, r, now)
	if m != nil {
		w.n[shm.PassedPackets]++
		w.tx[from.other()].push(m)
	}
}

// becomePlain ends a connection's set-up without encryption.
func (w *Worker) becomePlain(i flowtable.Index, r *flowtable.Record, now int64) {
	w.freeBlock(r)
	if r.HostFlags&flowtable.FlagStarted != 0 {
		w.core.Release(i, r)
		r.HostFlags &^= flowtable.FlagStarted
	}
	w.table.SetState(i, flowtable.Plain)
	w.table.Arm(i, now+w.params.PlainIdle)
}

// refuse resets both sides of a connection that is being set up, as far as they know of it, and forgets it.
func (w *Worker) refuse(i flowtable.Index, r *flowtable.Record, now int64) {
	w.n[shm.DropRefused]++
	w.resetBoth(i, r, now)
	w.remove(i, r)
}

// resetBoth sends the RSTs with which a connection in set-up ends: one that a host in SYN-SENT accepts, or one at the sequence
// number that the end expects.
func (w *Worker) resetBoth(i flowtable.Index, r *flowtable.Record, now int64) {
	if r.HostFlags&flowtable.FlagStarted != 0 {
		w.core.Abort(i, r, stream.AbortCaller, now, w.out)
		w.finish(now)
	}
	const rst, ack = packet.FlagRST, packet.FlagACK
	active := r.HostFlags&flowtable.FlagActive != 0
	hostKnows, peerKnows := r.Host.Flags != 0, r.Peer.Flags != 0
	switch {
	case active:
		t := *template(&r.ToWire)
		t.Reverse()
		w.send(inside, &t, &packet.Seg{Ack: r.Host.ISN + 1, Flags: rst | ack})
		if peerKnows && r.HostFlags&flowtable.FlagStarted == 0 {
			w.send(outside, template(&r.ToWire), &packet.Seg{Seq: r.Host.ISN + 1, Ack: r.Peer.ISN + 1, Flags: rst | ack})
		}
	default:
		if hostKnows && r.HostFlags&flowtable.FlagStarted == 0 {
			w.send(inside, template(&r.ToHost), &packet.Seg{Seq: r.Peer.ISN + 1, Flags: rst})
		}
		if r.HostFlags&flowtable.FlagStarted == 0 {
			t := *template(&r.ToHost)
			t.Reverse()
			seq := uint32(0)
			if hostKnows {
				seq = r.Host.ISN + 1
			}
			w.send(outside, &t, &packet.Seg{Seq: seq, Ack: r.Peer.ISN + 1, Flags: rst | ack})
		}
	}
}

// abort resets a connection whose translator runs, and keeps its record for stragglers.
func (w *Worker) abort(i flowtable.Index, r *flowtable.Record, why shm.Reason, now int64) {
	w.core.Abort(i, r, stream.AbortCaller, now, w.out)
	w.over(i, r, why, now)
}

// over moves a connection that has ended to Closing and tells the control plane.
func (w *Worker) over(i flowtable.Index, r *flowtable.Record, why shm.Reason, now int64) {
	w.freeBlock(r)
	if r.State == flowtable.Encrypted {
		w.pairs.add(&r.Key, -1)
	}
	w.table.SetState(i, flowtable.Closing)
	r.Abort = uint8(why)
	w.report(i, r, why)
	w.schedule(i, r)
}

// remove forgets a connection, with all that is kept for it.
func (w *Worker) remove(i flowtable.Index, r *flowtable.Record) {
	w.freeBlock(r)
	if r.State == flowtable.Encrypted {
		w.pairs.add(&r.Key, -1)
	}
	w.report(i, r, shm.ReasonFinished)
	if r.HostFlags&flowtable.FlagStarted != 0 {
		w.core.Release(i, r)
	}
	w.table.Remove(i)
	w.changed = true
}

// freeBlock ends the use of the record's block, if it has one.
func (w *Worker) freeBlock(r *flowtable.Record) {
	if r.HsBlock == 0 {
		return
	}
	b := &w.blocks.all[r.HsBlock]
	if b.held != nil {
		w.cache.Free(b.held)
	}
	if b.copy != nil {
		w.cache.Free(b.copy)
	}
	w.blocks.put(r.HsBlock)
	r.HsBlock = 0
}

// hold keeps a segment until the control plane has answered.
func (w *Worker) hold(b *block, p *packet.Packet) {
	if b.held != nil {
		w.cache.Free(b.held)
	}
	b.held = p.M
}
