package mbuf

import (
	"sync/atomic"
)

// maxHolders bounds the threads that use a Shared at the same time: workers, and what polls beside them.
const maxHolders = 512

// Shared is a Pool that any number of threads use without a lock, over the buffers of an Arena: what one core takes and another
// frees goes home by it. Free buffers lie in chunks of up to CacheChunk, and the chunks on three stacks (whole, part, empty). A bulk
// is a pop, a copy and a push, so that a core pays for two atomic exchanges in CacheChunk buffers. No thread waits for another: one
// that is stopped in the middle keeps a chunk from the others, and nothing more.
type Shared struct {
	arena  *Arena
	chunks []chunk // number 0 is not in use

	_     [128]byte
	whole chunkStack
	part  chunkStack
	empty chunkStack
	avail atomic.Int64
	_     [128 - 8]byte
}

// chunk holds n free buffers. Whoever has popped it owns it, but for next, which a thread that is too late with a pop of its own may
// still read.
type chunk struct {
	next atomic.Uint32
	n    int
	ms   [CacheChunk]*Mbuf
}

// chunkStack is a stack of chunks by number. Its head is the number of the topmost one, 0 for none, below a tag that grows with every
// change: a pop that was overtaken by a pop and a push of the same chunk fails.
type chunkStack struct {
	head atomic.Uint64
	_    [128 - 8]byte
}

// NewShared makes a pool of all buffers of arena, none of which is in use. The arena belongs to the caller, who closes it when no
// buffer is in use any more.
func NewShared(arena *Arena) *Shared {
	whole := (arena.Size() + CacheChunk - 1) / CacheChunk
	s := &Shared{arena: arena, chunks: make([]chunk, 1+whole+maxHolders)}
	for i := len(s.chunks) - 1; i > 0; i-- {
		s.push(&s.empty, uint32(i))
	}
	for n := arena.Avail(); n > 0; n = arena.Avail() {
		var ms [CacheChunk]*Mbuf
		n = min(n, len(ms))
		arena.AllocBulk(ms[:n])
		s.FreeBulk(ms[:n])
	}
	return s
}

func (s *Shared) push(to *chunkStack, i uint32) {
	c := &s.chunks[i]
	for {
		h := to.head.Load()
		c.next.Store(uint32(h))
		if to.head.CompareAndSwap(h, (h>>32+1)<<32|uint64(i)) {
			return
		}
	}
}

// pop returns the number of the topmost chunk, 0 when there is none.
func (s *Shared) pop(from *chunkStack) uint32 {
	for {
		h := from.head.Load()
		i := uint32(h)
		if i == 0 {
			return 0
		}
		if from.head.CompareAndSwap(h, (h>>32+1)<<32|uint64(s.chunks[i].next.Load())) {
			return i
		}
	}
}

// put gives a chunk up, to the stack that it belongs on.
func (s *Shared) put(i uint32) {
	switch s.chunks[i].n {
	case 0:
		s.push(&s.empty, i)
	case CacheChunk:
		s.push(&s.whole, i)
	default:
		s.push(&s.part, i)
	}
}

// AllocBulk implements Pool. While others have chunks in hand it may find too few, though there are just enough.
func (s *Shared) AllocBulk(ms []*Mbuf) bool {
	if s.avail.Load() < int64(len(ms)) {
		return false
	}
	for got := 0; got < len(ms); {
		first, second := &s.part, &s.whole
		if len(ms)-got >= CacheChunk {
			first, second = second, first
		}
		i := s.pop(first)
		if i == 0 {
			i = s.pop(second)
		}
		if i == 0 {
			s.avail.Add(-int64(got))
			s.FreeBulk(ms[:got])
			return false
		}
		c := &s.chunks[i]
		n := min(c.n, len(ms)-got)
		copy(ms[got:], c.ms[c.n-n:c.n])
		c.n -= n
		got += n
		s.put(i)
	}
	s.avail.Add(-int64(len(ms)))
	return true
}

// FreeBulk implements Pool. There are so many chunks that with all buffers free, and one chunk in every hand, one has room: the loop
// goes round for another time only when others took what it would have found.
func (s *Shared) FreeBulk(ms []*Mbuf) {
	s.avail.Add(int64(len(ms)))
	for len(ms) > 0 {
		first, second := &s.part, &s.empty
		if len(ms) >= CacheChunk {
			first, second = second, first
		}
		i := s.pop(first)
		if i == 0 {
			i = s.pop(second)
		}
		if i == 0 {
			continue
		}
		c := &s.chunks[i]
		n := copy(c.ms[c.n:], ms)
		c.n += n
		ms = ms[n:]
		s.put(i)
	}
}

// Size implements Pool.
func (s *Shared) Size() int { return s.arena.Size() }

// Avail implements Pool.
func (s *Shared) Avail() int { return int(max(s.avail.Load(), 0)) }

// DataRoom implements Pool.
func (s *Shared) DataRoom() int { return s.arena.DataRoom() }

// AnyThread implements AnyThread.
func (s *Shared) AnyThread() {}

// AnyThread is implemented by pools that several threads may use at the same time.
type AnyThread interface {
	Pool
	AnyThread()
}
