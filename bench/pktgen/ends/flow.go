package ends

import (
	"unsafe"

	"linecrypt/ctrlplane/tcpcrypt"
)

// direction is one of the two streams of a connection.
type direction uint8

const (
	up     direction = iota // of the host's, which the gateway seals
	down                    // of the far end's, which it opens
	either = 2
)

func (d direction) reverse() direction { return d ^ 1 }

// state is how far a connection is.
type state uint8

const (
	closed state = iota
	synSent
	synAckSent // by the host; with an opening host by the far end
	initSent   // an Init message is on its way
	established
	finishing // no new data; what is in flight is to be acknowledged
	hostFin   // the host's FIN is out
	farFin    // and the far end's
)

// flow is a connection. Streams count from 0 behind the SYN, in segments (see mix) or, where it says so, in bytes as its sender counts
// them: plaintext of the host's, what is on the wire of the far end's.
type flow struct {
	halves   [either]half
	began    int64          // ns when the handshake's last step was taken
	isn      [2]uint32      // of host and far end
	saw      [2]uint32      // timestamps to echo, by host and far end
	base     [either]uint16 // wire bytes before the first frame: the Init message of the sender
	life     uint32
	state    state
	plain    bool
	byHost   bool // the host opened it
	hostOpen bool // host and far end are established each
	farOpen  bool
}

// half is one stream of a connection, with what its sender and its receiver know.
type half struct {
	sent    uint64 // segments
	una     uint64 // sender's bytes that are acknowledged
	edge    uint64 // sender's bytes that the receiver takes
	recover uint64 // segments that were sent when the last loss was noticed
	moved   int64  // ns of the last progress
	mark    uint64 // segment with which the last generation of keys begins
	before  uint64 // and the one before it
	gen     uint32 // number of the last generation
	shift   uint32 // wire bytes of empty frames before the segments from mark on
	got     uint64 // segments received without a gap
	told    uint64 // of these, those that are acknowledged
	beyond  uint64 // bit i: segment got+1+i was received
	probe   uint64 // segment whose latency is measured, with its time of sending, 0 for none
	probeAt int64
	dups    uint8
	due     uint8 // 1 where an acknowledgement is due for another reason than how many segments there are
	ackDue  bool  // it is in the queue of those that acknowledge
	sendDue bool  // it is in the queue of those that repeat
	empty   bool  // an empty frame begins the generation, before the segment mark
	finSent bool
	finGot  bool
}

// phase and the like of connection n.
func (e *Ends) plainPos(n uint32, k uint64) uint64 { return e.plainMix.pos(k, e.plainMix.phase(n)) }

func (e *Ends) size(n uint32, k uint64) int { return e.plainMix.size(k, e.plainMix.phase(n)) }

// wirePos returns where segment k of a direction begins on the wire.
func (e *Ends) wirePos(f *flow, n uint32, d direction, k uint64) uint64 {
	if f.plain {
		return e.plainPos(n, k)
	}
	return uint64(f.base[d]) + f.halves[d].shiftAt(k) + e.frameMix.pos(k, e.frameMix.phase(n))
}

// onWire reports whether an end counts bytes as they are on the wire: the far end does.
func onWire(d direction, sender bool) bool { return (d == down) == sender }

// place returns where segment k begins in the sender's bytes, or the receiver's.
func (e *Ends) place(f *flow, n uint32, d direction, sender bool, k uint64) uint64 {
	if onWire(d, sender) {
		return e.wirePos(f, n, d, k)
	}
	return e.plainPos(n, k)
}

// segmentAt returns the segment that a byte of the sender's, or the receiver's, is of, and whether it begins there. An empty frame is at
// the segment behind it, which does not begin there.
func (e *Ends) segmentAt(f *flow, n uint32, d direction, sender bool, pos uint64) (k uint64, begins bool) {
	if onWire(d, sender) && !f.plain {
		h := &f.halves[d]
		shift := uint64(h.shift)
		if h.empty {
			switch mark := e.wirePos(f, n, d, h.mark); {
			case pos >= mark:
			case pos >= mark-tcpcrypt.Overhead:
				return h.mark, false
			default:
				shift -= tcpcrypt.Overhead
			}
		}
		if pos < uint64(f.base[d])+shift {
			return 0, false
		}
		return e.frameMix.index(pos-uint64(f.base[d])-shift, e.frameMix.phase(n))
	}
	return e.plainMix.index(pos, e.plainMix.phase(n))
}

// unwrap returns the position that sequence number seq stands for, next to near.
func unwrap(seq, isn uint32, near uint64) uint64 {
	return uint64(int64(near) + int64(int32(seq-(isn+1)-uint32(near))))
}

const flowSize = int(unsafe.Sizeof(flow{}))
