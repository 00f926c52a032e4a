package cryptobatch

import (
	"crypto/cipher"
	"errors"
	"sync"
	"sync/atomic"
)

const (
	slotShift = 10
	slotChunk = 1 << slotShift
	maxSlots  = 1 << 26
)

var errSlotsFull = errors.New("too many keys")

// slot holds one AEAD of the standard library. gen changes each time the slot
// is given up, so that a number left behind in a stale Key finds nothing.
type slot struct {
	aead cipher.AEAD
	gen  uint32
	next uint32
}

// slots is a growing table of AEADs. Slots never move, so look-ups need no
// lock; put and drop take one.
type slots struct {
	chunks atomic.Pointer[[]*[slotChunk]slot]

	mu    sync.Mutex
	used  uint32 // slots ever taken from the chunks
	free  uint32 // 1 + first of the list of slots given up; 0: none
	inUse int
}

// get returns the AEAD that put stored, nil if it is gone or never was.
func (s *slots) get(n, gen uint32) cipher.AEAD {
	sl := s.at(n)
	if sl == nil || sl.gen != gen {
		return nil
	}
	return sl.aead
}

func (s *slots) at(n uint32) *slot {
	chunks := s.chunks.Load()
	if chunks == nil || n>>slotShift >= uint32(len(*chunks)) {
		return nil
	}
	return &(*chunks)[n>>slotShift][n&(slotChunk-1)]
}

// put stores an AEAD and returns its number and generation.
func (s *slots) put(aead cipher.AEAD) (n, gen uint32, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.free != 0 {
		n = s.free - 1
		s.free = s.at(n).next
	} else {
		if s.used == maxSlots {
			return 0, 0, errSlotsFull
		}
		n = s.used
		s.used++
		if n&(slotChunk-1) == 0 {
			s.grow()
		}
	}
	s.inUse++
	sl := s.at(n)
	sl.aead = aead
	return n, sl.gen, nil
}

// grow publishes a longer list of chunks; readers keep the one they hold.
func (s *slots) grow() {
	var chunks []*[slotChunk]slot
	if old := s.chunks.Load(); old != nil {
		chunks = append(chunks, *old...)
	}
	chunks = append(chunks, new([slotChunk]slot))
	s.chunks.Store(&chunks)
}

// drop gives a slot up and returns what was in it, nil if it was gone already.
func (s *slots) drop(n, gen uint32) cipher.AEAD {
	s.mu.Lock()
	defer s.mu.Unlock()
	sl := s.at(n)
	if sl == nil || sl.gen != gen || sl.aead == nil {
		return nil
	}
	aead := sl.aead
	sl.aead = nil
	sl.gen++
	sl.next = s.free
	s.free = n + 1
	s.inUse--
	return aead
}
