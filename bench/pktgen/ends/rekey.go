package ends

import (
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/flowtable"
)

// Far ends follow a gateway that changes keys, and change keys themselves (RFC 8548 section 3.8). A generation begins with a segment: its
// mark. The frame that shows so is that segment's own, or an empty one before it, which takes wire bytes that no segment has; with it the
// numbers of what follows are shifted. A far end answers with an empty frame at once, and begins generations of its own with data.
//
// Of each direction the last generation and the one before are known. So a far end begins one only when everything before the last one's
// mark is acknowledged; an answer that is due earlier, which takes a loss, waits for that. A frame that comes before the one that begins
// its generation cannot be opened, and comes again.

// generation returns that of segment k of a half.
func (h *half) generation(k uint64) uint32 {
	if k < h.mark {
		return h.gen - 1
	}
	return h.gen
}

// shiftAt is how many wire bytes empty frames take before segment k.
func (h *half) shiftAt(k uint64) uint64 {
	if k < h.mark && h.empty {
		return uint64(h.shift) - tcpcrypt.Overhead
	}
	return uint64(h.shift)
}

// begins reports whether segment k begins a generation by itself.
func (h *half) begins(k uint64) bool { return h.gen > 0 && k == h.mark && !h.empty }

// emptyPos is where the empty frame that begins a generation of direction d is on the wire, if there is one.
func (e *Ends) emptyPos(f *flow, n uint32, d direction) (pos uint64, ok bool) {
	h := &f.halves[d]
	if !h.empty {
		return 0, false
	}
	return e.wirePos(f, n, d, h.mark) - tcpcrypt.Overhead, true
}

// advance begins the next generation of a direction with segment k, by an empty frame before it or by itself.
func (e *Ends) advance(f *flow, n uint32, d direction, k uint64, empty bool) bool {
	h := &f.halves[d]
	if err := e.keys.next(e, f, n, d, h.gen+1); err != nil {
		e.wrong("connection %d: keys of generation %d: %v", n, h.gen+1, err)
		return false
	}
	h.gen++
	h.before, h.mark, h.empty = h.mark, k, empty
	if empty {
		h.shift += tcpcrypt.Overhead
	}
	e.Rekeyed++
	return true
}

// mayAdvance reports whether the far end may begin a generation: everything under keys that would be forgotten is acknowledged, and so is
// the frame that began the last one.
func (e *Ends) mayAdvance(f *flow, n uint32) bool {
	h := &f.halves[down]
	if h.finSent || h.gen == 0 {
		return !h.finSent
	}
	first := h.mark
	if !h.empty {
		first++
	}
	return h.una >= e.wirePos(f, n, down, first)
}

// rekeyDue begins a generation with the next segment of the far end's data, where the scenario wants it. Of its own accord it is never
// more than one ahead of the gateway.
func (e *Ends) rekeyDue(n uint32) {
	f := &e.flows[n]
	h := &f.halves[down]
	if every := e.sc.Rekey.Far; every > 0 && !f.plain && h.sent-h.mark >= uint64(every) && h.gen <= f.halves[up].gen && e.mayAdvance(f, n) {
		e.advance(f, n, down, h.sent, false)
	}
}

// follow has the far end catch up with the gateway's generation.
func (e *Ends) follow(n uint32) {
	f := &e.flows[n]
	h := &f.halves[down]
	if h.gen >= f.halves[up].gen || !e.mayAdvance(f, n) || !e.advance(f, n, down, h.sent, true) {
		return
	}
	if h.moved == 0 {
		h.moved = e.now
	}
	e.emptyFrame(n, 0)
}

// emptyFrame sends the frame without data that begins the far end's generation.
func (e *Ends) emptyFrame(n uint32, at int64) bool {
	f := &e.flows[n]
	pos, ok := e.emptyPos(f, n, down)
	if !ok {
		return false
	}
	m := e.alloc(down)
	if m == nil {
		return false // it is repeated, as what is lost
	}
	e.tell(n, up, f.halves[up].got)
	b := e.segment(m, n, down, flagsData, f.isn[down]+1+uint32(pos), tcpcrypt.Overhead)
	e.seal(b, n, frame{pos: pos, gen: f.halves[down].gen, rekey: true})
	e.put(flowtable.Outside, m, at)
	return true
}

// rekeyCame takes a frame with the rekey bit at pos, which does not begin the generation that is known, and reports whether it begins the
// next one. Size is that of the whole frame.
func (e *Ends) rekeyCame(n uint32, pos uint64, size int, fin bool) bool {
	e.openAll() // so that it is known what came before it
	f := &e.flows[n]
	h := &f.halves[up]
	switch expected := e.wirePos(f, n, up, h.got); {
	case f.state < established:
		return false
	case pos > expected || h.beyond != 0:
		e.early(n)
		return false
	case pos < expected:
		e.repeated(n)
		return false
	}
	return e.advance(f, n, up, h.got, size == tcpcrypt.Overhead && !fin)
}

// early notes a frame that cannot be opened before others come.
func (e *Ends) early(n uint32) {
	e.Early++
	e.oweNow(n, up)
}

// repeated notes a frame that has come before.
func (e *Ends) repeated(n uint32) {
	e.Again++
	e.oweNow(n, up)
}
