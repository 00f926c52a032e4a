package stream

import (
	"testing"

	"linecrypt/cryptobatch"
	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/dataplane/mbuf"
	"linecrypt/flowtable"
)

// crowd is many flows of one Core, whose hosts and far ends are played by the test.
type crowd struct {
	t       *testing.T
	core    *Core
	cache   *mbuf.Cache
	size    int
	out     *Output
	batcher cryptobatch.Batcher
	flows   []*member
	now     int64
}

// member is a flow of a crowd. Its host sends zeroes, and no further than it was told.
type member struct {
	c      *crowd
	rec    flowtable.Record
	idx    flowtable.Index
	edge   uint64 // right edge told to the host
	acked  uint64 // acknowledged to the host
	wire   uint64 // wire bytes sent, by position behind the last one
	sends  int    // segments to the wire with payload
	resets int    // RSTs to the host
}

const crowdScale = 10

func newCrowd(t *testing.T, buffers, chunks int, change func(*Config)) *crowd {
	c := &crowd{t: t, size: buffers, out: NewOutput(benchBurst), now: 1e9}
	c.core, c.cache, _, c.batcher = testCore(t, buffers, func(cfg *Config) {
		cfg.Keys, cfg.Chunks = 2000, flowtable.FormatChunks(make([]flowtable.Chunk, chunks))
		cfg.PoolLow = buffers / 8
		cfg.OutOfOrder = buffers / 2
		cfg.Gaps = 500
		if change != nil {
			change(cfg)
		}
	})
	return c
}

// join adds a flow whose far end lies in the given /24.
func (c *crowd) join(net byte) *member {
	c.t.Helper()
	m := &member{c: c, idx: flowtable.Index(len(c.flows) + 1)}
	c.flows = append(c.flows, m)
	r := &m.rec
	copy(r.Key.Outside[10:], []byte{0xff, 0xff, 10, 0, net, 1})
	r.Host = flowtable.Endpoint{MSS: 1460, WScale: crowdScale, Win: 60000}
	r.Peer = flowtable.Endpoint{MSS: 1460, WScale: crowdScale, Win: 60000}
	r.Flags = flowtable.FlagSACK | flowtable.FlagWScale
	c.core.Start(m.idx, r, c.now)
	m.edge = 50000
	r.Ingress.Flags |= flowtable.IngressInit
	if err := c.core.InstallKeys(m.idx, r, &Keys{AEAD: tcpcrypt.AES128GCM, Master: tcpcrypt.MasterKey{1}, Egress: tcpcrypt.AB}, c.now, c.out); err != nil {
		c.t.Fatal(err)
	}
	c.flush()
	return m
}

func (c *crowd) flush() {
	for c.out.Pending() {
		c.batcher.Seal(c.out.Seals)
		c.core.Sealed(c.out, c.now)
		c.batcher.Open(c.out.Opens)
		c.core.Opened(c.out, c.now)
	}
	for i := range c.out.Emits {
		e := &c.out.Emits[i]
		if e.M == nil {
			continue
		}
		m := c.flows[e.Flow-1]
		switch {
		case e.Dir == ToWire && e.Len > 0:
			m.wire = max(m.wire, uint64(e.Seq-1)+uint64(e.Len))
			m.sends++
		case e.Dir == ToHost && e.Flags&RST != 0:
			m.resets++
		case e.Dir == ToHost:
			acked := uint64(e.Ack - 1)
			edge := acked + uint64(e.Win)<<crowdScale
			if acked >= m.acked && edge+1<<crowdScale-1 < m.edge {
				c.t.Errorf("flow %d: the right edge went back from %d to %d", m.idx, m.edge, edge)
			}
			m.acked, m.edge = max(m.acked, acked), max(m.edge, edge)
		}
		c.cache.Free(e.M)
	}
	c.out.Reset()
}

// segment makes a segment with n bytes of payload.
func (c *crowd) segment(n int) Segment {
	m := c.cache.Alloc()
	if m == nil {
		c.t.Fatal("no buffer is free for a packet that arrives")
	}
	m.SetBounds(mbuf.Headroom, hdrLen+n)
	clear(m.Data())
	return Segment{M: m, Off: mbuf.Headroom + hdrLen, Len: n, Seq: 1, Ack: 1, Win: 60000, Flags: ACK}
}

// say sends n bytes of the host's from a position on.
func (m *member) say(at uint64, n int) {
	seg := m.c.segment(n)
	seg.Seq += uint32(at)
	m.c.core.EgressSegment(m.idx, &m.rec, &seg, m.c.now, m.c.out)
	if !m.c.out.Room() {
		m.c.flush()
	}
}

// send sends segments of n bytes as far as the host was told it may, at most limit of them, and returns how many.
func (m *member) send(n, limit int) (sent int) {
	at := m.rec.Egress.PNext
	for ; sent < limit && at+uint64(n) <= m.edge; sent++ {
		m.say(at, n)
		at += uint64(n)
	}
	m.c.flush()
	return sent
}

// ack lets the far end acknowledge up to a wire position, with a window behind it.
func (m *member) ack(w uint64, win uint16) {
	seg := m.c.segment(0)
	seg.Ack, seg.Win = 1+uint32(w), win
	m.c.core.IngressSegment(m.idx, &m.rec, &seg, m.c.now, m.c.out)
	m.c.flush()
}

// fill lets the host send segments of n bytes until it may not send more; its far end acknowledges a little, so that it is told.
func (m *member) fill(n int) {
	for range 400 {
		m.send(n, 1<<20)
		m.ackFrames(1)
		m.send(n, 1<<20)
		if m.edge < m.rec.Egress.PNext+uint64(2*n) {
			return
		}
	}
}

// ackFrames acknowledges the n oldest frames in flight.
func (m *member) ackFrames(n int) {
	e := &m.rec.Egress
	it := m.c.core.chunks.Iter(&e.Queue)
	w := e.WUna
	for en, _ := it.Next(); en != nil && n > 0; en, _ = it.Next() {
		w = en.WEnd
		n--
	}
	m.ack(w, 60000)
}

// tick lets time pass and everything that is due by then happen.
func (c *crowd) tick(ns int64) {
	for end := c.now + ns; c.now < end; {
		next := end
		for _, m := range c.flows {
			if d := c.core.Deadline(&m.rec); d != 0 {
				next = min(next, max(d, c.now))
			}
		}
		c.now = next
		for _, m := range c.flows {
			if d := c.core.Deadline(&m.rec); d != 0 && d <= c.now {
				c.core.Timeout(m.idx, &m.rec, c.now, c.out)
			}
		}
		c.flush()
		if next == end {
			return
		}
	}
}

// check fails where what is counted is not what is held.
func (c *crowd) check() {
	c.t.Helper()
	held, frames := 0, 0
	for _, m := range c.flows {
		bufs := map[*mbuf.Mbuf]bool{}
		it := c.core.chunks.Iter(&m.rec.Egress.Queue)
		for en, id := it.Next(); en != nil; en, id = it.Next() {
			if k := &c.core.kept[id]; k.m != nil && k.kind != keptOwn {
				bufs[k.m] = true
			}
		}
		n := len(bufs)
		if g := m.rec.Local.Gap; g != 0 {
			n += int(c.core.gaps[g].count)
		}
		if int(m.rec.Local.Held) != n {
			c.t.Fatalf("flow %d: %d buffers counted, %d held", m.idx, m.rec.Local.Held, n)
		}
		held += n
		frames += int(m.rec.Egress.Queue.Count)
	}
	if c.core.shares.held != held || c.core.flight.held != frames {
		c.t.Fatalf("%d buffers and %d frames counted, not %d and %d", c.core.shares.held, c.core.flight.held, held, frames)
	}
	if free := c.cache.Avail(); free+held != c.size {
		c.t.Fatalf("%d buffers held, %d of %d free", held, free, c.size)
	}
}

func (c *crowd) count(n shm.Counter) uint64 { return c.core.n[n] }
