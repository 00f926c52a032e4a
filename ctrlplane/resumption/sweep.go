package resumption

// Fate is what became of a connection that has claimed a secret.
type Fate uint8

// The fates.
const (
	Pending Fate = iota // it is being set up
	Failed              // it came to nothing, or to a plain connection: the secret was used in vain
	Missed              // the far end does not know the secret
	Done                // it has its keys
)

// namelessFor is how long, in ns, a worker may take between claiming a secret and saying for which connection.
const namelessFor = int64(60e9)

// Sweep looks at some of the slots, all of them in 1/part calls: what has expired or was erased is forgotten, and of what was claimed
// in vain the next secret is made ready: no host offers ss[i] twice, successfully or not (RFC 8548 section 3.5). Look says what became
// of a connection that has claimed a secret.
func (c *Cache) Sweep(now int64, part int, look func(Flow, Handle) Fate) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	all := uint32(c.t.Capacity())
	for range (int(all) + part - 1) / part {
		c.look(c.hand, now, look)
		if c.hand++; c.hand > all {
			c.hand = 1
		}
	}
}

func (c *Cache) look(n uint32, now int64, look func(Flow, Handle) Fate) {
	s := c.t.at(n)
	state := s.state.Load()
	switch statusOf(state) {
	case ready:
		if now >= s.expires.Load() && c.evict(n) {
			c.stats.expired.Add(1)
		}
	case claimed:
		c.lookClaimed(n, makeHandle(n, state), now, look)
	case answered, erasing:
		if look(loadFlow(&s.owner), makeHandle(n, state)) != Pending {
			c.drop(n, statusOf(state))
		}
	case spent:
		c.drop(n, spent)
	}
}

func (c *Cache) lookClaimed(n uint32, h Handle, now int64, look func(Flow, Handle) Fate) {
	s := c.t.at(n)
	owner := loadFlow(&s.owner)
	fate := Failed
	switch {
	case owner.Index != 0:
		fate = look(owner, h)
	case c.nameless[n] == 0:
		c.nameless[n] = now
		return
	case now-c.nameless[n] < namelessFor:
		return
	}
	if fate == Pending {
		return
	}
	delete(c.nameless, n)
	if fate != Failed || s.flags.Load()&flagFlushed != 0 || now >= s.expires.Load() {
		c.drop(n, claimed)
		return
	}
	c.advance(n)
}

// advance puts the next secret into the place of one that was claimed in vain.
func (c *Cache) advance(n uint32) {
	s := c.t.at(n)
	state := s.state.Load()
	if statusOf(state) != claimed || !s.state.CompareAndSwap(state, filling.in(state)) {
		return
	}
	c.unindex(n)
	state = filling.in(state + 1<<statusBits)
	s.state.Store(state)
	next := s.secret.Next()
	id := next.ResumeID()
	_, _, sends := unpackKind(s.kind.Load())
	s.secret, s.index = next, s.index+1
	next.Wipe()
	storeFlow(&s.owner, Flow{})
	c.name(s, &id, sends)
	if !c.index(n) {
		c.unfill(n)
		return
	}
	s.state.Store(ready.in(state))
	c.stats.advanced.Add(1)
}
