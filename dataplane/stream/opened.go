package stream

import (
	"linecrypt/cryptobatch"
	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/flowtable"
)

// Opened takes the results of out.Opens and empties it; it delivers, and may add emits and, for rekeying, seals.
func (c *Core) Opened(out *Output, now int64) {
	n := len(out.Opens)
	var f flow
	var before delivered
	for i := 0; i < n; i++ {
		ref := &out.openRefs[i]
		if f.r != ref.r {
			f.view(c, ref.flow, ref.r, now, out)
		}
		if before.r == ref.r {
			if run := f.deliverRun(out.openRefs[i:], out.Opens[i:n], &before); run > 0 {
				i += run - 1
				continue
			}
		}
		ok := out.Opens[i].Status == cryptobatch.StatusOK
		if ref.common && ok && f.openedCommon(ref, &before) {
			continue
		}
		before.r = nil
		if ref.r.Egress.Flags&flowtable.EgressDead != 0 {
			f.count(shm.DropClosed)
			c.freeRef(ref)
			continue
		}
		switch ref.kind {
		case openNext, openAssembled:
			f.openedNext(ref, ok)
		case openRedeliver:
			f.openedRedeliver(ref, ok)
		case openRedeliverAssembled:
			f.openedRedeliverAssembled(ref, ok)
		case openRival:
			f.openedRival(ref, ok)
		}
		f.settle()
		c.judge(ref.r)
	}
	out.Opens, out.openRefs = out.Opens[:0], out.openRefs[:0]
	if !out.Pending() {
		c.keys.sweep()
	}
}

// opened is a frame's plaintext within its buffer.
type opened struct {
	off, n int
	urgent uint16
	fin    bool
	urg    bool
}

// parse finds the data of an opened frame; false where it has no room for what its flags promise.
func (c *Core) parse(ref *openRef) (opened, bool) {
	b := c.frameBytes(ref)
	pt, err := tcpcrypt.ParsePlaintext(b[tcpcrypt.HeaderLen : len(b)-tcpcrypt.TagLen])
	if err != nil {
		return opened{}, false
	}
	at := tcpcrypt.HeaderLen + pt.PrefixLen()
	return opened{off: ref.off + at, n: len(pt.Data), urgent: pt.Urgent, fin: pt.FIN, urg: pt.URG}, true
}

// openedNext takes the next frame of the stream.
func (f *flow) openedNext(ref *openRef, ok bool) {
	in := &f.r.Ingress
	if uint64(ref.w) != in.WOpen {
		f.count(shm.DropIngressBehindFailure)
		f.c.freeRef(ref)
		return
	}
	if !ok {
		f.authFailed(ref)
		return
	}
	pt, ok := f.c.parse(ref)
	if !ok || in.Flags&flowtable.IngressFINp != 0 {
		why := shm.AbortMalformed
		if ok {
			why = shm.AbortBehindFinp
		}
		f.c.freeRef(ref)
		f.c.Abort(f.idx, f.r, why, f.now, f.out)
		return
	}
	byGateway := ref.kind == openAssembled || f.deliveryUnsent()
	if byGateway && !f.reserveDelivery(ref) {
		f.rollback(ref, shm.DropIngressLimit)
		return
	}
	en := f.pushOpened()
	if en == nil {
		f.rollback(ref, shm.DropIngressLimit)
		return
	}
	p := PPos(in.PNext)
	f.enter(en, ref, &pt, byGateway)
	if ref.rekey {
		f.commitNext(ref.w)
		if in.Probes > 0 && f.r.Rare.OpenGen >= f.r.Rare.SealGen {
			f.answered()
		}
	}
	f.advanceHost()
	switch {
	case pt.n == 0 && !pt.fin:
		f.c.freeRef(ref)
		f.tellOfEmpty()
	case byGateway:
		f.count(shm.DeliveryFrames)
		f.enqueueDelivery(ref, &pt, p)
		f.deliverMore()
		f.tell()
	default:
		f.deliver(ref, &pt, p)
	}
}

// pushOpened makes a ledger entry for an opened frame; nil where the flow's host leaves too many unacknowledged. Beyond its minimum a
// flow may have as many as are free, but for an eighth of the ledger.
func (f *flow) pushOpened() *flowtable.Entry {
	c, q := f.c, &f.r.Ingress.Queue
	if q.Count >= minFlight {
		free := (c.chunks.Free() - c.chunks.Len()/8) * flowtable.ChunkEntries
		if q.Count >= c.cfg.FlowFrames || int(q.Count-minFlight) >= free {
			return nil
		}
	}
	en, _ := c.chunks.Push(q)
	return en
}

// enter records an authentic frame as delivered.
func (f *flow) enter(en *flowtable.Entry, ref *openRef, pt *opened, byGateway bool) {
	in := &f.r.Ingress
	*en = flowtable.Entry{WEnd: in.WOpen + uint64(ref.n), Len: uint32(ref.n), Over: uint8(ref.n - pt.n)}
	if pt.fin {
		en.Flags |= flowtable.EntryFIN
		in.Flags |= flowtable.IngressFINp
	}
	if pt.urg {
		en.Flags |= flowtable.EntryURG
	}
	if ref.rekey {
		en.Flags |= flowtable.EntryRekey
	}
	if byGateway {
		en.Flags |= flowtable.EntryDelivery
	}
	in.WOpen = en.WEnd
	in.PNext += plainLen(en)
	in.Failures = 0
	f.c.n[shm.OpenedFrames]++
	f.c.n[shm.OpenedBytes] += uint64(pt.n)
}

// tell acknowledges to the wire what the host will not, and to the host what was to go with data.
func (f *flow) tell() {
	if f.wireNews() {
		f.ackWire()
	}
	if f.hostNews() {
		f.ackHost()
	}
}

// tellOfEmpty is tell for a frame without plaintext, of which the host need not know: that frames of the gateway's own make the far
// end's window smaller for a moment is no news to it, and every acknowledgement would be a sign to it that the far end lives.
func (f *flow) tellOfEmpty() {
	if f.wireNews() {
		f.ackWire()
	}
	e := &f.r.Egress
	if win, _ := f.hostWindow(); win > e.WinTold || f.hostISN()+uint32(f.acked()) != e.AckTold {
		f.ackHost()
	}
}

// deliver sends an opened frame to the host as one segment.
func (f *flow) deliver(ref *openRef, pt *opened, p PPos) {
	m, off, kind := ref.m, pt.off, EmitForward
	ref.m = nil
	if ref.hdrEnd < 0 {
		kind = EmitBuild
		m.SetBounds(off, pt.n)
	} else {
		moveHeaders(m, ref.hdrEnd, off, pt.n)
	}
	em := f.emit(kind, ToHost, m, off, pt.n)
	if em == nil {
		return
	}
	em.Seq = f.peerISN() + uint32(p)
	em.Ack, em.Win = f.toHost()
	em.TSVal, em.TSEcr = f.r.Peer.TSVal, f.r.Host.TSVal
	if ref.hdrEnd >= 0 {
		em.TSEcr, em.NewTS = ref.tsEcr, ref.hasTS && ref.tsVal != em.TSVal
	}
	em.Flags, em.CE = ref.flags&(PSH|ECE|CWR)|ACK, ref.flags&congested != 0
	f.mark(em, pt)
}

// mark sets what a frame's plaintext says of FIN and urgent data.
func (f *flow) mark(em *Emit, pt *opened) {
	if pt.fin {
		em.Flags |= FIN
	}
	if pt.urg {
		em.Flags |= URG
		em.Urg = uint16(min(uint32(pt.urgent)+1, 65535))
	}
}

// authFailed takes a frame whose tag is wrong. While none of its bytes was acknowledged, a retransmission may be right
// (RFC 8548 section 3.6).
func (f *flow) authFailed(ref *openRef) {
	if f.failedForGood() || f.r.Ingress.WAcked > uint64(ref.w) {
		f.count(shm.DropIngressAuth)
		f.c.freeRef(ref)
		f.c.Abort(f.idx, f.r, shm.AbortAuth, f.now, f.out)
		return
	}
	f.rollback(ref, shm.DropIngressAuth)
}

// failurePatience is for how long, in ns, frames at one place may fail before the connection is aborted: one that is forged, or damaged
// by chance, is followed by its sender's own within that.
const failurePatience = 5e9

// failedForGood counts what came in the place of a frame and was none, and reports whether that has gone on for too long.
func (f *flow) failedForGood() bool {
	in := &f.r.Ingress
	if in.Failures == 0 {
		f.r.Rare.FailedAt = f.now
	}
	in.Failures = min(in.Failures, 254) + 1
	return in.Failures >= f.c.cfg.AuthFailures && f.now-f.r.Rare.FailedAt >= failurePatience
}

// rollback forgets a frame, and those behind it, as if their segments had not come.
func (f *flow) rollback(ref *openRef, why shm.Counter) {
	in := &f.r.Ingress
	f.count(why)
	w := ref.w
	if ref.kind == openAssembled && in.WAcked > uint64(w) {
		f.c.freeRef(ref)
		f.c.Abort(f.idx, f.r, shm.AbortAuth, f.now, f.out)
		return
	}
	f.c.freeRef(ref)
	in.WNext = uint64(w)
	f.dropNext()
	if a := f.inProgress(); a != nil {
		f.c.freeAssembly(a)
		f.idleReassembly()
	}
	f.forgetFin()
	f.retryRivals()
	if f.hostNews() {
		f.ackHost()
	}
}

// checkFin judges the wire's FIN once everything in front of it was received: the frame before it must have said that it is
// the last (RFC 8548 section 3.7).
func (f *flow) checkFin() {
	in := &f.r.Ingress
	if in.Flags&flowtable.IngressWireFIN == 0 || in.WNext != in.WOpen || f.r.Egress.Flags&flowtable.EgressDead != 0 {
		return
	}
	if a := f.inProgress(); a != nil && a.whole() {
		return // it waits to be opened, and may be the last one
	}
	next := f.contiguous()
	switch {
	case in.Flags&flowtable.IngressFINp != 0 && f.r.Rare.WFin == in.WOpen:
		if f.wireNews() {
			f.ackWire()
		}
	case f.r.Rare.WFin < uint64(next):
		f.forgetFin()
	case f.r.Rare.WFin == uint64(next) && f.r.Local.OutOfOrder == 0 && in.Flags&flowtable.IngressFINp == 0:
		if in.Flags&flowtable.IngressInOrder == 0 {
			f.forgetFin()
			return
		}
		f.c.Abort(f.idx, f.r, shm.AbortFinWithoutFinp, f.now, f.out)
	}
}
