package shm

import (
	"encoding/binary"
	"errors"
	"sync/atomic"

	"linecrypt/flowtable"
)

// ErrAwareFull is returned when there is no room for a further endpoint.
var ErrAwareFull = errors.New("too many endpoints for which applications asked for something")

// Sizes of the table of endpoints for which applications asked for something.
//
// An endpoint lies in one of two buckets and goes where more room is, so that the table takes some two thirds of its size under any key
// before it refuses one (Azar, Broder, Karlin, Upfal: Balanced Allocations, 1994).
const (
	AwareEndpoints = 1024
	awareBucket    = 8 // slots
	awareBuckets   = AwareEndpoints / awareBucket
)

// awareTable holds the endpoints of hosts inside whose connections carry the application-aware bit (RFC 8547 section 4.2), or have nothing
// to do with resumption (RFC 8548 section 3.5), because their application asked for it. The control plane writes it, and the workers look
// into it when a connection begins.
type awareTable struct {
	count atomic.Uint64     // of endpoints in use: most gateways have none
	key   flowtable.FoldKey // of buckets
	_     [40]byte
	slots [AwareEndpoints]awareSlot
}

// awareSlot is one endpoint. Its sequence number is odd while it is written.
type awareSlot struct {
	seq   atomic.Uint32
	port  atomic.Uint32 // with awareUsed and perhaps awareFresh, 0 for an empty slot
	addr  [2]atomic.Uint64
	owner atomic.Uint64
}

const (
	awareUsed  = 1 << 31
	awareFresh = 1 << 30 // it is about resumption, not about the bit
)

// AwareEndpoint is an endpoint in the table, and the process that asked for it as the control plane notes it down, for the control plane
// that follows it.
type AwareEndpoint struct {
	Addr  [16]byte
	Port  uint16
	Fresh bool // its connections resume no session and leave none; else they carry the application-aware bit
	Owner uint64
}

// word is what its slot has as port.
func (e *AwareEndpoint) word() uint32 {
	if e.Fresh {
		return uint32(e.Port) | awareUsed | awareFresh
	}
	return uint32(e.Port) | awareUsed
}

func awareWords(addr *[16]byte) (hi, lo uint64) {
	return binary.LittleEndian.Uint64(addr[:]), binary.LittleEndian.Uint64(addr[8:])
}

// buckets returns the two places of an endpoint, which differ. Who does not know the key cannot choose endpoints that take all of those of
// another one.
func (t *awareTable) buckets(hi, lo uint64, word uint32) (first, second []awareSlot) {
	h := t.key.Fold(t.key.Fold(hi, lo), uint64(word)) >> 32
	one := h % awareBuckets
	other := (one + 1 + h/awareBuckets%(awareBuckets-1)) % awareBuckets
	return t.bucket(one), t.bucket(other)
}

func (t *awareTable) bucket(n uint64) []awareSlot {
	return t.slots[n*awareBucket : (n+1)*awareBucket]
}

// find returns the slot of an endpoint, or nil.
func (t *awareTable) find(hi, lo uint64, word uint32) *awareSlot {
	first, second := t.buckets(hi, lo, word)
	for _, bucket := range [...][]awareSlot{first, second} {
		for i := range bucket {
			if bucket[i].is(hi, lo, word) {
				return &bucket[i]
			}
		}
	}
	return nil
}

// free returns an empty slot of a bucket, or nil, and how many it has.
func free(bucket []awareSlot) (slot *awareSlot, n int) {
	for i := range bucket {
		if bucket[i].port.Load() == 0 {
			slot = &bucket[i]
			n++
		}
	}
	return slot, n
}

// Aware reports whether the application at a host's endpoint said that it is aware of encryption. It takes one load where none did. An
// endpoint that is entered or taken out at this moment may be seen either way.
func (s *Segment) Aware(addr *[16]byte, port uint16) bool {
	return s.hdr.aware.has(addr, uint32(port)|awareUsed)
}

// Fresh reports whether the application at a host's endpoint wants neither that its connections resume a session nor that they leave
// anything to resume with, likewise.
func (s *Segment) Fresh(addr *[16]byte, port uint16) bool {
	return s.hdr.aware.has(addr, uint32(port)|awareUsed|awareFresh)
}

func (t *awareTable) has(addr *[16]byte, word uint32) bool {
	if t.count.Load() == 0 {
		return false
	}
	hi, lo := awareWords(addr)
	return t.find(hi, lo, word) != nil
}

func (a *awareSlot) is(hi, lo uint64, word uint32) bool {
	seq := a.seq.Load()
	same := a.port.Load() == word && a.addr[0].Load() == hi && a.addr[1].Load() == lo
	return same && seq&1 == 0 && a.seq.Load() == seq
}

func (a *awareSlot) write(port uint32, hi, lo, owner uint64) {
	a.seq.Store(a.seq.Load() | 1)
	a.port.Store(port)
	a.addr[0].Store(hi)
	a.addr[1].Store(lo)
	a.owner.Store(owner)
	a.seq.Store(a.seq.Load() + 1)
}

// SetAware enters an endpoint, or changes its owner. Only the control plane may, one goroutine at a time. The error is ErrAwareFull.
func (s *Segment) SetAware(e AwareEndpoint) error {
	t := &s.hdr.aware
	if s.part != partControl {
		return ErrAwareFull
	}
	hi, lo := awareWords(&e.Addr)
	if a := t.find(hi, lo, e.word()); a != nil {
		a.owner.Store(e.Owner)
		return nil
	}
	first, second := t.buckets(hi, lo, e.word())
	slot, room := free(first)
	if other, more := free(second); more > room {
		slot = other
	}
	if slot == nil {
		return ErrAwareFull
	}
	slot.write(e.word(), hi, lo, e.Owner)
	t.count.Add(1)
	return nil
}

// ClearAware takes an endpoint out. Only the control plane may, one goroutine at a time.
func (s *Segment) ClearAware(e AwareEndpoint) {
	t := &s.hdr.aware
	hi, lo := awareWords(&e.Addr)
	if a := t.find(hi, lo, e.word()); a != nil && s.part == partControl {
		a.write(0, 0, 0, 0)
		t.count.Add(^uint64(0))
	}
}

// MendAware makes slots whole in whose middle a control plane was killed, and returns the endpoints that it left. Only the control plane
// may call it.
func (s *Segment) MendAware() []AwareEndpoint {
	t := &s.hdr.aware
	var left []AwareEndpoint
	if s.part != partControl {
		return nil
	}
	for i := range t.slots {
		a := &t.slots[i]
		port := a.port.Load()
		if a.seq.Load()&1 == 1 {
			a.write(0, 0, 0, 0)
			port = 0
		}
		if port&awareUsed == 0 {
			continue
		}
		e := AwareEndpoint{Port: uint16(port), Fresh: port&awareFresh != 0, Owner: a.owner.Load()}
		binary.LittleEndian.PutUint64(e.Addr[:], a.addr[0].Load())
		binary.LittleEndian.PutUint64(e.Addr[8:], a.addr[1].Load())
		left = append(left, e)
	}
	t.count.Store(uint64(len(left)))
	return left
}
