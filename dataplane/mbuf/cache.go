package mbuf

// CacheChunk is the number of buffers moved between a Cache and its Pool at once.
const CacheChunk = 256

// Cache is one core's stock of free buffers in front of a Pool. It is not safe for concurrent use.
type Cache struct {
	pool    Pool
	sharers int // caches over the pool
	n       int
	free    [2 * CacheChunk]*Mbuf
}

// NewCache returns an empty cache over pool.
func NewCache(pool Pool) *Cache { return NewShare(pool, 1) }

// NewShare returns an empty cache over a pool that n cores share alike.
func NewShare(pool Pool, n int) *Cache { return &Cache{pool: pool, sharers: max(n, 1)} }

// Pool returns the pool behind the cache.
func (c *Cache) Pool() Pool { return c.pool }

// Avail is the number of free buffers that are this core's, the cached ones included: of a pool that cores share, its share. Alloc
// goes on beyond that while the pool has buffers, so a core that heeds its bounds goes by Avail.
func (c *Cache) Avail() int { return c.n + c.pool.Avail()/c.sharers }

// Share is the number of buffers of the pool that are this core's.
func (c *Cache) Share() int { return c.pool.Size() / c.sharers }

// Alloc returns an empty buffer with one reference, or nil when the pool is exhausted.
func (c *Cache) Alloc() *Mbuf {
	if c.n == 0 && !c.refill() {
		return nil
	}
	c.n--
	m := c.free[c.n]
	m.Reset()
	return m
}

// AllocBurst fills ms from the front with empty buffers and returns how many it got.
func (c *Cache) AllocBurst(ms []*Mbuf) int {
	for i := range ms {
		if ms[i] = c.Alloc(); ms[i] == nil {
			return i
		}
	}
	return len(ms)
}

// Free drops one reference of m and takes the buffer back when it was the last. A buffer in one piece, as NbSegs says, has no Next: that
// line of it is not looked at.
func (c *Cache) Free(m *Mbuf) {
	for m != nil {
		var next *Mbuf
		if m.NbSegs != 1 {
			next = (*Mbuf)(m.Next)
		}
		if m.release() {
			if m.NbSegs != 1 {
				m.Next, m.NbSegs = nil, 1
			}
			if c.n == len(c.free) {
				c.n -= CacheChunk
				c.pool.FreeBulk(c.free[c.n:])
			}
			c.free[c.n] = m
			c.n++
		}
		m = next
	}
}

// FreeBurst frees every buffer of ms.
func (c *Cache) FreeBurst(ms []*Mbuf) {
	PrefetchStructs(ms)
	for _, m := range ms {
		if m.NbSegs == 1 && m.RefCnt() == 1 && c.n < len(c.free) {
			c.free[c.n] = m // as nearly every one
			c.n++
			continue
		}
		c.Free(m)
	}
}

// Flush gives every cached buffer back to the pool.
func (c *Cache) Flush() {
	c.pool.FreeBulk(c.free[:c.n])
	c.n = 0
}

func (c *Cache) refill() bool {
	for n := CacheChunk; n > 0; n /= 4 {
		if c.pool.AllocBulk(c.free[:n]) {
			c.n = n
			return true
		}
	}
	return false
}
