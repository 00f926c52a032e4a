package worker

import (
	"linecrypt/ctrlplane/shm"
	"linecrypt/dataplane/packet"
	"linecrypt/flowtable"
)

// other handles what is not a whole TCP segment.
func (w *Worker) other(s flowtable.Side, p *packet.Packet, now int64) {
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
	default:
		w.pass(s, p)
	}
}

// segment gives a TCP segment, one that the fast path did not take, to what the state of its flow wants.
func (w *Worker) segment(s flowtable.Side, p *packet.Packet, k *flowtable.Key, hash uint32, i flowtable.Index, now int64) {
	if i == 0 {
		if !opens(p) && w.elsewhere(k) {
			w.handOver(s, p)
			return
		}
		w.stranger(s, p, k, hash, now)
		return
	}
	r := w.table.Record(i)
	if r.State != flowtable.Encrypted {
		r.LastSeen = now // of an encrypted one, the translator says which segments count
	}
	switch r.State {
	case flowtable.Plain:
		if r.Flags&flowtable.FlagMet != 0 {
			w.met(s, p, k, hash, i, r, now)
			return
		}
		w.heard(s, p, r)
		if r.Flags&flowtable.FlagWatch == 0 || s == flowtable.Inside || p.PayloadLen == 0 {
			w.plain(s, p, k, hash, i, r, now)
			return
		}
	case flowtable.Encrypted:
		if p.Flags&packet.FlagSYN == 0 && r.Local.HsBlock == 0 && r.Flags&flowtable.FlagSendENO == 0 {
			w.translate(s, p, i, r, now)
			return
		}
	case flowtable.Closing:
		w.closing(s, p, k, hash, i, now)
		return
	}
	if !p.VerifyTCP() || !p.VerifyIPv4() {
		if r.Verdict == flowtable.Disabled {
			w.pass(s, p) // untouched, whatever it is
			return
		}
		w.drop(p, shm.DropChecksum)
		return
	}
	w.setup(s, p, i, r, now)
}

// opens reports whether a segment is a SYN without ACK.
func opens(p *packet.Packet) bool {
	return p.Flags&(packet.FlagSYN|packet.FlagACK|packet.FlagRST) == packet.FlagSYN
}

// otherISN reports whether a SYN from side s is not the one that the record knows its sender by.
func (w *Worker) otherISN(s flowtable.Side, p *packet.Packet, r *flowtable.Record) bool {
	e := w.endpoint(s, r)
	return e.Flags&flowtable.EndpointSYN != 0 && p.Seq != e.ISN
}

// translate gives a segment of an encrypted flow, or one whose Init messages are under way, to the translator.
func (w *Worker) translate(s flowtable.Side, p *packet.Packet, i flowtable.Index, r *flowtable.Record, now int64) {
	if !p.VerifyTCP() || !p.VerifyIPv4() {
		w.drop(p, shm.DropChecksum)
		return
	}
	if p.Opt.Malformed {
		w.drop(p, shm.DropOptions)
		return
	}
	old := aged(r, now)
	stale := old || w.endpoint(s, r).Flags&endpointFresh == 0
	if stale {
		capture(&w.fresh, p)
	}
	w.lookAtPaths(r, now)
	if s == inside && r.Local.PeerPath != 0 {
		w.tellHost(p, r, now)
	}
	p.NoteHeaders()
	seg := &w.seg
	seg.M = p.M
	seg.Off, seg.Len = p.M.DataOff()+int(p.Payload), int(p.PayloadLen)
	seg.Seq, seg.Ack, seg.Win, seg.Urg, seg.Flags = p.Seq, p.Ack, p.Win, p.Urg, p.Flags
	seg.HasTS, seg.TSVal, seg.TSEcr = p.Opt.Has(packet.OptTimestamps), p.Opt.TSVal, p.Opt.TSEcr
	seg.NSACK, seg.CE, seg.Accepted = 0, s == outside && p.CE(), false
	if p.Opt.Has(packet.OptSACK) {
		seg.NSACK, seg.SACK = p.Opt.NSACK, p.Opt.SACK
	}
	if s == inside {
		w.core.EgressSegment(i, r, seg, now, w.out)
	} else {
		w.core.IngressSegment(i, r, seg, now, w.out)
	}
	if stale && seg.Accepted {
		w.renew(s, r, old)
	}
	w.schedule(i, r)
}

// What the gateway sends itself follows what the hosts send: where their next hop, TTL or flow label changes, so does its
// own. The template of a direction is captured anew from the first acceptable segment of every freshTick of a second or so, which a
// bit in the record of the segment's sender, the worker's own, remembers.
const (
	freshTick     = 30
	endpointFresh = 1 << 7
)

// aged reports whether the templates of a connection are of another freshTick than now. It is asked before a segment is translated, which
// says that the connection was heard of.
func aged(r *flowtable.Record, now int64) bool { return now>>freshTick != r.LastSeen>>freshTick }

// renew takes what was captured of an acceptable segment from side s for the template of its direction; aged says that the other
// direction's is old as well.
func (w *Worker) renew(s flowtable.Side, r *flowtable.Record, aged bool) {
	if aged {
		r.Host.Flags &^= endpointFresh
		r.Peer.Flags &^= endpointFresh
	}
	w.endpoint(s, r).Flags |= endpointFresh
	*w.templateFrom(s, r) = w.fresh
}

// templateFrom returns the template for segments in the direction of those received from side s.
func (w *Worker) templateFrom(s flowtable.Side, r *flowtable.Record) *flowtable.Template {
	if s == inside {
		return &r.Rare.ToWire
	}
	return &r.Rare.ToHost
}
