package worker

import (
	"unsafe"

	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/dataplane/handshake"
	"linecrypt/dataplane/packet"
	"linecrypt/flowtable"
)

// overhead is what a frame adds to a segment's payload, and what the MSS is clamped by (RFC 8548 section 4.2).
const overhead = tcpcrypt.Overhead

// stranger handles a segment of a connection that the table does not know. A SYN begins one; anything else belongs to a
// connection older than the gateway, which was never encrypted by it, or to one that was given up.
func (w *Worker) stranger(s flowtable.Side, p *packet.Packet, k *flowtable.Key, hash uint32, now int64) {
	old := w.graves.n > 0 && w.graves.has(k, hash)
	switch {
	case old && !opens(p) && w.exhume(s, p, k, hash, now):
		return
	case old && opens(p) && s == flowtable.Inside:
		w.graves.close(k, hash) // the host begins anew, and so knows
	}
	if !opens(p) {
		w.stray(s, p, k, hash, now)
		return
	}
	rules, rule := w.ctl.Decide(k, s)
	if !p.VerifyTCP() || !p.VerifyIPv4() {
		if rules.Policy == flowtable.Disabled {
			w.pass(s, p) // untouched, whatever it is
			return
		}
		w.drop(p, shm.DropChecksum)
		return
	}
	i := w.admit(s, k, hash, now)
	if i == 0 {
		w.drop(p, shm.DropHalfOpen)
		return
	}
	r := w.table.Record(i)
	r.Rule = rule
	w.n[shm.FlowsCreated]++
	e := handshake.Event{Kind: handshake.EventSegment, Old: old, Aware: w.ctl.Aware(&k.Inside, k.InsidePort), Hates: s == flowtable.Inside && w.hates.hates(&k.Outside, now)}
	readSegment(&e.Seg, s, p)
	w.resumable(&e.Resume, s, &e.Seg, k, rules, now)
	switch w.begin(i, r, p, &e, now) {
	case flowtable.ActiveSyn:
		w.n[shm.HandshakesActive]++
	case flowtable.PassiveSyn:
		w.n[shm.HandshakesPassive]++
	}
}

// refuseStrayENO resets both ends of a connection that is forgotten and whose far end believes in encryption.
func (w *Worker) refuseStrayENO(p *packet.Packet) {
	if !p.VerifyTCP() || !p.VerifyIPv4() {
		w.drop(p, shm.DropChecksum)
		return
	}
	var t packet.Template
	t.FromPacket(p)
	w.send(flowtable.Inside, &t, &packet.Seg{Seq: p.Seq, Flags: packet.FlagRST})
	t.Reverse()
	w.send(flowtable.Outside, &t, &packet.Seg{Seq: p.Ack, Ack: p.Seq + p.SegLen(), Flags: packet.FlagRST | packet.FlagACK})
	w.drop(p, shm.DropStrayENO)
}

// refuseSYN answers a SYN as a closed port does.
func (w *Worker) refuseSYN(s flowtable.Side, p *packet.Packet) {
	var t packet.Template
	t.FromPacket(p)
	t.Reverse()
	ack := p.Seq + p.SegLen()
	w.cache.Free(p.M)
	w.send(s, &t, &packet.Seg{Ack: ack, Flags: packet.FlagRST | packet.FlagACK})
}

// endpoint returns what the record knows of the sender of segments from side s.
func (w *Worker) endpoint(s flowtable.Side, r *flowtable.Record) *flowtable.Endpoint {
	if s == inside {
		return &r.Host
	}
	return &r.Peer
}

// learn takes from a SYN or SYN-ACK what it says about its sender.
func learn(e *flowtable.Endpoint, p *packet.Packet) {
	*e = flowtable.Endpoint{ISN: p.Seq, MSS: 536, Flags: flowtable.EndpointSYN, Win: uint32(p.Win)}
	if p.Ver == 6 {
		e.MSS = 1220
	}
	if p.Opt.Malformed {
		return
	}
	if p.Opt.Has(packet.OptMSS) && p.Opt.MSS > overhead {
		e.MSS = p.Opt.MSS
	}
	if p.Opt.Has(packet.OptWScale) {
		e.Flags |= flowtable.EndpointWScale
		e.WScale = min(p.Opt.WScale, 14)
	}
	if p.Opt.Has(packet.OptSACKPermitted) {
		e.Flags |= flowtable.EndpointSACK
	}
	if p.Opt.Has(packet.OptTimestamps) {
		e.Flags |= flowtable.EndpointTS
		e.TSVal = p.Opt.TSVal
	}
}

// agree settles what the SYNs of both ends agreed on.
func agree(r *flowtable.Record) {
	both := r.Host.Flags & r.Peer.Flags
	if both&flowtable.EndpointSACK != 0 {
		r.Flags |= flowtable.FlagSACK
	}
	if both&flowtable.EndpointTS != 0 {
		r.Flags |= flowtable.FlagTimestamps
	}
	if both&flowtable.EndpointWScale != 0 {
		r.Flags |= flowtable.FlagWScale
	} else {
		r.Host.WScale, r.Peer.WScale = 0, 0
	}
}

// template returns the record's template as package packet's.
func template(t *flowtable.Template) *packet.Template { return (*packet.Template)(unsafe.Pointer(t)) }

var _ [unsafe.Sizeof(flowtable.Template{}) - unsafe.Sizeof(packet.Template{})]byte

func capture(t *flowtable.Template, p *packet.Packet) { template(t).FromPacket(p) }
