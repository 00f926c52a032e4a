package resumption

import (
	"net/netip"
)

// FlushAll forgets all secrets and returns how many. A connection that is being set up by one goes on; nothing is kept of it.
func (c *Cache) FlushAll() int {
	return c.flush(func(*slot) bool { return true })
}

// FlushPeer forgets the secrets that were agreed with hosts of a prefix.
func (c *Cache) FlushPeer(prefix netip.Prefix) int {
	return c.flush(func(s *slot) bool {
		p := s.loadPair()
		k := p.key()
		return prefix.Contains(netip.AddrFrom16(k.Outside).Unmap())
	})
}

// FlushConnection forgets what was used in a connection's set-up or came from it: all secrets of its original session.
func (c *Cache) FlushConnection(f Flow) int {
	if c == nil {
		return 0
	}
	c.mu.Lock()
	chain := c.chains[f]
	c.mu.Unlock()
	return c.flush(func(s *slot) bool { return chain != 0 && s.chain == chain || loadFlow(&s.maker) == f })
}

func (c *Cache) flush(which func(*slot) bool) int {
	if c == nil {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	flushed := 0
	for n := uint32(1); n <= uint32(c.t.Capacity()); n++ {
		s := c.t.at(n)
		if st := statusOf(s.state.Load()); st == free || st == filling || !which(s) {
			continue
		}
		if c.evict(n) {
			flushed++
			continue
		}
		// A connection has it. If it was ready a moment ago, and claimed since, the flag is there in time: Take is held off.
		s.flags.Store(flagFlushed)
		if statusOf(s.state.Load()) == claimed {
			flushed++
		}
	}
	c.stats.flushed.Add(uint64(flushed))
	return flushed
}
