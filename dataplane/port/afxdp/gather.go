package afxdp

import (
	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/port"
)

// gather joins the pieces that a packet comes in, each of a chunk, into one buffer. Pieces of one packet may come with several polls.
type gather struct {
	packet *mbuf.Mbuf  // what has come of a packet, nil between packets
	lost   *port.Count // where a packet is counted that is dropped, once its last piece has come; nil for one that is not
}

// counts are what a queue drops, by name.
type counts struct {
	superPackets, truncated, noMbuf, txErrors port.Count
}

// add takes a piece in, and returns the packet once it is whole. It returns nothing while it is not, and for a packet that is dropped:
// one longer than longest or than a buffer, shorter than its header, for which there is no buffer, or with a piece that is not sound.
func (g *gather) add(piece []byte, sound, more bool, longest int, cache *mbuf.Cache, c *counts) *mbuf.Mbuf {
	if g.lost == nil {
		g.join(piece, sound, longest, cache, c)
	}
	if more {
		return nil
	}
	m, lost := g.packet, g.lost
	g.packet, g.lost = nil, nil
	switch {
	case lost != nil:
		lost.Add(1)
		return nil
	case m.DataLen < ethHeader:
		c.truncated.Add(1)
		cache.Free(m)
		return nil
	}
	return m
}

// join adds a piece to the packet, or finds out that the packet is lost.
func (g *gather) join(piece []byte, sound bool, longest int, cache *mbuf.Cache, c *counts) {
	if g.packet == nil {
		g.packet = cache.Alloc()
	}
	m := g.packet
	switch {
	case m == nil:
		g.lost = &c.noMbuf
		return
	case !sound:
		g.lost = &c.truncated
	case int(m.DataLen)+len(piece) > longest || !m.Append(piece):
		g.lost = &c.superPackets
	default:
		return
	}
	g.drop(cache)
}

// drop frees what has come of a packet.
func (g *gather) drop(cache *mbuf.Cache) {
	if g.packet != nil {
		cache.Free(g.packet)
		g.packet = nil
	}
}
