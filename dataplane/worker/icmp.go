package worker

import (
	"encoding/binary"

	"linecrypt/ctrlplane/shm"
	"linecrypt/dataplane/packet"
	"linecrypt/flowtable"
)

// icmp translates an ICMP error about a segment of an encrypted connection, in place: the segment that came back with it is
// not the one its sender knows. What is not such an error stays as it is. It reports false for an error that must not pass:
// the translation would make it credible, so that the translator does the check that its receiver would have done.
func (w *Worker) icmp(s flowtable.Side, p *packet.Packet) bool {
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
	if !intact(p) {
		return false
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
	mtu := e.MTU
	if e.HasMTU {
		mtu = pathMTU(p, e)
		// What is in flight was framed for a larger MTU and goes out again as it is, in several segments.
		r.Peer.MSS = min(r.Peer.MSS, uint16(min(max(mtu, leastCut)-headers(p), 65535)))
		mtu = max(mtu, minMTU+overhead) - overhead
	}
	w.n[shm.ICMPTranslated]++
	p.RewriteICMPError(e, r.Host.ISN+1+uint32(eg.PUna), mtu)
	return true
}

// icmpToPeer translates an error about plaintext that was delivered. The MTU stays: that of the segments the far end sends is
// larger by a frame's overhead, but they need not be one frame each.
func (w *Worker) icmpToPeer(p *packet.Packet, e *packet.ICMPError, r *flowtable.Record) bool {
	in := &r.Ingress
	if !e.HasSeq || e.Seq-(r.Peer.ISN+1+uint32(in.HostAck)) >= uint32(in.PNext-in.HostAck) {
		return false
	}
	if e.HasMTU {
		// What the gateway itself has in custody for the host goes there in segments of this size.
		r.Host.MSS = min(r.Host.MSS, uint16(min(max(pathMTU(p, e), leastCut)-headers(p), 65535)))
	}
	w.n[shm.ICMPTranslated]++
	p.RewriteICMPError(e, r.Peer.ISN+1+uint32(in.WAcked), e.MTU)
	return true
}

// The smallest MTU an ICMP error is believed to mean (RFC 791 and RFC 8201 section 4). An IPv6 host does not go below its
// own, so that its largest frames may be longer than the path takes.
const (
	minMTU  = 68
	minMTU6 = 1280

	leastCut = 552 // segments are cut no smaller than for this MTU, as forged errors would have it
)

// headers is the size of the headers without options in front of a payload.
func headers(p *packet.Packet) uint32 {
	if p.Ver == 6 {
		return 40 + 20
	}
	return 20 + 20
}

// plateaus are the MTUs of links (RFC 1191 section 7).
var plateaus = [...]uint32{32000, 17914, 8166, 4352, 2002, 1492, 1006, 508, 296, minMTU}

// pathMTU is the MTU that an error means. A router that tells none (RFC 1191 section 5) means one below the size of the packet
// it refused.
func pathMTU(p *packet.Packet, e *packet.ICMPError) uint32 {
	if p.Ver == 6 {
		return max(e.MTU, minMTU6)
	}
	if e.MTU != 0 {
		return max(e.MTU, minMTU)
	}
	refused := uint32(binary.BigEndian.Uint16(p.Data()[e.InnerL3+2:]))
	for _, mtu := range plateaus {
		if mtu < refused {
			return mtu
		}
	}
	return minMTU
}

// intact reports whether the ICMP checksum is right (RFC 792, RFC 4443 section 2.3).
func intact(p *packet.Packet) bool {
	body, sum := p.PayloadBytes(), uint16(0)
	if p.Ver == 6 {
		const icmpv6 = 58
		addresses := p.Data()[p.L3+8 : p.L3+40]
		sum = packet.Sum(addresses, packet.Sum([]byte{byte(len(body) >> 8), byte(len(body))}, icmpv6))
	}
	return packet.Sum(body, sum) == 0xffff
}
