package ends

import (
	"encoding/binary"

	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/packet"
	"linecrypt/flowtable"
)

// Collect takes what has come out of the gateway and returns how many packets it were.
func (e *Ends) Collect() int {
	total := 0
	for s := range flowtable.Side(flowtable.NumSides) {
		for {
			n := e.ports[s].Wire.Receive(e.ms[:], e.at[:])
			for i, m := range e.ms[:n] {
				e.receive(s, m, e.at[i])
			}
			e.openAll()
			if total += n; n == 0 {
				break
			}
		}
	}
	return total
}

// receive handles a packet that came out of the gateway at a side.
func (e *Ends) receive(s flowtable.Side, m *mbuf.Mbuf, at int64) {
	e.Received[s]++
	e.ReceivedBytes[s] += uint64(m.PktLen)
	p := &e.pkt
	if p.Parse(m) != packet.TCP {
		e.Stray++
		e.free(s, m)
		return
	}
	if e.ports[s].Checksum != Trusted && (!p.VerifyTCP() || !p.VerifyIPv4()) {
		e.wrong("a packet on the %s has a wrong checksum", s)
		e.free(s, m)
		return
	}
	if e.lose() {
		e.free(s, m)
		return
	}
	d := direction(s.Other()) // whose receiver is at this side
	b := m.Data()
	ip := b[p.L3:]
	src, dst := binary.BigEndian.Uint32(ip[12:]), binary.BigEndian.Uint32(ip[16:])
	host, far, hp, fp := src, dst, p.SrcPort, p.DstPort
	if d == down {
		host, far, hp, fp = dst, src, p.DstPort, p.SrcPort
	}
	n, ok := numberOf(host, hp)
	if far&0xffffff00 == floodNet && s == flowtable.Inside {
		e.ForgedOut++
		e.free(s, m)
		return
	}
	if !ok || int(n) >= len(e.flows) || far != farAddr(n) || fp != farPort(e.flows[n].life) || p.Ver != 4 {
		e.Stray++
		e.free(s, m)
		return
	}
	f := &e.flows[n]
	switch {
	case p.Flags&packet.FlagRST != 0:
		e.reset(n, s)
	case f.state < established || p.Flags&packet.FlagSYN != 0:
		e.handshake(n, d)
	default:
		e.taken(n, d)
		if p.PayloadLen > 0 || p.Flags&packet.FlagFIN != 0 {
			if e.arrive(n, d, at) {
				return // the buffer is kept until its tag is checked
			}
		}
	}
	e.free(s, m)
}

func (e *Ends) free(s flowtable.Side, m *mbuf.Mbuf) { e.ports[s].Cache.Free(m) }

// taken learns from a segment of the sender of direction d what it acknowledges of the other direction, and its timestamp.
func (e *Ends) taken(n uint32, d direction) {
	p, f := &e.pkt, &e.flows[n]
	if p.Opt.Has(packet.OptTimestamps) {
		f.saw[d.reverse()] = p.Opt.TSVal
	} else {
		e.wrong("connection %d: a segment without timestamps", n)
	}
	if p.Flags&packet.FlagACK == 0 {
		return
	}
	o := d.reverse()
	h := &f.halves[o]
	ack := unwrap(p.Ack, f.isn[o], h.una)
	end := e.end(f, n, o)
	switch {
	case int64(ack) < int64(h.una):
		return // overtaken
	case ack > end:
		e.wrong("connection %d: byte %d is acknowledged of %d that were sent", n, ack, end)
		return
	case ack > h.una:
		h.una, h.dups, h.moved = ack, 0, e.now
		if ack == end {
			h.moved = 0
		} else if k, _ := e.segmentAt(f, n, o, true, ack); k < h.recover {
			e.resendDue(n, o)
		}
		if o == down && h.gen < f.halves[up].gen {
			e.follow(n)
		}
		e.step(n)
	case p.PayloadLen == 0 && ack < end && p.Flags&packet.FlagFIN == 0:
		if h.dups++; h.dups == dupThreshold {
			if k, _ := e.segmentAt(f, n, o, true, ack); k >= h.recover {
				h.recover = h.sent
				e.resendDue(n, o)
			}
		}
	}
	h.edge = max(h.edge, ack+uint64(p.Win)<<shift)
}

// dupThreshold is the number of duplicate acknowledgements that tell of a loss (RFC 5681 section 3.2).
const dupThreshold = 3
