package stream

import (
	"linecrypt/flowtable"
)

// Acknowledge sends one side of a started connection an acknowledgement of all that the gateway has received for it. The host gets
// none before keys are in place.
func (c *Core) Acknowledge(idx flowtable.Index, r *flowtable.Record, to flowtable.Side, now int64, out *Output) {
	f := flow{c: c, idx: idx, r: r, now: now, out: out}
	if to == flowtable.Inside {
		f.ackHost()
	} else {
		f.ackWire()
	}
}

// Quoted translates the sequence number of a segment to one side, as an ICMP error from there quotes it, into what the sender of
// its bytes knows them by. It is false where nothing with that number is in flight to that side (RFC 5927 section 4.1).
func Quoted(r *flowtable.Record, to flowtable.Side, seq uint32) (translated uint32, ok bool) {
	e, in := &r.Egress, &r.Ingress
	if to == flowtable.Outside {
		first := r.Host.ISN + 1
		return first + uint32(e.PUna), seq-(first+uint32(e.WUna)) < uint32(e.WNext-e.WUna)
	}
	first := r.Peer.ISN + 1
	return first + uint32(in.WAcked), seq-(first+uint32(in.HostAck)) < uint32(in.PNext-in.HostAck)
}

// Exact returns the sequence numbers at which a RST from one side is one that ends the connection: what the gateway expects next, and
// what it acknowledged last.
func Exact(r *flowtable.Record, from flowtable.Side) [2]uint32 {
	if from == flowtable.Inside {
		first := r.Host.ISN + 1
		return [2]uint32{first + uint32(r.Egress.PNext), first + uint32(r.Egress.PUna)}
	}
	first := r.Peer.ISN + 1
	return [2]uint32{first + uint32(withFIN(r, r.Ingress.WNext)), first + uint32(r.Ingress.WAcked)}
}

// Next returns the numbers of a segment without payload to one side: the sequence number behind all that it was sent, that behind what
// it has acknowledged of it, and what it is acknowledged itself. Before anything was sent they are those behind the SYNs.
func Next(r *flowtable.Record, to flowtable.Side) (next, acked, ack uint32) {
	e, in := &r.Egress, &r.Ingress
	host, peer := r.Host.ISN+1, r.Peer.ISN+1
	if to == flowtable.Inside {
		return peer + uint32(in.PNext), peer + uint32(in.HostAck), host + uint32(e.PUna)
	}
	return host + uint32(e.WNext), host + uint32(e.WAck), peer + uint32(in.WAcked)
}
