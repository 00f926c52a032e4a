package stream

import (
	"linecrypt/ctrlplane/shm"
	"linecrypt/dataplane/mbuf"
	"linecrypt/flowtable"
)

// What of a frame was acknowledged before it was whole will not come again: its plaintext is the gateway's to deliver, with
// retransmission, until the host has acknowledged it.

// Timeouts of the delivery to the host, in ns, and how often it is tried.
const (
	deliveryRTO    = 200e6
	maxDeliveryTry = 15
)

// delivery is a frame's plaintext that the gateway delivers.
type delivery struct {
	m      *mbuf.Mbuf
	large  uint32
	off, n int
	p      PPos
	urgent uint16
	fin    bool
	urg    bool
	marks  uint8 // of congestion
	peer   peer
	used   bool
	next   uint32
}

// end is the position behind the frame, its FIN included.
func (d *delivery) end() PPos {
	if d.fin {
		return d.p + PPos(d.n) + 1
	}
	return d.p + PPos(d.n)
}

func (c *Core) freeDeliveryNode(i uint32) {
	if d := &c.deliveries[i]; d.used {
		c.delivering.sub(d.peer)
	}
	c.deliveries[i] = delivery{next: c.freeDelivery}
	c.freeDelivery = i
}

// allocDelivery returns a node for a frame of a peer's, 0 where there is none for it.
func (c *Core) allocDelivery(p peer) uint32 {
	i := c.freeDelivery
	if i == 0 || !c.delivering.may(p) {
		c.n[shm.DeliveriesRefused]++
		return 0
	}
	c.freeDelivery = c.deliveries[i].next
	c.deliveries[i] = delivery{peer: p, used: true}
	c.delivering.add(p)
	return i
}

// popDelivery frees the first frame.
func (c *Core) popDelivery(ra *reassembly) {
	i := ra.first
	d := &c.deliveries[i]
	ra.first = d.next
	if ra.first == 0 {
		ra.last = 0
	}
	c.cache.Free(d.m)
	if d.large != 0 {
		c.large.release(d.large)
	}
	c.freeDeliveryNode(i)
}

// unsent reports whether frames have to be sent before anything behind them.
func (ra *reassembly) unsent(c *Core) bool {
	return ra.last != 0 && ra.sent < c.deliveries[ra.last].end()
}

func (f *flow) deliveryUnsent() bool {
	ra := f.reassembly()
	return ra != nil && ra.unsent(f.c)
}

// reserveDelivery makes sure that a frame has a node for its delivery.
func (f *flow) reserveDelivery(ref *openRef) bool {
	if ref.delivery == 0 {
		ra := f.reassemblyOf()
		if ra == nil {
			return false
		}
		ref.delivery = f.c.allocDelivery(ra.peer)
	}
	return ref.delivery != 0
}

// enqueueDelivery makes an opened frame one that the gateway delivers, behind those in front of it. The flow's object is made by
// now, unless it became idle while the frame was being opened.
func (f *flow) enqueueDelivery(ref *openRef, pt *opened, p PPos) {
	ra := f.reassemblyOf()
	if ra == nil {
		f.c.freeRef(ref)
		f.c.Abort(f.idx, f.r, shm.AbortDelivery, f.now, f.out)
		return
	}
	i := ref.delivery
	d := &f.c.deliveries[i]
	*d = delivery{
		m: ref.m, large: ref.large, off: pt.off, n: pt.n, p: p, urgent: pt.urgent, fin: pt.fin, urg: pt.urg, peer: d.peer, used: true,
		marks: ref.flags & congestion,
	}
	ref.m, ref.large, ref.delivery = nil, 0, 0
	if ra.last == 0 || f.c.deliveries[ra.last].end() <= p && !ra.unsent(f.c) {
		ra.sent = max(ra.sent, p)
	}
	at, last := &ra.first, uint32(0)
	for *at != 0 && f.c.deliveries[*at].p < p {
		last, at = *at, &f.c.deliveries[*at].next
	}
	d.next, *at = *at, i
	if d.next == 0 {
		ra.last = i
	} else if last == 0 && p < ra.sent {
		f.sendDelivery(d, d.p, f.insidePayload())
	}
	if ra.timer == 0 {
		ra.timer = f.now + ra.rto
	}
}

// sendDelivery sends up to n bytes of a frame from p on, and its FIN if they reach its end. It returns the positions sent.
func (f *flow) sendDelivery(d *delivery, p PPos, n int) PPos {
	if !f.emitRoom(1) {
		return 0
	}
	em := f.build(ToHost)
	if em == nil {
		return 0
	}
	at := int(p - d.p)
	n = min(n, d.n-at, int(em.M.BufLen)-BuildOffset)
	var src []byte
	if d.large != 0 {
		src = f.c.large.buf(d.large)
	} else {
		src = d.m.Buf()
	}
	copy(em.M.Buf()[BuildOffset:BuildOffset+n], src[d.off+at:])
	em.M.SetBounds(BuildOffset, n)
	em.Len = n
	em.Seq = f.peerISN() + uint32(p)
	em.Ack, em.Win = f.toHost()
	em.Flags, em.CE = ACK|PSH|d.marks&ECE, d.marks&congested != 0
	if at == 0 {
		em.Flags |= d.marks & CWR
	}
	sent := PPos(n)
	if d.fin && at+n == d.n {
		em.Flags |= FIN
		sent++
	}
	if urgent := int(d.urgent) + 1 - at; d.urg && urgent > 0 {
		em.Flags |= URG
		em.Urg = uint16(min(urgent, 65535))
	}
	return sent
}

// deliveryAt returns the frame that has position p, or nil.
func (c *Core) deliveryAt(ra *reassembly, p PPos) *delivery {
	for i := ra.first; i != 0; i = c.deliveries[i].next {
		if d := &c.deliveries[i]; d.end() > p {
			if d.p <= p {
				return d
			}
			return nil
		}
	}
	return nil
}

// deliverMore sends what the host's window takes.
func (f *flow) deliverMore() {
	in := &f.r.Ingress
	ra := f.reassembly()
	if ra == nil {
		return
	}
	mss := f.insidePayload()
	for ra.unsent(f.c) {
		d := f.nextUnsent(ra)
		room := int64(in.PEdge) - int64(ra.sent)
		rest := d.n - int(ra.sent-d.p)
		if want := min(mss, rest); room < int64(want) && (room <= 0 || uint64(ra.sent) > in.HostAck) {
			break
		}
		n := f.sendDelivery(d, ra.sent, int(min(int64(mss), max(room, 1))))
		if n == 0 {
			in.Flags |= flowtable.IngressStalled
			break
		}
		ra.sent += n
	}
	if ra.first != 0 && ra.timer == 0 {
		ra.timer = f.now + ra.rto
	}
}

// nextUnsent returns the frame at ra.sent, which moves on over frames that were delivered otherwise.
func (f *flow) nextUnsent(ra *reassembly) *delivery {
	for i := ra.first; i != 0; i = f.c.deliveries[i].next {
		if d := &f.c.deliveries[i]; d.end() > ra.sent {
			ra.sent = max(ra.sent, d.p)
			return d
		}
	}
	return nil
}

// deliveryAcked frees what the host has, and sends again what it asks for by three duplicate acknowledgements.
func (f *flow) deliveryAcked(news *ackNews) {
	in := &f.r.Ingress
	ra := f.reassembly()
	if ra == nil {
		return
	}
	for ra.first != 0 && uint64(f.c.deliveries[ra.first].end()) <= in.HostAck {
		f.c.popDelivery(ra)
	}
	if ra.again.active && uint64(ra.again.start) < in.WAckH {
		f.c.freeAssembly(&ra.again)
	}
	ra.sent = max(ra.sent, PPos(in.HostAck))
	ra.tries = 0
	switch {
	case ra.first == 0:
		ra.timer, ra.rto = 0, deliveryRTO
	case news.advanced:
		ra.rto = deliveryRTO
		ra.timer = f.now + ra.rto
	case news.dup && in.HostDups == 3:
		if d := f.c.deliveryAt(ra, PPos(in.HostAck)); d != nil && PPos(in.HostAck) < ra.sent {
			f.count(shm.DeliveryResent)
			f.sendDelivery(d, PPos(in.HostAck), f.insidePayload())
		}
	}
	f.idleReassembly()
}

// deliveryTimeout sends the first thing again that the host has not acknowledged; into a closed window, one byte.
func (f *flow) deliveryTimeout(ra *reassembly) {
	in := &f.r.Ingress
	ra.timer = 0
	if ra.first == 0 {
		return
	}
	d := f.c.deliveryAt(ra, PPos(in.HostAck))
	if d == nil {
		ra.timer = f.now + ra.rto
		return
	}
	if ra.tries >= maxDeliveryTry {
		f.c.Abort(f.idx, f.r, shm.AbortDelivery, f.now, f.out)
		return
	}
	ra.tries++
	n := f.insidePayload()
	if in.PEdge <= in.HostAck {
		n = 1
	}
	f.count(shm.DeliveryResent)
	sent := f.sendDelivery(d, PPos(in.HostAck), n)
	ra.sent = max(ra.sent, PPos(in.HostAck)+sent)
	ra.rto = min(2*ra.rto, int64(maxRTO))
	ra.timer = f.now + ra.rto
}
