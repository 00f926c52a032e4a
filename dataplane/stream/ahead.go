package stream

import (
	"unsafe"

	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/packet"
	"linecrypt/flowtable"
)

// packetsAhead is for how many packets the lines that their translation writes are on their way to the first-level cache, which a burst with
// all that is noted of it does not fit in.
const packetsAhead = packet.RunAhead

// AheadFirst asks for the lines of the first packets of a burst, which the others follow while it is worked: see Ahead.
func (o *Output) AheadFirst(burst []packet.Packet, fromHost bool) {
	for i := range burst[:min(len(burst), packetsAhead)] {
		o.ahead(burst[i].M, i, fromHost)
	}
}

// Ahead asks for the lines of the packet that comes packetsAhead behind the first of those that are left of a burst, and for those of the output
// where it will go. Train does so itself.
func (o *Output) Ahead(burst []packet.Packet, fromHost bool) {
	if len(burst) > packetsAhead {
		o.ahead(burst[packetsAhead].M, packetsAhead, fromHost)
	}
}

func (o *Output) ahead(m *mbuf.Mbuf, n int, fromHost bool) {
	if fromHost {
		o.sealAhead(m, n)
	} else {
		o.openAhead(m, n)
	}
}

// sealAhead asks for the lines of a packet of the host's with data that is taken when n others have been.
func (o *Output) sealAhead(m *mbuf.Mbuf, n int) {
	em, op := min(len(o.Emits)+n, cap(o.Emits)-1), min(len(o.Seals)+n, cap(o.Seals)-1)
	mbuf.PrefetchPacket(m, unsafe.Pointer(&o.Emits[:em+1][em]), unsafe.Pointer(&o.Seals[:op+1][op]))
}

// openAhead is sealAhead for one of the far end's.
func (o *Output) openAhead(m *mbuf.Mbuf, n int) {
	op := min(len(o.Opens)+n, cap(o.Opens)-1)
	mbuf.PrefetchPacket(m, unsafe.Pointer(&o.openRefs[:op+1][op]), unsafe.Pointer(&o.Opens[:op+1][op]))
}

// Ahead asks for the cache lines of the frames in flight that a segment which is about to come will acknowledge, or begin. Data says that
// it has some.
func (c *Core) Ahead(r *flowtable.Record, fromHost, data bool) {
	if fromHost {
		c.aheadOfHost(r, data)
	} else {
		c.aheadOfWire(r, data)
	}
}

func (c *Core) aheadOfHost(r *flowtable.Record, data bool) {
	out, in := &r.Egress.Queue, &r.Ingress.Queue
	front := c.entryAt(c.chunks.FrontID(in)) // of an empty ledger, one that is nobody's
	if !data {
		mbuf.PrefetchFour(front, unsafe.Add(front, line), front, front)
		return
	}
	id := c.chunks.NextID(out)
	mbuf.PrefetchFour(c.entryAt(id), unsafe.Pointer(&c.kept[id]), front, unsafe.Add(front, line))
}

func (c *Core) aheadOfWire(r *flowtable.Record, data bool) {
	out, in := &r.Egress.Queue, &r.Ingress.Queue
	id := c.chunks.FrontID(out)
	front := c.entryAt(id) // an acknowledgement is for two frames, as a rule
	next := front
	if data {
		next = c.entryAt(c.chunks.NextID(in))
	}
	mbuf.PrefetchFour(front, unsafe.Add(front, line), unsafe.Pointer(&c.kept[id]), next)
}

// line is the size of a cache line in bytes.
const line = 64

func (c *Core) entryAt(id flowtable.EntryID) unsafe.Pointer { return unsafe.Pointer(c.chunks.At(id)) }
