package sessiontable

import (
	"encoding/binary"
	"math/bits"
	"sync/atomic"

	"linecrypt/flowtable"
)

// SessionIDSize is the size of a session ID in bytes, the TEP byte first (RFC 8548 section 3.4).
const SessionIDSize = 33

// Entry is what is published about one connection.
type Entry struct {
	Tuple     flowtable.Key  // whoever opened it: the host's end is inside
	Active    bool           // the host opened the connection
	Resumed   bool           // its keys come from an earlier session (RFC 8548 section 3.5)
	OwnAware  bool           // the application-aware bit that the gateway sent for the host (RFC 8547 section 4.2)
	PeerAware bool           // the application-aware bit of the far end
	Role      flowtable.Role // of the gateway
	TEP       uint8          // negotiated TEP byte
	AEAD      uint16
	SessionID [SessionIDSize]byte
	Auth      Auth
	Rule      uint32 // number of the policy rule that decided
	ENOA      ENO    // host A's SYN-form option, as it was negotiated by
	ENOB      ENO    // host B's
	Start     int64  // unix time in ns when it became encrypted
	Worker    uint16
	Index     flowtable.Index // record of the flow in that worker's table
	Gen       uint32
}

// slot is 192 bytes: a sequence number, odd while the entry is written, and the entry in words, so that readers and writer
// of one process race in no byte.
type slot struct {
	seq   atomic.Uint32
	sum   atomic.Uint32 // of the words, which tells a torn entry of a writer that was killed
	words [slotWords]atomic.Uint64
}

const (
	slotWords = 23
	entrySize = slotWords * 8
)

// Bits of the first word: what is in the slot.
const (
	slotEmpty   = 0 // never used: a search ends here
	slotUsed    = 1
	slotDeleted = 2 // was broken and mended: a search goes on
)

// Bits of the second byte.
const (
	flagActive = 1 << iota
	flagResumed
	flagOwnAware
	flagPeerAware
)

func bit(set bool, flag byte) byte {
	if set {
		return flag
	}
	return 0
}

const readTries = 64

// image is an entry as it lies in a slot.
type image [slotWords]uint64

func encode(e *Entry) image {
	var b [entrySize]byte
	le := binary.LittleEndian
	b[0] = slotUsed
	b[1] = bit(e.Active, flagActive) | bit(e.Resumed, flagResumed) | bit(e.OwnAware, flagOwnAware) | bit(e.PeerAware, flagPeerAware)
	b[2], b[3] = byte(e.Role), e.TEP
	le.PutUint16(b[4:], e.AEAD)
	le.PutUint16(b[6:], e.Worker)
	copy(b[8:], e.Tuple.Inside[:])
	copy(b[24:], e.Tuple.Outside[:])
	le.PutUint16(b[40:], e.Tuple.InsidePort)
	le.PutUint16(b[42:], e.Tuple.OutsidePort)
	le.PutUint32(b[44:], e.Tuple.VLAN)
	le.PutUint64(b[48:], uint64(e.Start))
	le.PutUint32(b[56:], uint32(e.Index))
	le.PutUint32(b[60:], e.Gen)
	copy(b[64:], e.SessionID[:])
	b[97] = byte(e.Auth)
	le.PutUint32(b[100:], e.Rule)
	copy(b[104:], e.ENOA[:])
	copy(b[144:], e.ENOB[:])
	var w image
	for i := range w {
		w[i] = le.Uint64(b[8*i:])
	}
	return w
}

func (w *image) decode(e *Entry) {
	var b [entrySize]byte
	le := binary.LittleEndian
	for i := range w {
		le.PutUint64(b[8*i:], w[i])
	}
	e.Active, e.Resumed = b[1]&flagActive != 0, b[1]&flagResumed != 0
	e.OwnAware, e.PeerAware = b[1]&flagOwnAware != 0, b[1]&flagPeerAware != 0
	e.Role, e.TEP = flowtable.Role(b[2]), b[3]
	e.AEAD, e.Worker = le.Uint16(b[4:]), le.Uint16(b[6:])
	copy(e.Tuple.Inside[:], b[8:])
	copy(e.Tuple.Outside[:], b[24:])
	e.Tuple.InsidePort, e.Tuple.OutsidePort = le.Uint16(b[40:]), le.Uint16(b[42:])
	e.Tuple.VLAN = le.Uint32(b[44:])
	e.Start = int64(le.Uint64(b[48:]))
	e.Index, e.Gen = flowtable.Index(le.Uint32(b[56:])), le.Uint32(b[60:])
	copy(e.SessionID[:], b[64:])
	e.Auth, e.Rule = Auth(b[97]), le.Uint32(b[100:])
	copy(e.ENOA[:], b[104:])
	copy(e.ENOB[:], b[144:])
}

func (w *image) kind() byte { return byte(w[0]) }

// sum mixes all words; it guards against crashes, not against attackers, who cannot write here.
func (w *image) sum() uint32 {
	h := uint64(0x9e3779b97f4a7c15)
	for _, x := range w {
		h = (h ^ x) * 0xff51afd7ed558ccd
		h ^= h >> 32
	}
	return uint32(h)
}

// tupleHash spreads tuples over the slots under the table's key. VLAN IDs are left out: an application does not know them, and finds the
// connections of all VLANs in one place. Who does not know the key cannot choose tuples that crowd around the place
// of another connection's and keep its session ID out of the table.
func tupleHash(k *flowtable.Key, key [2]uint64) uint64 {
	le := binary.LittleEndian
	h := key[0]
	for i, x := range [5]uint64{
		le.Uint64(k.Inside[:]), le.Uint64(k.Inside[8:]), le.Uint64(k.Outside[:]), le.Uint64(k.Outside[8:]),
		uint64(k.InsidePort) | uint64(k.OutsidePort)<<16,
	} {
		hi, lo := bits.Mul64(h^x, bits.RotateLeft64(key[1], 8*i)|1)
		h = hi ^ lo ^ key[0]
	}
	return h * 0xc4ceb9fe1a85ec53
}

// read copies a slot that is not being written. It gives up, and reports false, after a bounded number of tries.
func (s *slot) read(w *image) bool {
	for range readTries {
		seq := s.seq.Load()
		if seq&1 == 1 {
			continue
		}
		for i := range w {
			w[i] = s.words[i].Load()
		}
		sum := s.sum.Load()
		if s.seq.Load() == seq {
			return seq == 0 || sum == w.sum()
		}
	}
	return false
}

// broken reports whether a writer was killed in the middle of the slot. Only the next writer may ask.
func (s *slot) broken() bool {
	var w image
	return !s.read(&w) || s.seq.Load() == 0 && w != image{} || w.kind() > slotDeleted
}

// write replaces what is in the slot.
func (s *slot) write(w *image) {
	s.seq.Store(s.seq.Load() | 1)
	for i := range w {
		s.words[i].Store(w[i])
	}
	s.sum.Store(w.sum())
	next := s.seq.Load() + 1
	if next == 0 {
		next = 2
	}
	s.seq.Store(next)
}
