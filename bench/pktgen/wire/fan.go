package wire

import (
	"errors"
	"io"

	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/port"
)

// link is a wire as the ends use it.
type link interface {
	Send(ms []*mbuf.Mbuf, at []int64) int
	Receive(ms []*mbuf.Mbuf, at []int64) int
}

// Chooser says for which of n queues a frame is: for the same one in both directions of a connection.
type Chooser interface{ Worker(frame []byte, n int) int }

// Fan is a wire over several, one for each queue of a gateway's port: what a NIC does that spreads connections over its queues, which
// costs the gateway nothing. What the wire of a queue has no room for waits, and then the Fan takes no more.
type Fan struct {
	links  []link
	choose Chooser
	ms     [][]*mbuf.Mbuf // by queue, what waits
	at     [][]int64
	waits  int
	next   int // whose packets are received first
}

// NewFan returns one. Most is how many packets one Send takes at most.
func NewFan[L link](links []L, choose Chooser, most int) *Fan {
	f := &Fan{choose: choose, ms: make([][]*mbuf.Mbuf, len(links)), at: make([][]int64, len(links))}
	for i, l := range links {
		f.links = append(f.links, l)
		f.ms[i], f.at[i] = make([]*mbuf.Mbuf, 0, most), make([]int64, 0, most)
	}
	return f
}

// Send implements ends.Wire.
func (f *Fan) Send(ms []*mbuf.Mbuf, at []int64) int {
	if f.waits > 0 {
		if f.flush(); f.waits > 0 {
			return 0
		}
	}
	n := min(len(ms), cap(f.ms[0]))
	for i, m := range ms[:n] {
		q := f.choose.Worker(m.Data(), len(f.links))
		f.ms[q], f.at[q] = append(f.ms[q], m), append(f.at[q], at[i])
	}
	f.waits = n
	f.flush()
	return n
}

// flush sends what waits.
func (f *Fan) flush() {
	for q, l := range f.links {
		n := l.Send(f.ms[q], f.at[q])
		left := copy(f.ms[q], f.ms[q][n:])
		copy(f.at[q], f.at[q][n:])
		f.ms[q], f.at[q] = f.ms[q][:left], f.at[q][:left]
		f.waits -= n
	}
}

// Receive implements ends.Wire.
func (f *Fan) Receive(ms []*mbuf.Mbuf, at []int64) int {
	for range f.links {
		l := f.links[f.next]
		if f.next++; f.next == len(f.links) {
			f.next = 0
		}
		if n := l.Receive(ms, at); n > 0 {
			return n
		}
	}
	return 0
}

// Free gives back what waits.
func (f *Fan) Free(c *mbuf.Cache) {
	for q := range f.ms {
		c.FreeBurst(f.ms[q])
		f.ms[q] = f.ms[q][:0]
	}
	f.waits = 0
}

// Clocked is a wire with a clock that its user moves: a Turn, a Paced or a Clocks.
type Clocked interface {
	link
	io.Closer
	// Release lets go what is due and returns how many packets are not.
	Release(now int64) (left int)
	// Stamp says when what has come out of the gateway since the last call has left it.
	Stamp(now int64)
	// Missed counts the packets that found no room, Delivered those that the gateway's port has got.
	Missed() uint64
	Delivered() uint64
}

// Clocks is a Fan over wires that have a clock.
type Clocks struct {
	Fan
	all []Clocked
}

// NewClocks returns one, which owns the wires.
func NewClocks(all []Clocked, choose Chooser, most int) *Clocks {
	return &Clocks{Fan: *NewFan(all, choose, most), all: all}
}

// Release implements Clocked.
func (c *Clocks) Release(now int64) (left int) {
	for _, w := range c.all {
		left += w.Release(now)
	}
	return left
}

// Stamp implements Clocked.
func (c *Clocks) Stamp(now int64) {
	for _, w := range c.all {
		w.Stamp(now)
	}
}

// Missed implements Clocked.
func (c *Clocks) Missed() (n uint64) {
	for _, w := range c.all {
		n += w.Missed()
	}
	return n
}

// Delivered implements Clocked.
func (c *Clocks) Delivered() (n uint64) {
	for _, w := range c.all {
		n += w.Delivered()
	}
	return n
}

// Close implements Clocked. Wires with a clock take all that they are sent, so that nothing waits.
func (c *Clocks) Close() error {
	var errs []error
	for _, w := range c.all {
		errs = append(errs, w.Close())
	}
	return errors.Join(errs...)
}

// Turns is a port with several queues, each of them that of a Turn.
type Turns []*Turn

// Name implements port.Port.
func (t Turns) Name() string { return t[0].Name() }

// Kind implements port.Port.
func (t Turns) Kind() string { return t[0].Kind() }

// Queue implements port.Port.
func (t Turns) Queue(i int) port.Queue { return t[i] }

// Queues implements port.Port.
func (t Turns) Queues() int { return len(t) }

// Caps implements port.Port.
func (t Turns) Caps() port.Caps {
	c := t[0].Caps()
	c.RSS = true
	return c
}

// MTU implements port.Port.
func (t Turns) MTU() int { return mtu }

// Follow implements port.Port.
func (t Turns) Follow() port.State { return t[0].Follow() }

// Close implements port.Port. The Turns are closed one by one, by whoever sends over them.
func (t Turns) Close() error { return nil }
