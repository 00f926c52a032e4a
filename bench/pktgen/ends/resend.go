package ends

import "linecrypt/flowtable"

// resendDue has the sender of direction d repeat what is not acknowledged.
func (e *Ends) resendDue(n uint32, d direction) {
	h := &e.flows[n].halves[d]
	if !h.sendDue {
		h.sendDue = true
		e.resends[d].push(n)
	}
}

// repeat sends the oldest segment again that is not acknowledged, of the first connection of a side that has one.
func (e *Ends) repeat(s flowtable.Side, at int64) bool {
	n, d := e.resends[s].pop(), direction(s)
	f := &e.flows[n]
	h := &f.halves[d]
	h.sendDue = false
	if f.state < established {
		return e.again(n, d, at)
	}
	k, _ := e.segmentAt(f, n, d, true, h.una)
	if h.una < e.place(f, n, d, true, 0) {
		k = 0 // the Init message is not acknowledged yet
	}
	if pos, ok := e.emptyPos(f, n, d); ok && d == down && h.una <= pos && k == h.mark {
		h.moved = e.now
		e.Resent++
		return e.emptyFrame(n, at)
	}
	if k >= h.sent {
		if !h.finSent || h.una >= e.place(f, n, d, true, h.sent)+uint64(finLen(f, d, true)) {
			return false
		}
		return e.fin(n, d, at)
	}
	m := e.alloc(d)
	if m == nil {
		return false
	}
	h.moved = e.now
	if h.probeAt != 0 && h.probe == k {
		h.probeAt = 0
	}
	e.data(m, n, d, k)
	e.Resent++
	e.put(s, m, at)
	return true
}

// watchStep is how many connections one Watch looks at.
const watchStep = 512

// Watch looks at some connections, in turn, for what has waited for too long.
func (e *Ends) Watch() {
	for range min(watchStep, len(e.flows)) {
		n := e.hand
		if e.hand++; int(e.hand) == len(e.flows) {
			e.hand = 0
		}
		e.watch(n)
	}
	e.reopen()
}

func (e *Ends) watch(n uint32) {
	f := &e.flows[n]
	if f.state < established {
		e.watchOpening(n)
		return
	}
	for d := up; d < either; d++ {
		h := &f.halves[d]
		if h.moved == 0 {
			continue
		}
		waits := e.now - h.moved
		if waits >= int64(e.sc.Traffic.Patience)/2 {
			e.oweRest(n, d)
		}
		if waits >= int64(e.sc.Traffic.Patience) && h.una < e.end(f, n, d) {
			h.recover = h.sent
			e.resendDue(n, d)
		}
	}
}

// end is where everything ends that the sender of a direction has sent, its FIN included.
func (e *Ends) end(f *flow, n uint32, d direction) uint64 {
	h := &f.halves[d]
	end := e.place(f, n, d, true, h.sent)
	if h.finSent {
		end += uint64(finLen(f, d, true))
	}
	return end
}
