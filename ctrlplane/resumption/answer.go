package resumption

import "linecrypt/ctrlplane/tcpcrypt"

// Take returns the secret that a connection has claimed, for its keys; false where it has not. The data plane may ask for the keys of
// one connection several times, and gets the same ones.
func (c *Cache) Take(h Handle, by Flow) (taken Taken, ok bool) {
	if c == nil {
		return taken, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.t.held(h)
	if s == nil {
		return taken, false
	}
	state := s.state.Load()
	if !h.of(state) || loadFlow(&s.owner) != by || by.Index == 0 {
		return taken, false
	}
	switch statusOf(state) {
	case claimed:
		// Before the next secret is kept, so that it is kept once, whenever this process is killed.
		if !s.state.CompareAndSwap(state, answered.in(state)) {
			return taken, false
		}
		taken.First = s.flags.Load()&flagFlushed == 0
		c.taken = append(c.taken, h.slot())
		c.chains[by] = s.chain
	case answered:
	default:
		return taken, false
	}
	taken.Secret, taken.Index, taken.Chain = s.secret, s.index, s.chain
	taken.TEP, taken.AEAD, taken.Sends = unpackKind(s.kind.Load())
	taken.Ours, taken.Theirs = loadHalf(&s.ours), loadHalf(&s.theirs)
	if taken.Secret == (tcpcrypt.Secret{}) || !h.of(s.state.Load()) {
		return Taken{}, false // erased meanwhile: nothing is ever sealed under the key that follows from zeros
	}
	return taken, true
}

// Ended forgets what is known of a connection that is over.
func (c *Cache) Ended(f Flow) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.chains, f)
}

// recycleAtOnce bounds how many slots a secret that is kept looks at for one that is spent.
const recycleAtOnce = 4

// recycle frees slots whose connections have their keys, the oldest first.
func (c *Cache) recycle() {
	for range recycleAtOnce {
		if c.done == len(c.taken) {
			c.taken, c.done = c.taken[:0], 0
			return
		}
		n := c.taken[c.done]
		switch statusOf(c.t.at(n).state.Load()) {
		case answered, erasing:
			return
		case spent:
			c.drop(n, spent)
		}
		if c.done++; c.done > 1024 && c.done*2 > len(c.taken) {
			c.taken = c.taken[:copy(c.taken, c.taken[c.done:])]
			c.done = 0
		}
	}
}

// Prune forgets connections that have ended without word of it.
func (c *Cache) Prune(lives func(Flow) bool) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for f := range c.chains {
		if !lives(f) {
			delete(c.chains, f)
		}
	}
}
