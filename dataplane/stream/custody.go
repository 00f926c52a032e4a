package stream

import (
	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/dataplane/mbuf"
	"linecrypt/flowtable"
)

// Timeouts of the delivery to the host of what the gateway has acknowledged to the wire, in ns, and how often it tries.
const (
	custodyRTO    = 200e6
	maxCustodyTry = 15
)

// minProgress is what the announced window leaves at least for a frame whose length is not known yet.
const minProgress = 64

// assembly is a frame, or the Init message, of which some bytes are there.
type assembly struct {
	m      *mbuf.Mbuf
	large  uint32
	held   uint32 // reserved node for its delivery
	start  WPos
	p      PPos // of a frame that is put together again
	have   int
	need   int               // 0 while the length is not known
	init   tcpcrypt.InitKind // 0: a frame
	active bool
}

// edge is the position that must not be closed to the far end.
func (a *assembly) edge() uint64 {
	if !a.active {
		return 0
	}
	return uint64(a.start) + uint64(max(a.need, minProgress))
}

// custody is what a flow with frames that span segments has beside its record.
type custody struct {
	part  assembly // the frame in progress
	redo  assembly // a frame that was delivered and comes again in pieces
	init  assembly // the peer's Init message until keys are in place
	first uint32   // frames acknowledged to the wire, in order, and not yet acknowledged by the host
	last  uint32
	pSent PPos // what was sent to the host of them
	timer int64
	rto   int64
	tries int
	next  uint32
}

// held is a frame's plaintext that the gateway delivers.
type held struct {
	m      *mbuf.Mbuf
	large  uint32
	off, n int
	p      PPos
	urgent uint16
	fin    bool
	urg    bool
	next   uint32
}

// end is the position behind the frame, its FIN included.
func (h *held) end() PPos {
	if h.fin {
		return h.p + PPos(h.n) + 1
	}
	return h.p + PPos(h.n)
}

func (c *Core) freeHeldNode(i uint32) {
	c.held[i] = held{next: c.freeHeld}
	c.freeHeld = i
}

func (c *Core) allocHeld() uint32 {
	i := c.freeHeld
	if i != 0 {
		c.freeHeld = c.held[i].next
		c.held[i] = held{}
	}
	return i
}

// custodyOf returns the flow's custody object, made if need be; nil when there is none to be had.
func (f *flow) custodyOf() *custody {
	if f.r.Local.Custody == 0 {
		i := f.c.freeCust
		if i == 0 {
			return nil
		}
		f.c.freeCust = f.c.custodies[i].next
		f.c.custodies[i] = custody{rto: custodyRTO}
		f.r.Local.Custody = i
	}
	return &f.c.custodies[f.r.Local.Custody]
}

// part returns the frame in progress, or nil.
func (f *flow) part() *assembly {
	if i := f.r.Local.Custody; i != 0 {
		if a := &f.c.custodies[i].part; a.active {
			return a
		}
	}
	return nil
}

// idleCustody gives the custody object back when nothing is in it.
func (f *flow) idleCustody() {
	if f.r.Local.Custody == 0 {
		return
	}
	cu := &f.c.custodies[f.r.Local.Custody]
	if cu.first != 0 || cu.part.active || cu.redo.active || cu.init.active {
		return
	}
	*cu = custody{next: f.c.freeCust}
	f.c.freeCust, f.r.Local.Custody = f.r.Local.Custody, 0
}

func (c *Core) freeAssembly(a *assembly) {
	c.cache.Free(a.m)
	if a.large != 0 {
		c.large.release(a.large)
	}
	if a.held != 0 {
		c.freeHeldNode(a.held)
	}
	*a = assembly{}
}

// freeCustody frees everything a flow has in custody.
func (c *Core) freeCustody(r *flowtable.Record) {
	f := flow{c: c, r: r}
	if r.Local.Custody == 0 {
		return
	}
	cu := &c.custodies[r.Local.Custody]
	for _, a := range []*assembly{&cu.part, &cu.redo, &cu.init} {
		c.freeAssembly(a)
	}
	for cu.first != 0 {
		c.popHeld(cu)
	}
	f.idleCustody()
}

// dropInit frees the peer's Init message.
func (c *Core) dropInit(r *flowtable.Record) {
	if r.Local.Custody != 0 {
		c.freeAssembly(&c.custodies[r.Local.Custody].init)
		f := flow{c: c, r: r}
		f.idleCustody()
	}
}

func (c *Core) popHeld(cu *custody) {
	i := cu.first
	h := &c.held[i]
	cu.first = h.next
	if cu.first == 0 {
		cu.last = 0
	}
	c.cache.Free(h.m)
	if h.large != 0 {
		c.large.release(h.large)
	}
	c.freeHeldNode(i)
}

// startPart begins a frame in progress with what the chunk holds of it; false where there is no memory for it.
func (f *flow) startPart(ch *chunk) bool {
	cu := f.custodyOf()
	if cu == nil || !f.begin(&cu.part, WPos(f.r.Ingress.WNext)) {
		f.drop(ch.m, shm.DropIngressLimit)
		f.idleCustody()
		return false
	}
	if f.r.Ingress.Flags&flowtable.IngressInit == 0 {
		cu.part.init = tcpcrypt.KindInit1
		if f.r.Role == flowtable.RoleA {
			cu.part.init = tcpcrypt.KindInit2
		}
	}
	return true
}

// begin reserves memory for an assembly.
func (f *flow) begin(a *assembly, start WPos) bool {
	m := f.c.cache.Alloc()
	if m == nil {
		return false
	}
	h := f.c.allocHeld()
	if h == 0 {
		f.c.cache.Free(m)
		return false
	}
	*a = assembly{m: m, held: h, start: start, active: true}
	return true
}

// bytes returns the memory that the assembly has now.
func (c *Core) assemblyBytes(a *assembly) []byte {
	if a.large != 0 {
		return c.large.buf(a.large)
	}
	return a.m.Buf()[BuildOffset:]
}

// extend appends bytes to the frame in progress and, when it is whole, queues it. It returns how many bytes it took: 0 means
// that it cannot go on now.
func (f *flow) extend(a *assembly, b []byte) int {
	taken := 0
	for taken < len(b) {
		n := f.c.fill(a, b[taken:])
		if n < 0 {
			why := shm.AbortMalformed
			if a.init != 0 {
				why = shm.AbortInit
			}
			f.c.Abort(f.idx, f.r, why, f.now, f.out)
			return len(b)
		}
		taken += n
		if a.need > 0 && a.have == a.need {
			f.finishPart()
			return taken
		}
		if n == 0 {
			break
		}
	}
	return taken
}

// fill copies bytes into an assembly: first those that tell its length, then up to that. It returns -1 for a length that
// cannot be, 0 for want of memory.
func (c *Core) fill(a *assembly, b []byte) int {
	want := a.need
	if want == 0 {
		want = tcpcrypt.HeaderLen
		if a.init != 0 {
			want = tcpcrypt.InitPrefixLen
		}
	} else if a.large == 0 && want > len(c.assemblyBytes(a)) {
		c.enlarge(a)
	}
	mem := c.assemblyBytes(a)
	n := min(len(b), want-a.have, len(mem)-a.have)
	copy(mem[a.have:], b[:n])
	a.have += n
	if a.need == 0 && a.have == want {
		need := frameLength(a.init, mem[:want])
		if need < 0 {
			return -1
		}
		a.need = need
	}
	return n
}

// frameLength returns the length of a frame, or of an Init message, from its first bytes; negative where it cannot be.
func frameLength(init tcpcrypt.InitKind, b []byte) int {
	if init == 0 {
		h, err := tcpcrypt.ParseHeader(b)
		if err != nil {
			return -1
		}
		return h.FrameLen()
	}
	n, need, err := tcpcrypt.MessageLen(init, b)
	if need || err != nil {
		return -1
	}
	return n
}

// enlarge moves an assembly into a large buffer, if there is one.
func (c *Core) enlarge(a *assembly) {
	i := c.large.alloc()
	if i == 0 {
		return
	}
	copy(c.large.buf(i), c.assemblyBytes(a)[:a.have])
	c.cache.Free(a.m)
	a.m, a.large = nil, i
}

// finishPart queues the frame in progress to be opened if it is whole; false where it is whole and that cannot be done now.
func (f *flow) finishPart() bool {
	in := &f.r.Ingress
	cu := &f.c.custodies[f.r.Local.Custody]
	a := &cu.part
	if !a.active || a.need == 0 || a.have < a.need {
		return true
	}
	if a.init != 0 {
		f.finishInit(cu)
		return true
	}
	if !f.openRoom() {
		in.Flags |= flowtable.IngressStalled
		return false
	}
	ref := openRef{kind: openPart, n: a.need, hdrEnd: -1, flags: PSH}
	ref.m, ref.large, ref.held = a.m, a.large, a.held
	if a.large == 0 {
		ref.off = BuildOffset
	}
	ref.rekey = f.c.assemblyBytes(a)[0]&tcpcrypt.ControlRekey != 0
	if !f.queueNext(&ref) {
		if f.r.Local.NextKey != 0 {
			in.Flags |= flowtable.IngressStalled
		}
		return false
	}
	*a = assembly{}
	return true
}

// finishInit hands the peer's Init message to the caller. The gateway acknowledges it: no plaintext belongs to it.
func (f *flow) finishInit(cu *custody) {
	in := &f.r.Ingress
	cu.init = cu.part
	cu.part = assembly{}
	n := uint64(cu.init.need)
	in.WNext, in.WOpen, in.WAckH = n, n, n
	in.Flags |= flowtable.IngressInit
	f.event(EventInit, shm.CounterNone, f.c.assemblyBytes(&cu.init)[:n:n])
}

// custodyAck returns the end of what the host acknowledged and the gateway has in custody behind that.
func (f *flow) custodyAck() uint64 {
	in := &f.r.Ingress
	cu := &f.c.custodies[f.r.Local.Custody]
	w := in.WAckH
	it := f.c.chunks.Iter(&in.Queue)
	en, _ := it.Next()
	for ; en != nil && en.Flags&flowtable.EntryCustody != 0; en, _ = it.Next() {
		w = en.WEnd
	}
	switch {
	case cu.redo.active && uint64(cu.redo.start) == w:
		w += uint64(cu.redo.have)
	case en == nil && cu.part.active && uint64(cu.part.start) == w:
		w += uint64(cu.part.have)
	}
	return w
}

// custodyUnsent reports whether frames in custody have to be sent before anything behind them.
func (f *flow) custodyUnsent() bool {
	i := f.r.Local.Custody
	return i != 0 && f.c.custodies[i].unsent(f.c)
}

func (cu *custody) unsent(c *Core) bool { return cu.last != 0 && cu.pSent < c.held[cu.last].end() }

// reserveHeld makes sure that a frame has a node for its delivery.
func (f *flow) reserveHeld(ref *openRef) bool {
	if ref.held == 0 {
		if f.custodyOf() == nil {
			return false
		}
		ref.held = f.c.allocHeld()
	}
	return ref.held != 0
}

// hold takes an opened frame into custody, behind those in front of it. The object is made by now, unless it became idle while
// the frame was being opened.
func (f *flow) hold(ref *openRef, pt *opened, p PPos) {
	cu := f.custodyOf()
	if cu == nil {
		f.c.freeRef(ref)
		f.c.Abort(f.idx, f.r, shm.AbortCustodyTimeout, f.now, f.out)
		return
	}
	i := ref.held
	h := &f.c.held[i]
	*h = held{m: ref.m, large: ref.large, off: pt.off, n: pt.n, p: p, urgent: pt.urgent, fin: pt.fin, urg: pt.urg}
	ref.m, ref.large, ref.held = nil, 0, 0
	if cu.last == 0 || f.c.held[cu.last].end() <= p && !cu.unsent(f.c) {
		cu.pSent = max(cu.pSent, p)
	}
	at, last := &cu.first, uint32(0)
	for *at != 0 && f.c.held[*at].p < p {
		last, at = *at, &f.c.held[*at].next
	}
	h.next, *at = *at, i
	if h.next == 0 {
		cu.last = i
	} else if last == 0 && p < cu.pSent {
		f.sendHeld(h, h.p, f.insidePayload())
	}
	if cu.timer == 0 {
		cu.timer = f.now + cu.rto
	}
}

// sendHeld sends up to n bytes of a held frame from p on, and its FIN if they reach its end. It returns the positions sent.
func (f *flow) sendHeld(h *held, p PPos, n int) PPos {
	if !f.emitRoom(1) {
		return 0
	}
	em := f.build(ToHost)
	if em == nil {
		return 0
	}
	at := int(p - h.p)
	n = min(n, h.n-at, int(em.M.BufLen)-BuildOffset)
	var src []byte
	if h.large != 0 {
		src = f.c.large.buf(h.large)
	} else {
		src = h.m.Buf()
	}
	copy(em.M.Buf()[BuildOffset:BuildOffset+n], src[h.off+at:])
	em.M.SetBounds(BuildOffset, n)
	em.Len = n
	em.Seq = f.peerISN() + uint32(p)
	em.Ack, em.Win = f.toHost()
	em.Flags = ACK | PSH
	sent := PPos(n)
	if h.fin && at+n == h.n {
		em.Flags |= FIN
		sent++
	}
	if urgent := int(h.urgent) + 1 - at; h.urg && urgent > 0 {
		em.Flags |= URG
		em.Urg = uint16(min(urgent, 65535))
	}
	return sent
}

// heldAt returns the held frame that has position p, or nil.
func (c *Core) heldAt(cu *custody, p PPos) *held {
	for i := cu.first; i != 0; i = c.held[i].next {
		if h := &c.held[i]; h.end() > p {
			if h.p <= p {
				return h
			}
			return nil
		}
	}
	return nil
}

// deliverCustody sends what the host's window takes.
func (f *flow) deliverCustody() {
	in := &f.r.Ingress
	if f.r.Local.Custody == 0 {
		return
	}
	cu := &f.c.custodies[f.r.Local.Custody]
	mss := f.insidePayload()
	for cu.unsent(f.c) {
		h := f.nextUnsent(cu)
		room := int64(in.PEdge) - int64(cu.pSent)
		rest := h.n - int(cu.pSent-h.p)
		if want := min(mss, rest); room < int64(want) && (room <= 0 || uint64(cu.pSent) > in.HostAck) {
			break
		}
		n := f.sendHeld(h, cu.pSent, int(min(int64(mss), max(room, 1))))
		if n == 0 {
			in.Flags |= flowtable.IngressStalled
			break
		}
		cu.pSent += n
	}
	if cu.first != 0 && cu.timer == 0 {
		cu.timer = f.now + cu.rto
	}
}

// nextUnsent returns the held frame at pSent, which moves on over frames that were delivered otherwise.
func (f *flow) nextUnsent(cu *custody) *held {
	for i := cu.first; i != 0; i = f.c.held[i].next {
		if h := &f.c.held[i]; h.end() > cu.pSent {
			cu.pSent = max(cu.pSent, h.p)
			return h
		}
	}
	return nil
}

// custodyAcked frees what the host has, and sends again what it asks for by three duplicate acknowledgements.
func (f *flow) custodyAcked(news *ackNews) {
	in := &f.r.Ingress
	if f.r.Local.Custody == 0 {
		return
	}
	cu := &f.c.custodies[f.r.Local.Custody]
	for cu.first != 0 && uint64(f.c.held[cu.first].end()) <= in.HostAck {
		f.c.popHeld(cu)
	}
	if cu.redo.active && uint64(cu.redo.start) < in.WAckH {
		f.c.freeAssembly(&cu.redo)
	}
	cu.pSent = max(cu.pSent, PPos(in.HostAck))
	cu.tries = 0
	switch {
	case cu.first == 0:
		cu.timer, cu.rto = 0, custodyRTO
	case news.advanced:
		cu.rto = custodyRTO
		cu.timer = f.now + cu.rto
	case news.dup && in.HostDups == 3:
		if h := f.c.heldAt(cu, PPos(in.HostAck)); h != nil && PPos(in.HostAck) < cu.pSent {
			f.count(shm.CustodyResent)
			f.sendHeld(h, PPos(in.HostAck), f.insidePayload())
		}
	}
	f.idleCustody()
}

// custodyTimeout sends the first thing again that the host has not acknowledged; into a closed window, one byte.
func (f *flow) custodyTimeout() {
	in := &f.r.Ingress
	cu := &f.c.custodies[f.r.Local.Custody]
	cu.timer = 0
	if cu.first == 0 {
		return
	}
	h := f.c.heldAt(cu, PPos(in.HostAck))
	if h == nil {
		cu.timer = f.now + cu.rto
		return
	}
	if cu.tries >= maxCustodyTry {
		f.c.Abort(f.idx, f.r, shm.AbortCustodyTimeout, f.now, f.out)
		return
	}
	cu.tries++
	n := f.insidePayload()
	if in.PEdge <= in.HostAck {
		n = 1
	}
	f.count(shm.CustodyResent)
	sent := f.sendHeld(h, PPos(in.HostAck), n)
	cu.pSent = max(cu.pSent, PPos(in.HostAck)+sent)
	cu.rto = min(2*cu.rto, int64(maxRTO))
	cu.timer = f.now + cu.rto
}
