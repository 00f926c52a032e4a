package stream

import (
	"unsafe"

	"linecrypt/cryptobatch"
	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/dataplane/mbuf"
	"linecrypt/flowtable"
)

// Initial and largest retransmission timeout of what the gateway retransmits itself, and how often it does, in ns.
const (
	ownRTO    = 1e9
	maxRTO    = 60e9
	maxOwnTry = 9
)

// sealRef goes with an operation of Output.Seals.
type sealRef struct {
	r     *flowtable.Record
	wEnd  uint64
	flow  flowtable.Index
	entry flowtable.EntryID
	emit  int32 // of a new frame
	again int32 // of a frame that is sealed again: index in Output.reseals plus 1
}

// EgressSegment takes a segment from the host.
func (c *Core) EgressSegment(idx flowtable.Index, r *flowtable.Record, seg *Segment, now int64, out *Output) {
	c.begin(out)
	var f flow
	f.view(c, idx, r, now, out)
	f.egress(seg)
	c.judge(r)
}

func (f *flow) egress(seg *Segment) {
	r, e := f.r, &f.r.Egress
	if e.Flags&flowtable.EgressDead != 0 {
		f.straggler(seg, ToHost)
		return
	}
	f.stamps(seg, &r.Host, &r.Peer)
	if seg.Flags&RST != 0 {
		f.hostReset(seg)
		return
	}
	if e.Flags&flowtable.EgressKeys == 0 {
		f.drop(seg.M, shm.DropNoKeys)
		return
	}
	p := unwrap(seg.Seq, f.hostISN(), e.PNext)
	ack := unwrap(seg.Ack, f.peerISN(), r.Ingress.HostAck)
	if !f.acceptHost(seg, p, ack) {
		return
	}
	var news ackNews
	f.hostAck(seg, ack, &news)
	if seg.Len == 0 && seg.Flags&FIN == 0 {
		f.forwardHostAck(seg, &news)
	} else {
		f.hostData(seg, p)
	}
	if r.Local.Reassembly != 0 {
		f.deliverMore()
	}
	if r.Ingress.Flags&flowtable.IngressFINp != 0 {
		f.checkClosed()
	}
}

// hostData takes a segment with payload or FIN at plaintext position p.
func (f *flow) hostData(seg *Segment, p int64) {
	e := &f.r.Egress
	end := p + int64(seg.Len)
	if seg.Flags&FIN != 0 {
		end++
	}
	switch {
	case p > int64(e.PNext):
		f.behindGap(seg, uint64(p), uint64(end))
		return
	case p < int64(e.PNext):
		f.resend(seg, p, end)
		if end <= int64(e.PNext) {
			f.c.cache.Free(seg.M)
			return
		}
		cut := int(int64(e.PNext) - p)
		seg.Off, seg.Len, seg.Seq = seg.Off+cut, seg.Len-cut, seg.Seq+uint32(cut)
		seg.Urg -= uint16(min(cut, int(seg.Urg)))
		f.frameSegment(seg, seg.Off-cut)
	default:
		f.frameSegment(seg, seg.Off)
	}
	if f.r.Local.Gap != 0 {
		f.fillGap()
	}
}

// refuse drops what the host must send again, and tells it at once how far it is.
func (f *flow) refuse(seg *Segment, why shm.Counter) {
	f.drop(seg.M, why)
	f.ackHost()
	if f.wireNews() {
		f.ackWire()
	}
}

// probe turns the host's segment into an empty one just before what the far end expects, which it answers.
func (f *flow) probe(seg *Segment) {
	if e := f.emit(EmitForward, ToWire, seg.M, seg.Off, 0); e != nil {
		moveHeaders(seg.M, seg.Off, seg.Off, 0)
		e.Seq = f.hostISN() + uint32(f.r.Egress.WUna) - 1
		e.Ack, e.Win = f.toWire()
		f.stampWire(e, seg)
	}
}

// frameSegment makes one frame of new plaintext, or two where urgent data makes it too long. The headers end at hdrEnd.
func (f *flow) frameSegment(seg *Segment, hdrEnd int) {
	e := &f.r.Egress
	urgent := seg.Flags&URG != 0 && seg.Urg > 0
	switch {
	case e.Flags&flowtable.EgressFIN != 0:
		f.refuse(seg, shm.DropEgressBehindFin)
		return
	case !f.mayFly(e.PNext + uint64(seg.Len) + uint64(seg.Flags&FIN)):
		f.refuse(seg, shm.DropEgressLimit)
		return
	case seg.Len > tcpcrypt.MaxData-tcpcrypt.UrgentLen:
		f.refuse(seg, shm.DropEgressRoom)
		return
	case len(f.out.Emits) == cap(f.out.Emits) || len(f.out.Seals) == cap(f.out.Seals):
		f.drop(seg.M, shm.DropNoOutput)
		return
	}
	over := tcpcrypt.Overhead
	if urgent {
		over += tcpcrypt.UrgentLen
	}
	head := over - tcpcrypt.TagLen
	hdrLen := hdrEnd - seg.M.DataOff()
	if seg.Off-head-hdrLen < 0 || seg.Off+seg.Len+tcpcrypt.TagLen > int(seg.M.BufLen) {
		f.refuse(seg, shm.DropEgressRoom)
		return
	}
	if urgent && seg.Len+over > f.wirePayload() {
		f.splitUrgent(seg, hdrEnd)
		return
	}
	n := seg.Len + over
	if free := int64(e.WEdge) - int64(e.WNext); int64(n) > free {
		if e.Queue.Count > 0 || free <= int64(over) {
			f.noWindow(seg, hdrEnd)
			return
		}
		// Nothing in flight will move the edge: what fits goes, the host sends the rest again.
		n = int(free)
		seg.Len, seg.Flags = n-over, seg.Flags&^FIN
	}
	f.sealSegment(seg, hdrEnd, head, n)
}

// sealSegment frames a segment's payload in place. All checks are done; what can still fail is the ledger.
func (f *flow) sealSegment(seg *Segment, hdrEnd, head, n int) {
	e := &f.r.Egress
	fin := seg.Flags&FIN != 0
	start := seg.Off - head
	m := seg.M
	var flags, eflags byte
	var urgent uint16
	if fin {
		flags, eflags = tcpcrypt.FlagFIN, flowtable.EntryFIN
	}
	if head > tcpcrypt.HeaderLen+tcpcrypt.FlagsLen {
		flags, eflags, urgent = flags|tcpcrypt.FlagURG, eflags|flowtable.EntryURG, seg.Urg-1
	}
	if f.rekeyDue() && !f.rekeyIfDue(n) {
		f.drop(m, shm.DropEgressRekey)
		f.c.Abort(f.idx, f.r, shm.AbortKeyLimit, f.now, f.out)
		return
	}
	w := e.WNext
	en, id := f.c.pushFrame(f.r)
	if en == nil {
		f.refuse(seg, shm.DropEgressLimit)
		return
	}
	moveHeaders(m, hdrEnd, start, n)
	em := f.emit(EmitForward, ToWire, m, start, n)
	buf := m.Buf()
	buf[start+tcpcrypt.HeaderLen] = flags
	if flags&tcpcrypt.FlagURG != 0 {
		buf[start+4], buf[start+5] = byte(urgent>>8), byte(urgent)
		em.Urg = uint16(min(n, 65535))
	}
	if n > packLimit || !f.c.packs(f.r.Egress.Queue.Count) {
		f.keepWhole(id, m, start)
	}
	en.Urg = urgent
	f.enqueueSeal(en, id, m, start, n, n-seg.Len, eflags)
	em.Seq = f.hostISN() + uint32(w)
	em.Ack, em.Win = f.toWire()
	// A segment that was overtaken would be older than what the far end has seen (RFC 7323 section 5.3); one that waited behind a gap
	// tells its own only now.
	if seg.HasTS && later(seg.TSVal, f.r.Host.TSVal) {
		f.r.Host.TSVal = seg.TSVal
	}
	em.TSVal, em.TSEcr = f.r.Host.TSVal, seg.TSEcr
	em.NewTS = seg.HasTS && seg.TSVal != em.TSVal
	em.Flags = seg.Flags&^(URG|FIN|SYN) | ACK
	if flags&tcpcrypt.FlagURG != 0 {
		em.Flags |= URG
	}
	if fin {
		em.Flags |= FIN
	}
}

// enqueueSeal enters a frame of n bytes, whose flags and data lie in place, into the ledger, writes its header and asks for
// its encryption. The frame's emit is the last one.
func (f *flow) enqueueSeal(en *flowtable.Entry, id flowtable.EntryID, m *mbuf.Mbuf, start, n, over int, eflags uint8) {
	e := &f.r.Egress
	rekey := e.Flags&flowtable.EgressRekey != 0
	if rekey {
		eflags |= flowtable.EntryRekey
		e.Flags &^= flowtable.EgressRekey
	}
	h, _ := tcpcrypt.NewHeader(n-tcpcrypt.HeaderLen-tcpcrypt.TagLen, rekey)
	buf := m.Buf()
	h.Put(buf[start : start+tcpcrypt.HeaderLen])
	en.Flags, en.WEnd, en.Len, en.Over = eflags|flowtable.EntryPending, e.WNext+uint64(n), uint32(n), uint8(over)
	o := f.out
	o.seal(f.c.keyOf(f.r.Local.SealKey), &e.NR, e.WNext, buf[start:start+n:start+n])
	o.sealRef(f, en.WEnd, id)
	e.WNext = en.WEnd + finLen(en)
	e.PNext += plainLen(en)
	e.GenFrames++
	f.c.n[shm.SealedFrames]++
	f.c.n[shm.SealedBytes] += uint64(n - over)
	if eflags&flowtable.EntryFIN != 0 {
		e.Flags |= flowtable.EgressFIN
	}
	if eflags&flowtable.EntryOwn == 0 && f.r.Ingress.Probes > 0 {
		f.heard() // the host has something to say: whether that arrives shows whether the far end lives
	}
	if e.Queue.Count == 1 {
		f.progress()
		f.armOwn()
	}
}

// seal appends the operation that seals a frame in place, at wire position w. Header and plaintext lie in b, and there is room for the
// tag.
func (o *Output) seal(key *cryptobatch.Key, nr *[12]byte, w uint64, b []byte) {
	n := len(o.Seals)
	o.Seals = o.Seals[:n+1]
	sealOp(&o.Seals[n], key, nr, w, unsafe.Pointer(unsafe.SliceData(b)), len(b))
}

// sealOp makes the operation that seals a frame of n bytes in place, at wire position w.
func sealOp(op *cryptobatch.Op, key *cryptobatch.Key, nr *[12]byte, w uint64, frame unsafe.Pointer, n int) {
	const hdr = tcpcrypt.HeaderLen
	tcpcrypt.PutNonce(&op.Nonce, nr, w)
	op.InPlace(key, unsafe.Add(frame, hdr), n-hdr-tcpcrypt.TagLen, n-hdr, frame, hdr)
}

// sealRef appends what goes with the operation of a new frame, whose emit is the last one.
func (o *Output) sealRef(f *flow, wEnd uint64, id flowtable.EntryID) {
	n := len(o.sealRefs)
	o.sealRefs = o.sealRefs[:n+1]
	ref := &o.sealRefs[n]
	ref.r, ref.wEnd, ref.flow, ref.entry, ref.emit, ref.again = f.r, wEnd, f.idx, id, int32(len(o.Emits)-1), 0
}

// splitUrgent frames a segment that a full frame's urgent field would make too long as two frames.
func (f *flow) splitUrgent(seg *Segment, hdrEnd int) {
	const over = tcpcrypt.Overhead + tcpcrypt.UrgentLen
	first := min(f.wirePayload()-over, seg.Len/2)
	if e := &f.r.Egress; first <= 0 || e.WNext+uint64(seg.Len+over+tcpcrypt.Overhead+tcpcrypt.UrgentLen) > e.WEdge {
		f.noWindow(seg, hdrEnd)
		return
	}
	m := f.c.cache.Alloc()
	rest := seg.Len - first
	if m == nil || BuildOffset+rest+over > int(m.BufLen) {
		f.c.cache.Free(m)
		f.refuse(seg, shm.DropEgressPool)
		return
	}
	tail := *seg
	tail.M, tail.Off, tail.Len, tail.Seq = m, BuildOffset, rest, seg.Seq+uint32(first)
	hdr := seg.M.Buf()[seg.M.DataOff():hdrEnd]
	copy(m.Buf()[BuildOffset-len(hdr):], hdr)
	copy(m.Buf()[BuildOffset:BuildOffset+rest], seg.M.Buf()[seg.Off+first:seg.Off+seg.Len])
	m.SetBounds(BuildOffset-len(hdr), len(hdr)+rest)
	m.OlFlags, m.PacketType, m.Port = seg.M.OlFlags, seg.M.PacketType, seg.M.Port
	m.VlanTCI, m.TxOffload = seg.M.VlanTCI, seg.M.TxOffload
	seg.Len, seg.Flags = first, seg.Flags&^FIN
	f.frameSegment(seg, hdrEnd)
	if int(seg.Urg) > first {
		tail.Urg = seg.Urg - uint16(first)
	} else {
		tail.Flags &^= URG
	}
	if unwrap(tail.Seq, f.hostISN(), f.r.Egress.PNext) != int64(f.r.Egress.PNext) {
		f.drop(m, shm.DropEgressLimit)
		return
	}
	f.frameSegment(&tail, BuildOffset)
}

// noWindow refuses plaintext that the far end has no room for. With nothing in flight it is the host's window probe.
func (f *flow) noWindow(seg *Segment, hdrEnd int) {
	if f.r.Egress.Queue.Count > 0 {
		f.refuse(seg, shm.DropEgressWindow)
		return
	}
	f.count(shm.DropEgressWindow)
	seg.Off = hdrEnd
	f.probe(seg)
}

// Sealed takes the results of out.Seals and empties it.
func (c *Core) Sealed(out *Output, now int64) {
	refs := out.sealRefs[:len(out.Seals)]
	for i := range out.Seals {
		ref := &refs[i]
		ok := out.Seals[i].Status == cryptobatch.StatusOK
		if ref.again != 0 {
			f := flow{c: c, idx: ref.flow, r: ref.r, now: now, out: out}
			f.resealed(ref, &out.reseals[ref.again-1], ok)
			c.judge(ref.r)
			continue
		}
		if !ok {
			em := &out.Emits[ref.emit]
			f := flow{c: c, idx: ref.flow, r: ref.r, now: now, out: out}
			f.drop(em.M, shm.DropEgressSeal)
			em.M, em.Kind = nil, EmitNone
			c.Abort(ref.flow, ref.r, shm.AbortSeal, now, out)
			continue
		}
		// A far end that acknowledges what was not sent yet has made the entry go.
		if en := c.chunks.At(ref.entry); en.WEnd == ref.wEnd && ref.r.Egress.WUna < ref.wEnd {
			op := &out.Seals[i]
			frame := unsafe.Slice(unsafe.SliceData(op.AAD), tcpcrypt.HeaderLen+len(op.Dst))
			en.Tag = [tcpcrypt.TagLen]byte(frame[len(frame)-tcpcrypt.TagLen:])
			en.Flags &^= flowtable.EntryPending
			if len(frame) <= packLimit && en.Flags&flowtable.EntryOwn == 0 && c.kept[ref.entry].kind == keptNothing {
				c.pack(ref.r, ref.entry, frame, en.Flags&flowtable.EntryRekey != 0)
			}
		}
	}
	out.Seals, out.sealRefs, out.reseals = out.Seals[:0], out.sealRefs[:0], out.reseals[:0]
	if !out.Pending() {
		c.keys.sweep()
	}
}
