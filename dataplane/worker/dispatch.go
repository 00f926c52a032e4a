package worker

import (
	"linecrypt/ctrlplane/shm"
	"linecrypt/dataplane/packet"
	"linecrypt/flowtable"
)

// other handles what is not a whole TCP segment.
func (w *Worker) other(s side, p *packet.Packet, now int64) {
	switch p.Class {
	case packet.Malformed:
		w.drop(p, shm.DropParse)
	case packet.Fragment:
		var k flowtable.Key
		flowKey(&k, p, s)
		if w.pairs.encrypted(&k) {
			w.drop(p, shm.DropFragment)
			return
		}
		w.pass(s, p)
	case packet.NonTCP:
		w.icmp(s, p)
		w.pass(s, p)
	default:
		w.pass(s, p)
	}
}

// segment gives a TCP segment to what the state of its flow wants.
func (w *Worker) segment(s side, p *packet.Packet, k *flowtable.Key, hash uint32, i flowtable.Index, now int64) {
	if i == 0 {
		w.stranger(s, p, k, hash, now)
		return
	}
	r := w.table.Record(i)
	r.LastSeen = now
	switch r.State {
	case flowtable.Plain:
		w.plain(s, p, k, hash, i, now)
		return
	case flowtable.Encrypted:
		if p.Flags&packet.FlagSYN == 0 && r.HsBlock == 0 {
			w.translate(s, p, i, r, now)
			return
		}
	case flowtable.Closing:
		w.closing(s, p, k, hash, i, now)
		return
	}
	if !p.VerifyTCP() {
		w.drop(p, shm.DropChecksum)
		return
	}
	if p.Opt.Malformed {
		w.drop(p, DropOptions)
		return
	}
	if opens(p) && p.Seq != w.openerISN(s, r) && w.reopened(s, p, i, r, now) {
		w.stranger(s, p, k, hash, now)
		return
	}
	w.setup(s, p, i, r, now)
}

// opens reports whether a segment is a SYN without ACK.
func opens(p *packet.Packet) bool {
	return p.Flags&(packet.FlagSYN|packet.FlagACK|packet.FlagRST) == packet.FlagSYN
}

// plainLinger is how long a plain connection is remembered after a FIN or RST, in ns.
const plainLinger = int64(10e9)

// plain passes a segment of a connection that is not encrypted, and forgets the connection soon after its end.
func (w *Worker) plain(s side, p *packet.Packet, k *flowtable.Key, hash uint32, i flowtable.Index, now int64) {
	r := w.table.Record(i)
	if opens(p) && p.Seq != w.openerISN(s, r) {
		w.remove(i, r)
		w.stranger(s, p, k, hash, now)
		return
	}
	if p.Flags&(packet.FlagRST|packet.FlagFIN) != 0 {
		w.table.Arm(i, now+plainLinger)
	}
	w.pass(s, p)
}

// openerISN returns the initial sequence number that the record holds for the sender of segments from side s.
func (w *Worker) openerISN(s side, r *flowtable.Record) uint32 {
	if s == inside {
		return r.Host.ISN
	}
	return r.Peer.ISN
}

// closing answers stragglers of a connection that was reset.
func (w *Worker) closing(s side, p *packet.Packet, k *flowtable.Key, hash uint32, i flowtable.Index, now int64) {
	r := w.table.Record(i)
	if opens(p) {
		w.remove(i, r)
		w.stranger(s, p, k, hash, now)
		return
	}
	if r.HostFlags&flowtable.FlagStarted == 0 {
		w.refuseBuried(s, p)
		return
	}
	w.translate(s, p, i, r, now)
}

// translate gives a segment of an encrypted flow, or one whose Init messages are under way, to the translator.
func (w *Worker) translate(s side, p *packet.Packet, i flowtable.Index, r *flowtable.Record, now int64) {
	if !p.VerifyTCP() || !p.VerifyIPv4() {
		w.drop(p, shm.DropChecksum)
		return
	}
	if p.Opt.Malformed {
		w.drop(p, DropOptions)
		return
	}
	p.NoteHeaders()
	seg := &w.seg
	seg.M = p.M
	seg.Off, seg.Len = p.M.DataOff()+int(p.Payload), int(p.PayloadLen)
	seg.Seq, seg.Ack, seg.Win, seg.Urg, seg.Flags = p.Seq, p.Ack, p.Win, p.Urg, p.Flags
	seg.HasTS, seg.TSVal, seg.TSEcr = p.Opt.Has(packet.OptTimestamps), p.Opt.TSVal, p.Opt.TSEcr
	seg.NSACK = 0
	if p.Opt.Has(packet.OptSACK) {
		seg.NSACK, seg.SACK = p.Opt.NSACK, p.Opt.SACK
	}
	if s == inside {
		w.core.EgressSegment(i, r, seg, now, w.out)
	} else {
		w.core.IngressSegment(i, r, seg, now, w.out)
	}
	w.schedule(i, r)
}
