package ends

import (
	"linecrypt/bench/pktgen/scenario"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/dataplane/packet"
)

// closer closes connections.
type closer struct {
	hand uint32 // the next one
}

// CloseSome begins to close n connections, in turn.
func (e *Ends) CloseSome(n int) {
	c := &e.closer
	for tried := 0; n > 0 && tried < len(e.flows); tried++ {
		i := c.hand
		if c.hand++; int(c.hand) == len(e.flows) {
			c.hand = 0
		}
		if f := &e.flows[i]; f.state == established {
			f.state = finishing
			e.step(i)
			n--
		}
	}
}

// opened is called when a connection has come about.
func (e *Ends) opened(n uint32) {
	if e.sc.Measure != scenario.Handshakes || e.calm {
		return
	}
	e.giveUp(n) // a storm wants no more of it
}

// giveUp has the host reset a connection, which the gateway passes on.
func (e *Ends) giveUp(n uint32) {
	f := &e.flows[n]
	ack := f.isn[down] + 1 + uint32(e.place(f, n, down, false, f.halves[down].got))
	e.control(n, up, &packet.Seg{Seq: e.seqNext(n, up), Ack: ack, Flags: packet.FlagRST | packet.FlagACK}, nil)
	e.retire(n)
}

// GiveUp has the hosts of up to n open connections reset them, and returns how many it found.
func (e *Ends) GiveUp(n int) (found int) {
	for i := range e.flows {
		if found == n {
			break
		}
		if e.flows[i].state >= established {
			e.giveUp(uint32(i))
			found++
		}
	}
	return found
}

// Opening is how many connections are begun and have not come about.
func (e *Ends) Opening() int { return e.opener.open }

// retire ends a connection's life and has it opened anew.
func (e *Ends) retire(n uint32) {
	f := &e.flows[n]
	for d := up; d < either; d++ {
		e.tell(n, d, f.halves[d].got)
	}
	f.state = closed
	f.life++
	e.opener.waiting.push(n)
}

// step takes a connection that is being closed one step further, where it is time.
func (e *Ends) step(n uint32) {
	f := &e.flows[n]
	if f.state < finishing {
		return
	}
	host, far := &f.halves[up], &f.halves[down]
	done := host.una == e.end(f, n, up) && far.una == e.end(f, n, down)
	switch {
	case f.state == finishing && done:
		f.state = hostFin
		e.fin(n, up, 0)
	case f.state == hostFin && host.finGot:
		f.state = farFin
		e.fin(n, down, 0)
	case f.state == farFin && done && far.finGot:
		e.Finished++
		e.retire(n)
	}
}

// finLen is what a FIN takes of the stream of a direction, as its sender or its receiver counts: on the wire it comes with a frame
// without data.
func finLen(f *flow, d direction, sender bool) uint32 {
	if onWire(d, sender) && !f.plain {
		return tcpcrypt.Overhead + 1
	}
	return 1
}

// fin sends the FIN of a direction.
func (e *Ends) fin(n uint32, d direction, at int64) bool {
	f := &e.flows[n]
	h := &f.halves[d]
	m := e.alloc(d)
	h.finSent, h.moved = true, e.now
	if m == nil {
		return false // it is repeated, as what is lost
	}
	pos := e.place(f, n, d, true, h.sent)
	seq := f.isn[d] + 1 + uint32(pos)
	e.tell(n, d.reverse(), f.halves[d.reverse()].got)
	if d == down && !f.plain {
		e.seal(e.segment(m, n, d, flagsData|packet.FlagFIN, seq, tcpcrypt.Overhead), n, frame{pos: pos, gen: h.gen, flags: tcpcrypt.FlagFIN})
	} else {
		e.segment(m, n, d, packet.FlagACK|packet.FlagFIN, seq, 0)
	}
	e.put(sideOf(d), m, at)
	return true
}

// finCame takes the FIN of a direction, at a position of the receiver's.
func (e *Ends) finCame(n uint32, d direction, pos uint64) {
	f := &e.flows[n]
	h := &f.halves[d]
	switch {
	case !h.finSent || pos != e.place(f, n, d, false, h.sent):
		e.wrong("connection %d: a FIN at byte %d that was not sent", n, pos)
		return
	case h.got == h.sent:
		h.finGot = true
	}
	e.oweNow(n, d)
	e.step(n)
}
