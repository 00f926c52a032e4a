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
	for i, m := range ms {
		bytes += uint64(m.PktLen)
		p := &pkts[i]
		p.M, p.follows = m, false
		if !p.parseCommon(m.Data()) || p.Opt.usual == usualNot {
			p.Class = unparsed
			continue
		}
		p.Class = TCP
		p.follows = i > 0 && pkts[i-1].Class == TCP && pkts[i-1].plainPlaces() && p.plainPlaces() && p.sameEnd(&pkts[i-1])
		usual++
	}
	return bytes, usual
}
