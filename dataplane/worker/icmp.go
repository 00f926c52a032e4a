package worker

import (
	"encoding/binary"

	"linecrypt/ctrlplane/shm"
	"linecrypt/dataplane/handshake"
	"linecrypt/dataplane/packet"
	"linecrypt/dataplane/stream"
	"linecrypt/flowtable"
)

// icmp handles a packet that is not TCP. An ICMP error about a segment of an encrypted connection is translated: the segment
// that came back with it is not the one its sender knows. One that refuses a SYN with ENO is for set-up. One that may be about a
// connection of another worker goes to the next one. Everything else passes as it is.
func (w *Worker) icmp(s flowtable.Side, p *packet.Packet) {
	e := &w.icmpErr
	if !p.ParseICMPError(e) {
		w.pass(s, p)
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
	if i == 0 && w.elsewhere(k) {
		w.handOver(s, p)
		return
	}
	switch r := w.table.Record(i); {
	case i == 0:
		w.pass(s, p)
	case r.State == flowtable.Encrypted:
		w.icmpOfEncrypted(s, p, e, r)
	case r.State == flowtable.ActiveSyn && s == outside && e.Refuses() && e.HasSeq && intact(p):
		w.icmpRefusesSYN(p, e, i, r)
	default:
		w.pass(s, p)
	}
}

// icmpRefusesSYN tells set-up of an error about a SYN with ENO, which a path may have refused because of the option.
func (w *Worker) icmpRefusesSYN(p *packet.Packet, e *packet.ICMPError, i flowtable.Index, r *flowtable.Record) {
	refused := handshake.Event{Kind: handshake.EventRefused, Seg: handshake.Segment{From: outside, Seq: e.Seq}}
	w.step(i, r, p, &refused, w.now)
}

// icmpOfEncrypted handles an error about a segment of an encrypted connection.
func (w *Worker) icmpOfEncrypted(s flowtable.Side, p *packet.Packet, e *packet.ICMPError, r *flowtable.Record) {
	ok := intact(p)
	if ok && s == outside {
		ok = w.icmpToHost(p, e, r)
	} else if ok {
		ok = w.icmpToPeer(p, e, r)
	}
	if !ok {
		// The translation would make it credible, so that the gateway has done the check that its receiver would have done.
		w.drop(p, shm.DropICMP)
		return
	}
	w.n[shm.ICMPTranslated]++
	w.pass(s, p)
}

// icmpToHost translates an error about a frame, or reports false for one that must not pass. Only one about a frame in flight
// is believed (RFC 5927 section 4.1); the host hears of its oldest segment in flight, which it is sure to know.
func (w *Worker) icmpToHost(p *packet.Packet, e *packet.ICMPError, r *flowtable.Record) bool {
	seq, ok := stream.Quoted(r, flowtable.Outside, e.Seq)
	if !e.HasSeq || !ok {
		return false
	}
	mtu := e.MTU
	if e.HasMTU {
		// What is in flight was framed for a larger MTU and goes out again as it is, in several segments.
		mtu = errorMTU(p, e)
		w.learnPath(&pathKey{addr: r.Key.Outside, vlan: r.Key.VLAN, side: outside}, mtu)
		mtu = toldMTU(mtu, p.Ver == 4)
		r.Rare.Told = w.now
	}
	p.RewriteICMPError(e, seq, mtu)
	return true
}

// icmpToPeer translates an error about plaintext that was delivered. The MTU stays: that of the segments the far end sends is
// larger by a frame's overhead, but they need not be one frame each.
func (w *Worker) icmpToPeer(p *packet.Packet, e *packet.ICMPError, r *flowtable.Record) bool {
	seq, ok := stream.Quoted(r, flowtable.Inside, e.Seq)
	if !e.HasSeq || !ok {
		return false
	}
	mtu := e.MTU
	if e.HasMTU {
		// What the gateway itself sends the host goes there in segments of this size.
		mtu = max(errorMTU(p, e), uint32(leastMTU(p.Ver == 4)))
		w.learnPath(&pathKey{addr: r.Key.Inside, vlan: r.Key.VLAN, side: inside}, mtu)
	}
	p.RewriteICMPError(e, seq, mtu)
	return true
}

// plateaus are the MTUs of links (RFC 1191 section 7).
var plateaus = [...]uint32{32000, 17914, 8166, 4352, 2002, 1492, 1006, minMTU}

// errorMTU is the MTU that an error means. A router that tells none (RFC 1191 section 5) means one below the size of the packet
// it refused.
func errorMTU(p *packet.Packet, e *packet.ICMPError) uint32 {
	if p.Ver == 6 || e.MTU != 0 {
		return e.MTU
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
