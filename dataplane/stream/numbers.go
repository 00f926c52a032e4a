package stream

import (
	"linecrypt/flowtable"
)

// Numbers returns sequence and acknowledgement number of an empty segment of the gateway's own to one side of a connection: what is
// sent next, and what was received and acknowledged.
func Numbers(r *flowtable.Record, to flowtable.Side) (seq, ack uint32) {
	host, peer := r.Host.ISN+1, r.Peer.ISN+1
	if to == flowtable.Inside {
		return peer + uint32(r.Ingress.PNext), host + uint32(r.Egress.PUna)
	}
	return host + uint32(r.Egress.WNext), peer + uint32(r.Ingress.WAcked)
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
	return [2]uint32{first + uint32(r.Ingress.WNext), first + uint32(r.Ingress.WAcked)}
}
