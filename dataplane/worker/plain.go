package worker

import (
	"linecrypt/dataplane/packet"
	"linecrypt/flowtable"
)

// Connections in the clear. Their segments pass untouched, and who receives them judges them; the gateway only has to know when such a
// connection is over. Its word on that counts where a connection without a record does not pass: then whoever can make it forget the record
// ends the connection. So it believes what its ends would, and no less: a RST with the number that is expected (RFC 5961 section 3.2), and
// FINs that are in order or acknowledged. The records are on their way from memory for every segment, numbers and all.

// plainLinger is how long a plain connection is remembered after its end, in ns.
const plainLinger = int64(10e9)

// beginPlain settles what is kept of a connection that goes on in the clear: the numbers that its SYNs told, and what a segment told that
// decided on it, if one did.
func (w *Worker) beginPlain(s flowtable.Side, p *packet.Packet, r *flowtable.Record) {
	if host, peer := &r.Host, &r.Peer; host.Flags&peer.Flags&flowtable.EndpointSYN != 0 {
		host.SetHeard(host.ISN+1, peer.ISN+1)
		peer.SetHeard(peer.ISN+1, host.ISN+1)
	}
	if p != nil {
		w.heard(s, p, r)
	}
	w.spare(r)
}

// heard notes how far the sender of a segment of a plain connection is: the end of what it has sent, as far as that came in order or goes on
// where the other end acknowledged, and what it acknowledges. One off the path hits neither place, and writes nothing that is believed of the
// other end.
func (w *Worker) heard(s flowtable.Side, p *packet.Packet, r *flowtable.Record) {
	if p.Flags&(packet.FlagSYN|packet.FlagRST|packet.FlagACK) != packet.FlagACK {
		return
	}
	from, to := w.endpoint(s, r), w.endpoint(s.Other(), r)
	next := from.Next()
	if end := p.Seq + p.SegLen(); !from.Heard() || p.Seq == next || to.Heard() && p.Seq == to.Acked() && int32(end-next) > 0 {
		next = end
	}
	from.SetHeard(next, p.Ack)
}

// plain passes a segment of a connection that is not encrypted, and forgets the connection soon after its end.
func (w *Worker) plain(s flowtable.Side, p *packet.Packet, k *flowtable.Key, hash uint32, i flowtable.Index, r *flowtable.Record, now int64) {
	// A SYN may be forged: while the connection lives its receiver answers it, and the sender's RST tells.
	if opens(p) && w.otherISN(s, p, r) && r.Rare.Linger != 0 {
		w.remove(i, r)
		w.stranger(s, p, k, hash, now)
		return
	}
	if p.Flags&packet.FlagFIN != 0 {
		w.noteFIN(s, p, r)
	}
	if w.plainOver(s, p, r) {
		w.tellOver(r, now)
		r.Rare.Linger = now + plainLinger
		w.schedule(i, r)
	}
	w.pass(s, p)
}

// plainOver reports whether a segment is a sign that the connection is over: a RST that its receiver takes, or once both ends have sent
// their FINs, any. Of a connection that passes without its record too, any RST is one, and both FINs are. To forget such a one too early costs
// nothing; too late, the next connection from the same ports would pass under its record.
func (w *Worker) plainOver(s flowtable.Side, p *packet.Packet, r *flowtable.Record) bool {
	ends := p.Flags&(packet.FlagRST|packet.FlagFIN) != 0
	both := r.Egress.Flags&flowtable.EgressFIN != 0 && r.Ingress.Flags&flowtable.IngressWireFIN != 0
	if !ends && !both {
		return false
	}
	needed := needsRecord(r) || ends && w.spare(r)
	switch {
	case p.Flags&packet.FlagRST != 0:
		return !needed || w.exactRST(s, p, r)
	case !needed:
		return both && ends
	}
	return both && (r.Rare.Linger == 0 || ends) && w.finished(inside, r) && w.finished(outside, r)
}

// exactRST reports whether a RST from side s has the number that its receiver expects: what that one acknowledged last, as one who has no
// connection answers, or the end of what is on its way there, as one who gives up sends.
func (w *Worker) exactRST(s flowtable.Side, p *packet.Packet, r *flowtable.Record) bool {
	from, to := w.endpoint(s, r), w.endpoint(s.Other(), r)
	return to.Heard() && p.Seq == to.Acked() || from.Heard() && p.Seq == from.Next()
}

// noteFIN notes a FIN and where it ends. One that counts is not replaced, any other is, as it may be forged.
func (w *Worker) noteFIN(s flowtable.Side, p *packet.Packet, r *flowtable.Record) {
	if w.finished(s, r) {
		return
	}
	if *finOf(s, r) = p.Seq + p.SegLen(); s == inside {
		r.Egress.Flags |= flowtable.EgressFIN
	} else {
		r.Ingress.Flags |= flowtable.IngressWireFIN
	}
}

// finished reports whether a side's FIN counts: it came in order, or the other end acknowledged it.
func (w *Worker) finished(s flowtable.Side, r *flowtable.Record) bool {
	if s == inside && r.Egress.Flags&flowtable.EgressFIN == 0 || s == outside && r.Ingress.Flags&flowtable.IngressWireFIN == 0 {
		return false
	}
	from, to, fin := w.endpoint(s, r), w.endpoint(s.Other(), r), *finOf(s, r)
	return from.Heard() && fin == from.Next() || to.Heard() && fin == to.Acked()
}

// finOf is the number behind the FIN of a side. The translator's fields for the ends of its streams, of no other use in a plain connection,
// remember the FINs.
func finOf(s flowtable.Side, r *flowtable.Record) *uint32 {
	if s == inside {
		return &r.Egress.EdgeTold
	}
	return &r.Ingress.AckTold
}

// spare marks the record of a connection that does not pass without it by the rules in force, and reports whether it is newly marked. The
// rules may change: it is asked when the connection begins, and again before the record goes. Only a connection that a handshake proved real
// is spared, so that nobody can make such records up.
func (w *Worker) spare(r *flowtable.Record) bool {
	if r.Flags&(flowtable.FlagMet|flowtable.FlagKept) != 0 || r.Verdict == flowtable.Require || !w.passesByRecord(&r.Key) {
		return false
	}
	r.Flags |= flowtable.FlagKept
	return true
}

// passesByRecord reports whether a connection passes only as long as it has a record.
func (w *Worker) passesByRecord(k *flowtable.Key) bool {
	verdict, _ := w.decideMet(k)
	return verdict == flowtable.Require
}

// needsRecord reports whether a plain connection is known to need its record: under policy require one without does not pass.
func needsRecord(r *flowtable.Record) bool {
	return r.Verdict == flowtable.Require || r.Flags&flowtable.FlagKept != 0
}
