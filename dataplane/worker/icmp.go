package worker

import (
	"linecrypt/ctrlplane/shm"
	"linecrypt/dataplane/packet"
	"linecrypt/flowtable"
)

// icmp translates an ICMP error about a segment of an encrypted connection, in place: the segment that came back with it is
// not the one its sender knows. What is not such an error stays as it is. It reports false for an error that must not pass:
// the translation would make it credible, so that the translator does the check that its receiver would have done.
func (w *Worker) icmp(s side, p *packet.Packet) bool {
	e := &w.icmpErr
	if !p.ParseICMPError(e) {
		return true
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
		return true
	}
	r := w.table.Record(i)
	if r.State != flowtable.Encrypted {
		return true
	}
	if s == outside {
		return w.icmpToHost(p, e, r)
	}
	return w.icmpToPeer(p, e, r)
}

// icmpToHost translates an error about a frame. Only one about a frame in flight is believed (RFC 5927 section 4.1); the host
// hears of its oldest segment in flight, which it is sure to know.
func (w *Worker) icmpToHost(p *packet.Packet, e *packet.ICMPError, r *flowtable.Record) bool {
	eg := &r.Egress
	if !e.HasSeq || e.Seq-(r.Host.ISN+1+uint32(eg.WUna)) >= uint32(eg.WNext-eg.WUna) {
		return false
	}
	w.n[shm.ICMPTranslated]++
	p.RewriteICMPError(e, r.Host.ISN+1+uint32(eg.PUna), hostMTU(e.MTU))
	return true
}

// icmpToPeer translates an error about plaintext that was delivered. The MTU stays: that of the segments the far end sends is
// larger by a frame's overhead, but they need not be one frame each.
func (w *Worker) icmpToPeer(p *packet.Packet, e *packet.ICMPError, r *flowtable.Record) bool {
	in := &r.Ingress
	if !e.HasSeq || e.Seq-(r.Peer.ISN+1+uint32(in.HostAck)) >= uint32(in.PNext-in.HostAck) {
		return false
	}
	w.n[shm.ICMPTranslated]++
	p.RewriteICMPError(e, r.Peer.ISN+1+uint32(in.WAcked), e.MTU)
	return true
}

// minMTU is the smallest MTU an ICMP error is believed to mean (RFC 791 demands 68 bytes).
const minMTU = 68

// hostMTU is what an MTU leaves of a packet once a frame's overhead is taken. 0 is what a router says that does not tell one
// (RFC 1191 section 4), and the host guesses on.
func hostMTU(mtu uint32) uint32 {
	if mtu == 0 {
		return 0
	}
	return max(mtu, minMTU+overhead) - overhead
}
