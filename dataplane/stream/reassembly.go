package stream

import (
	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/flowtable"
)

// Time limits, in ns, without a byte that a frame in progress or segments behind a hole were waiting for. What was not
// acknowledged can come again and is dropped after the first; what was, cannot, and ends the connection after the second.
const (
	reassemblyLimit = 30e9
	abandonLimit    = 300e9
)

// reassembly is what a flow has beside its record while its frames span segments, or segments are missing.
type reassembly struct {
	r       *flowtable.Record // nil: not in use
	idx     flowtable.Index
	frame   assembly // the frame in progress
	again   assembly // a frame that was delivered and comes again in several segments
	init    assembly // the far end's Init message until keys are in place
	first   uint32   // frames that the gateway delivers, in order, and the host has not acknowledged
	last    uint32
	next    uint32 // in the list of free ones
	sent    PPos   // what was sent to the host of the frames to deliver
	timer   int64  // ns of the caller's clock when the first of them is sent again, 0 none
	rto     int64
	tries   int
	touched int64 // ns of the caller's clock when bytes came that were waited for
	peer    peer
	rivals  uint8 // segments in the out-of-order queue that contradict others
}

// reassembly returns the flow's object, or nil.
func (f *flow) reassembly() *reassembly {
	if f.common {
		return nil
	}
	if i := f.r.Local.Reassembly; i != 0 {
		return &f.c.reassemblies[i]
	}
	return nil
}

// reassemblyOf returns the flow's object, made if need be; nil when there is none to be had. Connections without keys take theirs
// from a stock of their own: whatever those with keys hold, new ones can be set up.
func (f *flow) reassemblyOf() *reassembly {
	if ra := f.reassembly(); ra != nil {
		return ra
	}
	stock, what := &f.c.keyed, objects
	if f.r.Ingress.Flags&flowtable.IngressKeys == 0 {
		stock, what = &f.c.setup, setupObjects
	}
	p := f.c.peerOf(f.r)
	if !stock.share.may(p) || stock.free == 0 && !f.reclaim(what) {
		f.count(shm.ReassembliesRefused)
		return nil
	}
	i := stock.free
	ra := &f.c.reassemblies[i]
	stock.free = ra.next
	stock.share.add(p)
	*ra = reassembly{r: f.r, idx: f.idx, rto: deliveryRTO, touched: f.now, peer: p}
	f.r.Local.Reassembly = i
	return ra
}

// inProgress returns the frame in progress, or nil.
func (f *flow) inProgress() *assembly {
	if ra := f.reassembly(); ra != nil && ra.frame.active {
		return &ra.frame
	}
	return nil
}

// idleReassembly gives the object back when nothing is in it.
func (f *flow) idleReassembly() {
	ra := f.reassembly()
	if ra == nil || ra.first != 0 || ra.frame.active || ra.again.active || ra.init.active || f.r.Local.OutOfOrder != 0 {
		return
	}
	i := f.r.Local.Reassembly
	stock := f.c.stockOf(i)
	stock.share.sub(ra.peer)
	*ra = reassembly{next: stock.free}
	stock.free, f.r.Local.Reassembly = i, 0
}

// freeReassembly frees everything a flow has beside its record on the opening side.
func (c *Core) freeReassembly(r *flowtable.Record) {
	f := flow{c: c, r: r}
	ra := f.reassembly()
	if ra == nil {
		return
	}
	for _, a := range []*assembly{&ra.frame, &ra.again, &ra.init} {
		c.freeAssembly(a)
	}
	for ra.first != 0 {
		c.popDelivery(ra)
	}
	f.dropOutOfOrder()
	f.idleReassembly()
}

// dropInit frees the far end's Init message.
func (c *Core) dropInit(r *flowtable.Record) {
	f := flow{c: c, r: r}
	if ra := f.reassembly(); ra != nil {
		c.freeAssembly(&ra.init)
		f.idleReassembly()
	}
}

// startFrame begins a frame in progress with what the chunk holds of it; false where there is no memory for it.
func (f *flow) startFrame(ch *chunk) bool {
	ra := f.reassemblyOf()
	if ra == nil || !f.begin(&ra.frame, WPos(f.r.Ingress.WNext)) {
		f.drop(ch.m, shm.DropIngressLimit)
		f.idleReassembly()
		return false
	}
	if f.r.Ingress.Flags&flowtable.IngressInit == 0 {
		ra.frame.vouched = true // nothing can authenticate it
		ra.frame.init = tcpcrypt.KindInit1
		if f.r.Role == flowtable.RoleA {
			ra.frame.init = tcpcrypt.KindInit2
		}
	}
	return true
}

// extend appends bytes to the frame in progress and, when it is whole, queues it. It returns how many bytes it took: 0 means
// that it cannot go on now.
func (f *flow) extend(a *assembly, b []byte) int {
	if ra := f.reassembly(); ra != nil {
		ra.touched = f.now
	}
	taken := 0
	for taken < len(b) {
		n := f.fill(a, b[taken:])
		if n < 0 {
			f.malformed(a)
			return len(b)
		}
		taken += n
		if a.need > 0 && a.have == a.need {
			f.finishFrame()
			return taken
		}
		if n == 0 {
			break
		}
	}
	return taken
}

// malformed gives a frame in progress up whose length cannot be: it is not what the far end sent. While nothing of it was
// acknowledged, that may still come.
func (f *flow) malformed(a *assembly) {
	why := shm.AbortMalformed
	if a.init != 0 {
		why = shm.AbortInit
	}
	if f.r.Ingress.WAcked > uint64(a.start) || a.init != 0 || f.failedForGood() {
		f.c.Abort(f.idx, f.r, why, f.now, f.out)
		return
	}
	f.count(shm.DropIngressMalformed)
	f.c.freeAssembly(a)
	f.forgetFin()
	f.retryRivals()
}

// finishFrame queues the frame in progress to be opened if it is whole; false where it is whole and that cannot be done now.
func (f *flow) finishFrame() bool {
	in := &f.r.Ingress
	ra := f.reassembly()
	a := &ra.frame
	if !a.active || !a.whole() {
		return true
	}
	if a.init != 0 {
		f.finishInit(ra)
		return true
	}
	if !f.openRoom() {
		in.Flags |= flowtable.IngressStalled
		return false
	}
	ref := openRef{kind: openAssembled, n: a.need, hdrEnd: -1, flags: PSH | a.marks}
	ref.m, ref.large, ref.delivery = a.m, a.large, a.delivery
	if a.large == 0 {
		ref.off = BuildOffset
	}
	ref.rekey = f.c.assemblyBytes(a)[0]&tcpcrypt.ControlRekey != 0
	if !f.queueNext(&ref) {
		f.awaitGeneration()
		return false
	}
	*a = assembly{}
	return true
}

// finishInit hands the far end's Init message to the caller. The gateway acknowledges it: no plaintext belongs to it.
func (f *flow) finishInit(ra *reassembly) {
	in := &f.r.Ingress
	ra.init = ra.frame
	ra.frame = assembly{}
	n := uint64(ra.init.need)
	in.WNext, in.WOpen, in.WAckH = n, n, n
	f.r.Rare.OpenInit = uint32(n)
	in.Flags |= flowtable.IngressInit
	f.event(EventInit, shm.CounterNone, f.c.assemblyBytes(&ra.init)[:n:n])
}

// reassembled returns the end of what the host acknowledged and the gateway answers for behind that: frames that it delivers, and
// what has arrived of the frame in progress.
func (f *flow) reassembled(ra *reassembly) uint64 {
	in := &f.r.Ingress
	w := in.WAckH
	it := f.c.chunks.Iter(&in.Queue)
	en, _ := it.Next()
	for ; en != nil && en.Flags&flowtable.EntryDelivery != 0; en, _ = it.Next() {
		w = en.WEnd
	}
	switch {
	case ra.again.vouched && uint64(ra.again.start) == w:
		w += uint64(ra.again.have)
	case en == nil && ra.frame.vouched && uint64(ra.frame.start) == w:
		w += uint64(ra.frame.have)
	}
	return w
}

// overlap judges a segment whose bytes b, from wire position w on, the frame in progress already has in part or in whole. It reports
// whether the segment can go on behind the frame in progress. What agrees confirms it. Of two that contradict each other one is
// forged: a whole frame at the right place is opened to see; otherwise the later one counts once the earlier has had the time of
// a retransmission.
func (f *flow) overlap(a *assembly, w WPos, b []byte) bool {
	if f.c.agrees(a, w, b) {
		a.vouch()
		return true
	}
	f.count(shm.DropIngressRival)
	if w != a.start || f.r.Ingress.WAcked > uint64(a.start) || a.init != 0 {
		return false
	}
	if h, err := tcpcrypt.ParseHeader(b); err == nil && h.FrameLen() <= len(b) {
		f.try(b[:h.FrameLen()], h.Rekey())
		return false
	}
	if f.now-f.reassembly().touched < deliveryRTO {
		return false
	}
	f.c.freeAssembly(a)
	f.idleReassembly()
	return true
}

// try queues a frame to be opened that contradicts the frame in progress.
func (f *flow) try(b []byte, rekey bool) {
	if rekey || f.r.Ingress.WNext != f.r.Ingress.WOpen {
		return // it comes again
	}
	if !f.openRoom() {
		f.count(shm.DropNoOutput)
		return
	}
	m := f.copied(b)
	if m == nil {
		f.count(shm.DropIngressPool)
		return
	}
	ref := openRef{m: m, off: BuildOffset, n: len(b), hdrEnd: -1, kind: openRival, flags: PSH, w: WPos(f.r.Ingress.WNext)}
	key, nr := f.r.Local.OpenKey, &f.r.Ingress.NR
	f.queueOpen(&ref, key, nr)
}

// openedRival takes the place of the frame in progress with one that is authentic.
func (f *flow) openedRival(ref *openRef, ok bool) {
	in := &f.r.Ingress
	a := f.inProgress()
	if !ok || uint64(ref.w) != in.WOpen || in.WNext != in.WOpen || in.WAcked > uint64(ref.w) {
		f.count(shm.DropIngressAuth)
		f.c.freeRef(ref)
		return
	}
	if a != nil {
		f.c.freeAssembly(a)
		f.idleReassembly()
	}
	in.WNext += uint64(ref.n)
	ref.kind = openNext
	f.openedNext(ref, true)
}

// reassemblyTimeout gives up what has made no progress for too long.
func (f *flow) reassemblyTimeout(ra *reassembly) {
	age := f.now - ra.touched
	if !ra.waiting(f.r) || age < reassemblyLimit {
		return
	}
	if a := &ra.frame; a.active && f.r.Ingress.WAcked > uint64(a.start) {
		if age >= abandonLimit {
			f.c.Abort(f.idx, f.r, shm.AbortReassembly, f.now, f.out)
		}
		return
	}
	f.count(shm.ReassemblyExpired)
	f.abandon(ra)
}

// waiting reports whether something waits for bytes of the far end.
func (ra *reassembly) waiting(r *flowtable.Record) bool {
	return ra.frame.active || ra.again.active || r.Local.OutOfOrder != 0
}

// deadline is when reassemblyTimeout wants to be called, 0 for never.
func (ra *reassembly) deadline(r *flowtable.Record) int64 {
	switch {
	case !ra.waiting(r):
		return 0
	case ra.frame.active && r.Ingress.WAcked > uint64(ra.frame.start):
		return ra.touched + abandonLimit
	}
	return ra.touched + reassemblyLimit
}

// abandon drops what has arrived of frames that are not whole, and what waits for missing segments: none of it is acknowledged, so
// that all of it can come again.
func (f *flow) abandon(ra *reassembly) {
	f.c.freeAssembly(&ra.frame)
	f.c.freeAssembly(&ra.again)
	f.dropOutOfOrder()
	f.forgetFin()
	f.idleReassembly()
}
