package stream

import (
	"testing"

	"linecrypt/dataplane/mbuf"
)

func TestBuffersThatABurstGivesUpAreFreedByItsEnd(t *testing.T) {
	b := newBench(t, 0)
	c := b.core
	take := func(n int) []*mbuf.Mbuf {
		ms := make([]*mbuf.Mbuf, n)
		if c.cache.AllocBurst(ms) != n {
			t.Fatal("no buffers")
		}
		return ms
	}
	all := c.cache.Avail()
	giveUp := func(ms []*mbuf.Mbuf) {
		for _, m := range ms {
			c.given.free(c, m)
		}
	}

	giveUp(take(3))
	if c.cache.Avail() != all {
		t.Error("outside of a burst they wait")
	}
	c.BeginBurst(b.now, b.out)
	giveUp(take(3))
	if c.cache.Avail() != all-3 {
		t.Error("within a burst they do not wait")
	}
	giveUp(take(min(givenRoom+10, all-3)))
	if n := all - c.cache.Avail(); n > givenRoom || all <= givenRoom+13 {
		t.Errorf("%d of %d buffers wait", n, all)
	}
	c.scarce = true
	before := c.cache.Avail()
	giveUp(take(1))
	if c.cache.Avail() != before {
		t.Error("one waits while buffers are scarce")
	}
	c.EndBurst()
	if c.cache.Avail() != all {
		t.Errorf("%d of %d are free behind the burst", c.cache.Avail(), all)
	}
}
