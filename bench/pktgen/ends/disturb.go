package ends

import (
	"linecrypt/dataplane/mbuf"
	"linecrypt/flowtable"
)

// held is a packet that comes later than it was sent.
type held struct {
	m    *mbuf.Mbuf
	at   int64
	to   flowtable.Side
	left int // packets that overtake it
}

const (
	maxLate  = 256
	lateness = 16
	permyria = 10_000
)

// chance is true for a share of 10,000.
func (e *Ends) chance(share int) bool { return share > 0 && e.rand.IntN(permyria) < share }

// lose decides whether a packet that came out of the gateway is lost.
func (e *Ends) lose() bool {
	if e.calm || !e.chance(e.sc.Disturb.Loss) {
		return false
	}
	e.Lost++
	return true
}

// disturb loses, damages and delays what is about to be sent at a side. What is complete already was disturbed before.
func (e *Ends) disturb(s flowtable.Side) {
	d := &e.sc.Disturb
	if e.calm && e.lates == 0 || !d.Disturbed() {
		return
	}
	o := &e.out[s]
	to := o.sealed
	for i := o.sealed; i < len(o.ms); i++ {
		m := o.ms[i]
		switch {
		case e.calm:
		case e.chance(d.Loss):
			e.Lost++
			e.free(s, m)
			continue
		case s == flowtable.Outside && m.DataLen > payloadAt+64 && e.chance(d.Corrupt):
			e.damage(m)
		case e.lates < maxLate && e.chance(d.Reorder):
			e.late[e.lates] = held{m: m, at: o.at[i], to: s, left: 1 + e.rand.IntN(lateness)}
			e.lates++
			continue
		}
		o.ms[to], o.at[to] = m, o.at[i]
		to++
	}
	o.ms, o.at = o.ms[:to], o.at[:to]
	e.release(s, to)
}

// release sends those late packets of a side that were overtaken by enough others, or all of them once nothing is disturbed.
func (e *Ends) release(s flowtable.Side, passed int) {
	left := 0
	for i := range e.late[:e.lates] {
		l := e.late[i]
		if l.left -= passed; l.to == s && (l.left <= 0 || e.calm || passed == 0) {
			e.put(s, l.m, l.at)
			continue
		}
		e.late[left] = l
		left++
	}
	e.lates = left
}

// damage changes a bit of a frame, somewhere behind its header.
func (e *Ends) damage(m *mbuf.Mbuf) {
	b := m.Data()[payloadAt+8:]
	b[e.rand.IntN(len(b))] ^= 1 << e.rand.IntN(8)
	e.Damaged++
}
