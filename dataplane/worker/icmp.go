package worker

import (
	"linecrypt/dataplane/packet"
	"linecrypt/flowtable"
)

// icmp translates an ICMP error about a segment of an encrypted connection, in place: the segment that came back with it is
// not the one its sender knows. What is not such an error stays as it is.
func (w *Worker) icmp(s side, p *packet.Packet) {
	e := &w.icmpErr
	if !p.ParseICMPError(e) {
		return
	}
	// The embedded segment went the other way than the error: from the host whom the error is for.
	k := &w.icmpKey
	k.VLAN = p.VLAN
	if s == outside {
		k.Inside, k.Outside, k.InsidePort, k.OutsidePort = e.Src, e.Dst, e.SrcPort, e.DstPort
	} else {
		k.Inside, k.Outside, k.InsidePort, k.OutsidePort = e.Dst, e.Src, e.DstPort, e.SrcPort
	}
	i := w.table.Lookup(k, w.table.Hash(k))
	if i == 0 {
		return
	}
	r := w.table.Record(i)
	if r.State != flowtable.Encrypted {
		return
	}
	if s == outside {
		// Only the oldest segment in flight is sure to be one the host still knows (RFC 5927 section 4.1 asks for a sequence
		// number in flight).
		p.RewriteICMPError(e, r.Host.ISN+1+uint32(r.Egress.PUna), max(e.MTU, minMTU)-overhead)
		return
	}
	p.RewriteICMPError(e, r.Peer.ISN+1+uint32(r.Ingress.WAcked), e.MTU)
}

// minMTU is the smallest MTU an ICMP error is believed to mean (RFC 791 demands 68 bytes).
const minMTU = 68 + overhead
