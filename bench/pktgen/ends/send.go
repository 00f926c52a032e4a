package ends

import (
	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/packet"
	"linecrypt/flowtable"
)

// maxOffer is how many packets one Offer makes at most, and MaxOffer how many are sent at once at most.
const (
	maxOffer = 2048
	MaxOffer = 2 * maxOffer
)

// Offer makes up to n packets and sends them: what is due of acknowledgements and repetitions, spread evenly among new data. The first
// leaves at t0, each further one step later, in the wires' time. It returns how many it made; fewer than n where nobody may send
// more, or a wire has no room.
func (e *Ends) Offer(n int, t0, step float64) int {
	n = min(n, maxOffer)
	if !e.Flush() {
		return 0
	}
	due := [flowtable.NumSides]int{e.due(flowtable.Inside), e.due(flowtable.Outside)}
	owed := min(due[0]+due[1], n)
	credit := 0
	made, blocked := 0, false
	for made < n {
		at := int64(t0 + float64(made)*step)
		credit += owed
		reply := credit >= n
		if reply {
			credit -= n
		}
		if !(reply && e.reply(at)) && !e.fresh(at) && !e.reply(at) {
			blocked = true
			break
		}
		made++
	}
	if blocked && made == 0 && !e.quiet {
		e.AcknowledgeAll()
	}
	e.Flush()
	return made
}

// due is how many acknowledgements and repetitions a side has to send.
func (e *Ends) due(s flowtable.Side) int { return max(e.acks[s].size, e.debts[s]) + e.resends[s].size }

// tell notes that the receiver of direction d acknowledges all segments before upTo.
func (e *Ends) tell(n uint32, d direction, upTo uint64) {
	h := &e.flows[n].halves[d]
	was := e.debt(h)
	h.told = upTo
	e.debts[d.reverse()] += e.debt(h) - was
}

// debt is how many acknowledgements a receiver owes.
func (e *Ends) debt(h *half) int { return int(h.got-h.told) / e.sc.Traffic.AckEvery }

// reply sends an acknowledgement or a repetition, of the side that has more of them.
func (e *Ends) reply(at int64) bool {
	s := flowtable.Inside
	if e.due(flowtable.Outside) > e.due(flowtable.Inside) {
		s = flowtable.Outside
	}
	for e.resends[s].size > 0 {
		if e.repeat(s, at) {
			return true
		}
	}
	for e.acks[s].size > 0 {
		n := e.acks[s].pop()
		f := &e.flows[n]
		in := &f.halves[s.Other()]
		in.ackDue = false
		if in.due == 0 && in.got-in.told < uint64(e.sc.Traffic.AckEvery) || f.state == closed {
			continue // its data has acknowledged meanwhile
		}
		return e.acknowledge(n, direction(s), at)
	}
	return false
}

// acknowledge sends an acknowledgement without data from the sender of direction d.
func (e *Ends) acknowledge(n uint32, d direction, at int64) bool {
	m := e.alloc(d)
	if m == nil {
		return false
	}
	in := &e.flows[n].halves[d.reverse()]
	upTo, every := in.got, uint64(e.sc.Traffic.AckEvery)
	if in.due == 0 && in.beyond == 0 {
		upTo = min(in.told+every, in.got)
	}
	e.tell(n, d.reverse(), upTo)
	e.segment(m, n, d, packet.FlagACK, e.seqNext(n, d), 0)
	if in.got-in.told >= every {
		e.owe(n, d.reverse()) // the next one has its turn behind the others'
	}
	e.Acks++
	e.put(sideOf(d), m, at)
	return true
}

// seqNext is the number behind everything that the sender of direction d has sent.
func (e *Ends) seqNext(n uint32, d direction) uint32 {
	f := &e.flows[n]
	h := &f.halves[d]
	seq := f.isn[d] + 1 + uint32(e.place(f, n, d, true, h.sent))
	if h.finSent {
		seq += finLen(f, d, true)
	}
	return seq
}

// fresh sends something new: a forged SYN, or data.
func (e *Ends) fresh(at int64) bool {
	if e.flood(at) {
		return true
	}
	if e.quiet {
		return false
	}
	switch e.sc.Traffic.Direction {
	case "seal":
		return e.freshData(up, at)
	case "open":
		return e.freshData(down, at)
	}
	e.alternate = !e.alternate
	first := up
	if e.alternate {
		first = down
	}
	return e.freshData(first, at) || e.freshData(first.reverse(), at)
}

// patience is how many connections are asked in vain whether they may send before nobody is taken to.
const patience = 256

// freshData sends the next segment of data of a direction, of the connection whose turn it is.
func (e *Ends) freshData(d direction, at int64) bool {
	t := &e.turn[d]
	for range min(patience, len(e.flows)+1) {
		n := t.n
		if t.left > 0 && e.mayFresh(n, d) {
			m := e.alloc(d)
			if m == nil {
				return false
			}
			t.left--
			h := &e.flows[n].halves[d]
			if d == down {
				e.rekeyDue(n)
			}
			e.data(m, n, d, h.sent)
			if h.probeAt == 0 && e.probes() {
				h.probe, h.probeAt = h.sent, at
			}
			if h.sent++; h.moved == 0 {
				h.moved = e.now
			}
			e.Sent++
			e.put(sideOf(d), m, at)
			return true
		}
		t.left = e.sc.Traffic.Run
		if t.n++; int(t.n) == len(e.flows) {
			t.n = 0
		}
	}
	return false
}

// mayFresh reports whether a connection may send its next segment.
func (e *Ends) mayFresh(n uint32, d direction) bool {
	f := &e.flows[n]
	if f.state != established {
		return false
	}
	h := &f.halves[d]
	end := e.place(f, n, d, true, h.sent+1)
	limit := h.una + uint64(e.sc.Traffic.Window)*uint64(e.size(n, h.sent))
	return end <= h.edge && (end <= limit || h.una >= e.place(f, n, d, true, h.sent))
}

// alloc returns a buffer for what the sender of a direction sends.
func (e *Ends) alloc(d direction) *mbuf.Mbuf { return e.ports[d].Cache.Alloc() }

// put appends a packet to what is sent at a side.
func (e *Ends) put(s flowtable.Side, m *mbuf.Mbuf, at int64) {
	o := &e.out[s]
	o.ms, o.at = append(o.ms, m), append(o.at, at)
}

// Flush completes and sends what is made, and reports whether all of it went.
func (e *Ends) Flush() bool {
	e.sealAll()
	all := true
	for s := range e.out {
		e.disturb(flowtable.Side(s))
		o := &e.out[s]
		for _, m := range o.ms[o.sealed:] {
			e.finishTCP(m, e.ports[s].Checksum)
			e.Offered[s]++
			e.OfferedBytes[s] += uint64(m.PktLen)
		}
		n := e.ports[s].Wire.Send(o.ms, o.at)
		left := copy(o.ms, o.ms[n:])
		copy(o.at, o.at[n:])
		o.ms, o.at = o.ms[:left], o.at[:left]
		o.sealed = left
		all = all && left == 0
	}
	return all
}

// AcknowledgeAll has everybody acknowledge what is received, however little.
func (e *Ends) AcknowledgeAll() {
	for n := range e.flows {
		for d := up; d < either; d++ {
			e.oweRest(uint32(n), d)
		}
	}
}

// oweRest has the receiver of direction d acknowledge what it has got, however little.
func (e *Ends) oweRest(n uint32, d direction) {
	h := &e.flows[n].halves[d]
	if h.got > h.told || h.due > 0 {
		h.due = 1
		e.owe(n, d)
	}
}

// oweNow has the receiver of direction d acknowledge at once, whatever it has got.
func (e *Ends) oweNow(n uint32, d direction) {
	e.flows[n].halves[d].due = 1
	e.owe(n, d)
}

// owe gives the receiver of direction d a turn to acknowledge.
func (e *Ends) owe(n uint32, d direction) {
	h := &e.flows[n].halves[d]
	if !h.ackDue {
		h.ackDue = true
		e.acks[d.reverse()].push(n)
	}
}
