package packet

import "linecrypt/dataplane/mbuf"

// unparsed is the class of a packet that parseBurst has left to Parse.
const unparsed Class = 255

// ParseBurst parses the packets of a burst, of which there are some, each into the place in pkts that has its number: there are as many at
// least. It returns the bytes of all of them and how many are TCP segments. The lines of each packet that are read, moved, sealed or opened
// are asked for some packets ahead.
func ParseBurst(ms []*mbuf.Mbuf, pkts []Packet) (bytes uint64, tcp int) {
	bytes, tcp = parseBurst(ms, pkts)
	if tcp == len(ms) {
		return bytes, tcp
	}
	for i, m := range ms {
		if p := &pkts[i]; p.Class == unparsed && p.Parse(m) == TCP {
			tcp++
		}
	}
	return bytes, tcp
}

// parseBurstGo is the twin of the assembly.
func parseBurstGo(ms []*mbuf.Mbuf, pkts []Packet) (bytes uint64, usual int) {
	other := Other
	for i, m := range ms {
		bytes += uint64(m.PktLen)
		p := &pkts[i]
		p.M, p.behind = m, Anything
		if !p.parseCommon(m.Data()) || p.Opt.usual == usualNot {
			p.Class = unparsed
			other = Anything
			continue
		}
		p.Class = TCP
		if p.behind = other; i > 0 && other == Other && p.sameEnd(&pkts[i-1]) {
			p.behind = Same
		}
		other = Other
		usual++
	}
	return bytes, usual
}
