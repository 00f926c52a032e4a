package stream

import "linecrypt/dataplane/mbuf"

// BeginBurst says what is the same for all segments of a burst, which follow: trains need to be told no more, and buffers that were held for
// what the segments acknowledge are freed by EndBurst.
func (c *Core) BeginBurst(now int64, out *Output) {
	c.run.begin(c, 0, nil, now, out)
	c.given.waits = true
}

// EndBurst ends the burst that BeginBurst began.
func (c *Core) EndBurst() {
	c.given.flush(c.cache)
	c.given.waits = false
}

// given are the buffers that a burst's acknowledgements free. They were sent so long before that none of them is in the cache: freed together
// they come from memory together, where one alone would be waited for.
type given struct {
	waits bool // a burst is being worked
	n     int
	ms    [givenRoom]*mbuf.Mbuf
}

// givenRoom is how many wait at most: two for each of as many acknowledgements as a large burst has.
const givenRoom = 256

// free frees a buffer when the burst ends, or at once where there is none, or buffers are scarce.
func (g *given) free(c *Core, m *mbuf.Mbuf) {
	if !g.waits || c.scarce {
		c.cache.Free(m)
		return
	}
	if g.n == len(g.ms) {
		g.flush(c.cache)
	}
	g.ms[g.n] = m
	g.n++
}

func (g *given) flush(cache *mbuf.Cache) {
	cache.FreeBurst(g.ms[:g.n])
	g.n = 0
}
