package resumption

import (
	"encoding/binary"
	"sync/atomic"
	"unsafe"

	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/flowtable"
)

// Half is half of a resumption identifier.
type Half [tcpcrypt.ResumeHalfLen]byte

// Flow names a connection of a data plane: the same fields as those of shm.FlowRef. Index 0 is none.
type Flow struct {
	Worker uint16
	Index  flowtable.Index
	Gen    uint32
}

// Handle names one secret in a table: the slot's number, from 1 on, and the low bits of its generation. 0 is none. Who uses one long
// after it was made says for which connection, and a slot that others have had meanwhile is not that one's.
type Handle uint32

const handleGen = 12 // bits of the generation

func makeHandle(n uint32, state uint64) Handle {
	return Handle(n<<handleGen | uint32(state>>statusBits)&(1<<handleGen-1))
}

func (h Handle) slot() uint32 { return uint32(h >> handleGen) }

// of reports whether a state is of the handle's generation.
func (h Handle) of(state uint64) bool {
	return (uint32(state>>statusBits)^uint32(h))&(1<<handleGen-1) == 0
}

// status is what a slot is; it is the low byte of the state word.
type status uint8

const (
	free status = iota
	filling
	ready
	claimed
	answered
	erasing
	spent
)

const statusBits = 8

func statusOf(state uint64) status { return status(state) }

func (s status) in(state uint64) uint64 { return state>>statusBits<<statusBits | uint64(s) }

// slot is the place of one secret: three cache lines. What others than its owner look at is read and written by atomic operations.
type slot struct {
	state   atomic.Uint64
	theirs  [2]atomic.Uint64 // the half that the far end sends
	pair    [pairWords]atomic.Uint64
	expires atomic.Int64 // ns of the monotonic clock

	ours  [2]atomic.Uint64 // the half that we send
	kind  atomic.Uint64    // TEP, AEAD, direction that we seal
	flags atomic.Uint64    // bits flagXxx
	owner [2]atomic.Uint64 // the connection that claimed it
	maker [2]atomic.Uint64 // the connection that it was kept at the set-up of
	chain uint64           // the same for all secrets of one original session
	index uint64           // i of ss[i]

	secret tcpcrypt.Secret
	_      [slotSize - 184]byte
}

const flagFlushed = 1 // nothing is kept on from this secret

// The size of a slot is part of the contract in shared memory.
var _ = [1]struct{}{}[int(unsafe.Sizeof(slot{}))-slotSize]

const slotSize = 192

// kind packs what a claimer must like about a secret before it claims it.
func packKind(tep tcpcrypt.TEP, aead tcpcrypt.AEAD, sends tcpcrypt.Direction) uint64 {
	return uint64(tep) | uint64(aead)<<8 | uint64(sends)<<24
}

func unpackKind(k uint64) (tep tcpcrypt.TEP, aead tcpcrypt.AEAD, sends tcpcrypt.Direction) {
	return tcpcrypt.TEP(k), tcpcrypt.AEAD(k >> 8), tcpcrypt.Direction(k>>24) & 1
}

// A half takes two words, the second of which is never 0.
func halfWords(h []byte) (w [2]uint64) {
	return [2]uint64{binary.LittleEndian.Uint64(h), uint64(h[8]) | 1<<8}
}

func loadHalf(w *[2]atomic.Uint64) (h Half) {
	binary.LittleEndian.PutUint64(h[:], w[0].Load())
	h[8] = byte(w[1].Load())
	return h
}

func storeHalf(w *[2]atomic.Uint64, h []byte) {
	words := halfWords(h)
	w[0].Store(words[0])
	w[1].Store(words[1])
}

const pairWords = 5

// pair is the two hosts of a connection, and their VLAN.
type pair [pairWords]uint64

func pairOf(k *flowtable.Key) pair {
	ne := binary.NativeEndian
	return pair{ne.Uint64(k.Inside[:]), ne.Uint64(k.Inside[8:]), ne.Uint64(k.Outside[:]), ne.Uint64(k.Outside[8:]), uint64(k.VLAN)}
}

func (s *slot) loadPair() (p pair) {
	for i := range p {
		p[i] = s.pair[i].Load()
	}
	return p
}

// key returns the pair as a key of which only the addresses and the VLAN are there.
func (p *pair) key() (k flowtable.Key) {
	ne := binary.NativeEndian
	ne.PutUint64(k.Inside[:], p[0])
	ne.PutUint64(k.Inside[8:], p[1])
	ne.PutUint64(k.Outside[:], p[2])
	ne.PutUint64(k.Outside[8:], p[3])
	k.VLAN = uint32(p[4])
	return k
}

func loadFlow(w *[2]atomic.Uint64) Flow {
	a, b := w[0].Load(), w[1].Load()
	return Flow{Worker: uint16(b), Index: flowtable.Index(a), Gen: uint32(a >> 32)}
}

func storeFlow(w *[2]atomic.Uint64, f Flow) {
	w[1].Store(uint64(f.Worker))
	w[0].Store(uint64(f.Index) | uint64(f.Gen)<<32)
}
