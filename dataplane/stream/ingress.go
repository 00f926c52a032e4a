package stream

import (
	"unsafe"

	"linecrypt/cryptobatch"
	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/dataplane/mbuf"
	"linecrypt/flowtable"
)

// openKind says what happens to a frame once it is open.
type openKind uint8

const (
	openNext               openKind = iota // the next frame of the stream, whole in one segment
	openAssembled                          // the next frame of the stream, put together from segments: the gateway delivers it
	openRedeliver                          // a frame that was delivered before, and that the host has not acknowledged
	openRedeliverAssembled                 // the same, put together from segments: the gateway delivers it from now on
	openRival                              // a frame that contradicts the frame in progress
)

// congested is in the flags of wire bytes, and of a frame, that came in a segment with CE. No other use is there for the bit: a SYN brings
// no data. What of the plaintext goes on with new headers is marked so as well, because it is the host that must tell the far end, and with
// it goes what both ends say of congestion by flags: a host that does not see CWR tells for ever (RFC 3168 section 6.1.3).
const (
	congested  = SYN
	congestion = congested | ECE | CWR
)

// marks are the flags that wire bytes got from their segment.
func (s *Segment) marks() uint8 {
	if s.CE {
		return s.Flags | congested
	}
	return s.Flags
}

// openRef goes with an operation of Output.Opens. It owns the buffer that the frame lies in.
type openRef struct {
	r        *flowtable.Record
	m        *mbuf.Mbuf
	w        WPos
	p        PPos // openRedeliver, openRedeliverAssembled: where the plaintext belongs
	off      int  // of the frame in the buffer
	n        int
	hdrEnd   int // where the received headers end; -1: the packet gets new ones
	flow     flowtable.Index
	large    uint32
	delivery uint32 // node reserved for the frame that the gateway delivers
	tsVal    uint32 // as the segment had them, where its headers are used or the frame is an old one
	tsEcr    uint32
	hasTS    bool
	kind     openKind
	flags    uint8
	rekey    bool
	common   bool  // openNext: of a segment that the fast path took,
	header   uint8 // and one of a train: the bytes of its headers, which wait to be translated
}

// IngressSegment takes a segment from the wire.
func (c *Core) IngressSegment(idx flowtable.Index, r *flowtable.Record, seg *Segment, now int64, out *Output) {
	c.begin(out)
	var f flow
	f.view(c, idx, r, now, out)
	f.ingress(seg)
	c.judge(r)
}

func (f *flow) ingress(seg *Segment) {
	r, e, in, out := f.r, &f.r.Egress, &f.r.Ingress, f.out
	if e.Flags&flowtable.EgressDead != 0 {
		f.straggler(seg, ToWire)
		return
	}
	f.stamps(seg, &r.Peer, &r.Host)
	w := unwrap(seg.Seq, f.peerISN(), in.WNext)
	if seg.Flags&RST != 0 {
		f.wireReset(seg, w)
		return
	}
	ack := unwrap(seg.Ack, f.hostISN(), e.WAck)
	seen, pUna, wUna := r.LastSeen, e.PUna, e.WUna
	if !f.acceptWire(seg, w, ack) {
		return
	}
	var news ackNews
	f.ackFromWire(seg, w, ack, &news)
	news.own = e.WUna != wUna && e.PUna == pUna
	if in.Probes > 0 {
		news.answer = news.dup
		f.answerOfTCP()
	}
	if f.ofNoUse(seg, &news) {
		r.LastSeen = seen
	}
	if seg.Len == 0 && seg.Flags&FIN == 0 {
		f.forwardWireAck(seg, &news)
	} else {
		opens := len(out.Opens)
		f.wireData(seg, w)
		if len(out.Opens) == opens && (news.advanced || news.window) && f.hostNews() {
			f.ackHost()
		}
	}
	if r.Local.Gap != 0 && e.Flags&flowtable.EgressDead == 0 {
		f.fillGap()
		f.tellGap()
	}
	f.settle()
}

// settle does what may follow from any change of the ingress side.
func (f *flow) settle() {
	if f.r.Egress.Flags&flowtable.EgressDead != 0 {
		return
	}
	if f.r.Local.Reassembly != 0 {
		f.deliverMore()
	}
	if f.r.Ingress.Flags&flowtable.IngressWireFIN != 0 {
		f.checkFin()
	}
	if f.r.Ingress.Flags&flowtable.IngressFINp != 0 {
		f.checkClosed()
	}
}

// wireData takes a segment with payload or FIN at wire position w.
func (f *flow) wireData(seg *Segment, w int64) {
	in := &f.r.Ingress
	end := w + int64(seg.Len)
	if seg.Flags&FIN != 0 {
		f.wireFin(w, end)
	}
	hdrEnd := seg.Off
	if w < int64(in.WNext) {
		opens := len(f.out.Opens)
		f.oldWireData(seg, w)
		if end <= int64(in.WNext) {
			f.c.cache.Free(seg.M)
			f.count(shm.DropIngressOld)
			if len(f.out.Opens) == opens || f.wireNews() {
				f.ackWire()
			}
			return
		}
		cut := int(int64(in.WNext) - w)
		seg.Off, seg.Len, w = seg.Off+cut, seg.Len-cut, int64(in.WNext)
	}
	b := seg.M.Buf()[seg.Off : seg.Off+seg.Len]
	if a := f.inProgress(); a != nil && seg.Len > 0 && WPos(w) < f.contiguous() && !f.overlap(a, WPos(w), b) {
		f.c.cache.Free(seg.M)
		f.ackWire()
		return
	}
	next := f.contiguous()
	switch {
	case seg.Len == 0:
		f.c.cache.Free(seg.M)
		f.ackWire()
	case w >= int64(max(in.WEdge, in.WAcked)) && w > int64(in.WNext):
		f.drop(seg.M, shm.DropIngressWindow)
		f.ackWire()
	case WPos(w) > next:
		f.enqueue(seg.M, WPos(w), seg.Off, seg.Len, seg.marks())
		f.ackWire()
	case WPos(end) <= next:
		f.drop(seg.M, shm.DropIngressOld)
		f.ackWire()
	default:
		if f.r.Local.OutOfOrder != 0 {
			f.contradict(uint64(w), b)
		}
		cut := int(next - WPos(w))
		f.feed(chunk{m: seg.M, off: seg.Off + cut, n: seg.Len - cut, hdrEnd: hdrEnd, flags: seg.marks(), tsVal: seg.TSVal, tsEcr: seg.TSEcr, hasTS: seg.HasTS})
		f.drain()
		if f.wireNews() || f.r.Local.OutOfOrder != 0 {
			f.ackWire()
		}
	}
}

// wireFin notes the FIN of a segment that takes [w, end). One that came while something in front of it was missing is a hint and no
// more: it may be forged, and comes again if it is not.
func (f *flow) wireFin(w, end int64) {
	in := &f.r.Ingress
	inOrder := w <= int64(f.contiguous())
	if end < int64(in.WOpen) || !inOrder && in.Flags&flowtable.IngressInOrder != 0 {
		return
	}
	f.r.Rare.WFin = uint64(end)
	in.Flags |= flowtable.IngressWireFIN
	if inOrder {
		in.Flags |= flowtable.IngressInOrder
	}
}

// forgetFin takes back what wireFin noted.
func (f *flow) forgetFin() {
	f.r.Ingress.Flags &^= flowtable.IngressWireFIN | flowtable.IngressInOrder
}

// contiguous is the end of what was received without a hole.
func (f *flow) contiguous() WPos {
	in := &f.r.Ingress
	if a := f.inProgress(); a != nil {
		return a.start + WPos(a.have)
	}
	return WPos(in.WNext)
}

// received is what the gateway expects next (RCV.NXT of RFC 9293): contiguous, and the FIN with it.
func (f *flow) received() WPos { return WPos(withFIN(f.r, uint64(f.contiguous()))) }

// withFIN returns the wire position behind w, if the far end's FIN lies there, and else w.
func withFIN(r *flowtable.Record, w uint64) uint64 {
	if atFIN(r, w) {
		w++
	}
	return w
}

// atFIN reports whether the far end's FIN lies at a wire position, and is no forgery: its last frame was opened.
func atFIN(r *flowtable.Record, w uint64) bool {
	const both = flowtable.IngressFINp | flowtable.IngressWireFIN
	return r.Ingress.Flags&both == both && r.Rare.WFin == w
}

// chunk is a run of wire bytes in a buffer that feed owns.
type chunk struct {
	m      *mbuf.Mbuf
	off, n int
	hdrEnd int // where the received headers end; -1 when they are of no use any more
	flags  uint8
	hasTS  bool
	tsVal  uint32
	tsEcr  uint32
}

// feed takes bytes that follow immediately what was received before: whole frames are queued to be opened, what remains begins
// or continues a frame in progress.
func (f *flow) feed(ch chunk) {
	in := &f.r.Ingress
	started, whole := false, false // a frame in progress, and one before it, in this chunk
	for ch.n > 0 {
		if f.r.Egress.Flags&flowtable.EgressDead != 0 {
			break
		}
		if in.Flags&flowtable.IngressFINp != 0 {
			f.count(shm.DropIngressBehindFinp)
			break
		}
		if a := f.inProgress(); a != nil {
			if whole || !started {
				a.vouch()
			}
			a.marks |= ch.flags & congestion
			ch.flags &^= CWR
			n := f.extend(a, ch.m.Buf()[ch.off:ch.off+ch.n])
			if n == 0 {
				f.enqueueRest(ch)
				return
			}
			ch.off, ch.n = ch.off+n, ch.n-n
			continue
		}
		if in.Flags&flowtable.IngressInit != 0 && in.Flags&flowtable.IngressKeys == 0 {
			f.enqueueRest(ch)
			return
		}
		if !f.openRoom() {
			in.Flags |= flowtable.IngressStalled
			f.enqueueRest(ch)
			return
		}
		if !f.frame(&ch) {
			return
		}
		if started = f.inProgress() != nil; !started {
			whole = true
		}
	}
	f.c.cache.Free(ch.m)
}

// openRoom reports whether another frame can be queued to be opened.
func (f *flow) openRoom() bool {
	return len(f.out.Opens) < cap(f.out.Opens) && f.emitRoom(4)
}

// enqueueRest queues bytes that cannot be worked now.
func (f *flow) enqueueRest(ch chunk) { f.enqueue(ch.m, f.contiguous(), ch.off, ch.n, ch.flags) }

// frame takes one frame, or the beginning of one, from the chunk; false where the chunk is used up or dropped.
func (f *flow) frame(ch *chunk) bool {
	in := &f.r.Ingress
	buf := ch.m.Buf()[ch.off : ch.off+ch.n]
	if in.Flags&flowtable.IngressInit == 0 {
		return f.startFrame(ch)
	}
	h, err := tcpcrypt.ParseHeader(buf)
	switch {
	case err == tcpcrypt.ErrShortHeader:
		return f.startFrame(ch)
	case err != nil:
		f.badHeader(ch)
		return false
	case h.FrameLen() > ch.n:
		return f.startFrame(ch)
	}
	n := h.FrameLen()
	ref := openRef{m: ch.m, off: ch.off, n: n, hdrEnd: ch.hdrEnd, kind: openNext, flags: ch.flags, tsVal: ch.tsVal, tsEcr: ch.tsEcr, hasTS: ch.hasTS, rekey: h.Rekey()}
	if n < ch.n || ch.hdrEnd < 0 && ch.off < BuildOffset {
		if ref.m = f.copied(buf[:n]); ref.m == nil {
			if n+BuildOffset > int(ch.m.BufLen) {
				return f.startFrame(ch)
			}
			f.drop(ch.m, shm.DropIngressPool)
			return false
		}
		ref.off, ref.hdrEnd = BuildOffset, -1
	}
	if !f.queueNext(&ref) {
		if ref.m != ch.m {
			f.c.cache.Free(ref.m)
		}
		if f.awaitGeneration() {
			f.enqueueRest(*ch)
		} else {
			f.drop(ch.m, shm.DropIngressRekey)
		}
		return false
	}
	ch.off, ch.n = ch.off+n, ch.n-n
	if ref.m == ch.m {
		return false
	}
	ch.flags &^= CWR
	return true
}

// badHeader drops bytes at the place of a frame that are none. What the far end sent there may still come.
func (f *flow) badHeader(ch *chunk) {
	f.drop(ch.m, shm.DropIngressMalformed)
	if f.failedForGood() {
		f.c.Abort(f.idx, f.r, shm.AbortMalformed, f.now, f.out)
		return
	}
	f.forgetFin()
	f.retryRivals()
}

// copied returns a fresh buffer with the bytes at BuildOffset, or nil.
func (f *flow) copied(b []byte) *mbuf.Mbuf {
	m := f.c.cache.Alloc()
	if m == nil {
		return nil
	}
	if BuildOffset+len(b) > int(m.BufLen) {
		f.c.cache.Free(m)
		return nil
	}
	copy(m.Buf()[BuildOffset:], b)
	return m
}

// queueNext queues the next frame of the stream to be opened. False where it begins a generation that cannot begin now.
func (f *flow) queueNext(ref *openRef) bool {
	in := &f.r.Ingress
	if ref.rekey && !f.prepareNext() {
		return false
	}
	key, nr := f.r.Local.OpenKey, &in.NR
	// Only while the frame that begins it is pending there is a next generation.
	if (ref.rekey || in.WNext != in.WOpen) && f.r.Local.NextKey != 0 {
		key, nr = f.r.Local.NextKey, &f.r.Local.NextNR
	}
	ref.w = WPos(in.WNext)
	f.queueOpen(ref, key, nr)
	in.WNext += uint64(ref.n)
	return true
}

// queueOpen appends the operation that opens a frame in place. openRoom has been checked.
func (f *flow) queueOpen(ref *openRef, key uint32, nr *[12]byte) {
	ref.r, ref.flow = f.r, f.idx
	f.out.open(f.c.keyOf(key), nr, uint64(ref.w), f.c.frameBytes(ref))
	f.out.openRefs = append(f.out.openRefs, *ref)
}

// open appends the operation that opens the frame b in place, which lies at wire position w.
func (o *Output) open(key *cryptobatch.Key, nr *[12]byte, w uint64, b []byte) {
	n := len(o.Opens)
	o.Opens = o.Opens[:n+1]
	openOp(&o.Opens[n], key, nr, w, unsafe.Pointer(unsafe.SliceData(b)), len(b))
}

// openOp makes the operation that opens a frame of n bytes in place, which lies at wire position w.
func openOp(op *cryptobatch.Op, key *cryptobatch.Key, nr *[12]byte, w uint64, frame unsafe.Pointer, n int) {
	const hdr = tcpcrypt.HeaderLen
	tcpcrypt.PutNonce(&op.Nonce, nr, w)
	op.InPlace(key, unsafe.Add(frame, hdr), n-hdr, n-hdr-tcpcrypt.TagLen, frame, hdr)
}

// frameBytes returns the frame of an operation where it lies.
func (c *Core) frameBytes(ref *openRef) []byte {
	if ref.large != 0 {
		return c.large.buf(ref.large)[ref.off : ref.off+ref.n : ref.off+ref.n]
	}
	return ref.m.Buf()[ref.off : ref.off+ref.n : ref.off+ref.n]
}

// freeRef frees what an operation owns.
func (c *Core) freeRef(ref *openRef) {
	c.cache.Free(ref.m)
	if ref.large != 0 {
		c.large.release(ref.large)
	}
	if ref.delivery != 0 {
		c.freeDeliveryNode(ref.delivery)
	}
	ref.m, ref.large, ref.delivery = nil, 0, 0
}
