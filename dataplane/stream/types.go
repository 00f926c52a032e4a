package stream

import (
	"unsafe"

	"linecrypt/cryptobatch"
	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/packet"
	"linecrypt/flowtable"
)

// PPos is a position in the plaintext stream of one direction: 0 is the byte behind the SYN; a FIN takes one position.
type PPos uint64

// WPos is a position in the wire stream of one direction: 0 is the first byte of the Init message or of the first frame;
// a FIN takes one position.
type WPos uint64

// TCP flags as in the header (RFC 9293 section 3.1).
const (
	FIN = 1 << 0
	SYN = 1 << 1
	RST = 1 << 2
	PSH = 1 << 3
	ACK = 1 << 4
	URG = 1 << 5
	ECE = 1 << 6
	CWR = 1 << 7
)

// Segment is a parsed TCP segment of a flow, its positions not yet translated. The buffer M passes to the translator with
// the call: it ends up in an Emit, in a queue, or freed with a drop counted.
type Segment struct {
	M        *mbuf.Mbuf
	Off, Len int // payload within M.Buf(), without link-layer padding
	Seq, Ack uint32
	Win, Urg uint16 // as in the header
	Flags    uint8
	HasTS    bool
	NSACK    uint8
	TSVal    uint32
	TSEcr    uint32
	SACK     [4][2]uint32
	CE       bool // of one from the wire: a router on its way says that there is congestion (RFC 3168 section 5)

	// Accepted is set by the translator where the segment is one that its receiver would believe: what the caller learns from
	// segments, it learns from these.
	Accepted bool
}

// Direction says where an Emit goes.
type Direction uint8

// The two directions of an Emit.
const (
	ToWire Direction = iota
	ToHost
)

// EmitKind says how the packet of an Emit gets its headers.
type EmitKind uint8

// The kinds of an Emit.
const (
	// EmitNone: the emit was cancelled; M is nil and there is nothing to send.
	EmitNone EmitKind = iota
	// EmitForward: M is a packet that was received. Its link, network and TCP headers lie unchanged in front of Off, from
	// M.DataOff() on (the translator has moved them when the payload begins elsewhere than in the received packet); the
	// caller writes the TCP fields, options and lengths of the Emit into them.
	EmitForward
	// EmitBuild: M is a fresh buffer with the payload at Off, at least BuildOffset bytes from its start; the caller puts
	// headers from the record's template in front of it.
	EmitBuild
	// EmitCommon is EmitForward for a packet whose only TCP option, if any, is the timestamps that the connection agreed on, in their
	// usual place, and whose headers lie where they were received: the caller moves them in front of Off. Those of a new frame, which
	// grow into what the frame begins with, it moves at once, and stores FrameHead behind them.
	EmitCommon
	// EmitReady: the caller has made the headers of an EmitCommon already. The translator makes none.
	EmitReady
)

// BuildOffset is the offset in the buffer at which the payload of an EmitBuild lies: room for Ethernet, two VLAN tags,
// IPv6 and 60 bytes of TCP, on a cache line.
const BuildOffset = 192

// Emit is a segment to be sent. The caller owns M's reference. A kept frame has a second reference in the flow's queue: the
// payload bytes of an Emit must not be changed, the bytes in front of Off may.
type Emit struct {
	// The first cache line is all there is of an EmitReady.
	R *flowtable.Record
	packet.Moved
	Flow      flowtable.Index
	HasTS     bool
	NewTS     bool // EmitForward: the packet's timestamps are not those of the emit and must be rewritten
	Dir       Direction
	Kind      EmitKind
	FrameHead [frameHead]byte // EmitCommon to the wire, with payload: its first bytes

	Urg   uint16
	NSACK uint8
	CE    bool // EmitBuild: what its payload came in on the wire was marked so
	SACK  [4][2]uint32

	_ [24]byte // to whole lines
}

// An Emit takes two cache lines.
var _ [128]byte = [unsafe.Sizeof(Emit{})]byte{}

// EventKind says what an Event tells.
type EventKind uint8

// The events.
const (
	EventNone EventKind = iota
	// EventInit: the peer's whole Init message has arrived; Data holds it until InstallKeys or Release.
	EventInit
	// EventAbort: the translator aborted the connection; Reason says why. The RSTs are among the emits.
	EventAbort
	// EventReset: a valid RST passed; the connection is gone.
	EventReset
	// EventClosed: both directions are finished and acknowledged.
	EventClosed
	// EventRekeyed: a new generation is in use in one direction; Data is nil.
	EventRekeyed
	// EventRelease: the flow has lingered long enough; the caller calls Release and frees the record.
	EventRelease
)

// Event tells the caller something it may have to act on.
type Event struct {
	R      *flowtable.Record
	Flow   flowtable.Index
	Kind   EventKind
	Reason shm.Counter
	Data   []byte
}

// Keys is what the handshake yields for the translator.
type Keys struct {
	AEAD   tcpcrypt.AEAD
	Master tcpcrypt.MasterKey // mk[0]
	Egress tcpcrypt.Direction // the direction this gateway seals in; it opens the other one
	Hold   bool               // nothing that comes is opened before Confirm
}

// Config holds what a Core is made of. Sizes are per Core.
type Config struct {
	Cache    *mbuf.Cache
	Engine   cryptobatch.Engine
	Chunks   flowtable.Chunks
	Counters *shm.Block // nil: the Core has an array of its own

	Keys         int // expanded keys: two a flow and some for rekeying
	OutOfOrder   int // out-of-order segments kept over all flows, both directions
	Reassemblies int // connections with keys that can have frames that span segments, or segments behind a hole, at a time
	Setups       int // connections without keys that can have a part of an Init message, 0: as many
	Gaps         int // connections that can have segments of the host's behind a gap at a time
	Deliveries   int // frames that the gateway delivers itself, over all flows
	LargeBuffers int // 64 KiB buffers for frames that do not fit in a packet buffer

	PoolLow        int    // nothing more is held, and who holds most gives it up, while fewer buffers than this are free
	HeldBuffers    int    // buffers held for what is in flight to far ends, or waits to be, over all flows
	SharedFrames   int    // frames in flight to far ends, over all flows, beyond which each has the minimum only; a place in the ledger each
	FlowFrames     uint32 // frames in flight per flow
	FlowBytes      uint32 // bytes of the wire in flight per flow
	FlowOutOfOrder uint32 // out-of-order segments kept per flow and direction
	GiveUp         int64  // ns a far end may acknowledge nothing of what is in flight before the connection is aborted
	MaxPayload     int    // largest TCP payload of a wire segment that the gateway builds, 0: what Peer.MSS allows

	RekeyFrames  uint64 // frames after which a generation is replaced; 0 not before half of what the AEAD allows
	RekeyBytes   uint64 // wire bytes after which a generation is replaced; 0 likewise
	RekeyTime    int64  // ns after which a generation that was used is replaced, 0 never
	KeyFrames    uint64 // frames that a key seals at most, where that is less than its AEAD allows; 0 is that
	KeyBytes     uint64 // wire bytes likewise
	KeepIdle     int64  // ns without an authentic frame after which the far end is asked whether it lives, 0 never
	KeepInterval int64  // ns between two keep-alives that are not answered
	KeepProbes   uint8  // of them after which the far end is dead
	AuthFailures uint8  // consecutive frames that fail authentication before the connection is aborted
	HugePages    bool   // keys and what is held of frames in flight lie in reserved huge pages, if enough are free
	Linger       int64  // ns a finished or reset flow answers stragglers
}

// Output collects what a burst's segments lead to. All its slices have a fixed capacity. The caller works it in this order:
//
//	for out.Pending() {
//		batcher.Seal(out.Seals)
//		core.Sealed(out, now)
//		batcher.Open(out.Opens)
//		core.Opened(out, now)
//	}
//	send out.Emits in order; act on out.Events; out.Reset()
type Output struct {
	Emits  []Emit
	Events []Event
	Seals  []cryptobatch.Op
	Opens  []cryptobatch.Op

	sealRefs []sealRef
	reseals  []reseal
	openRefs []openRef

	_ [24]byte // to whole cache lines: the lengths above change with every segment, and another worker's Output may follow
}

// segmentEmits and segmentOps are what one call appends at most, apart from work that goes on only while there is room.
const (
	segmentEmits = 12
	segmentOps   = 4
	openEmits    = 3 // that an opened frame may need
)

// NewOutput makes an Output for bursts of the given number of segments.
func NewOutput(burst int) *Output {
	emits, ops := burst*segmentEmits+64, burst*segmentOps+64
	return &Output{
		Emits:    make([]Emit, 0, emits),
		Events:   make([]Event, 0, 4*burst+64),
		Seals:    make([]cryptobatch.Op, 0, ops),
		Opens:    make([]cryptobatch.Op, 0, ops),
		sealRefs: make([]sealRef, 0, ops),
		reseals:  make([]reseal, 0, ops),
		openRefs: make([]openRef, 0, ops),
	}
}

// Room reports whether another segment can be taken; if not, the caller works the Output first.
func (o *Output) Room() bool {
	return cap(o.Emits)-len(o.Emits)-openEmits*len(o.Opens) >= segmentEmits &&
		cap(o.Opens)-len(o.Opens) >= segmentOps && cap(o.Seals)-len(o.Seals) >= segmentOps &&
		cap(o.Events)-len(o.Events)-len(o.Opens) >= 8
}

// Spare returns how many segments can be taken, one after the other, before Room is to be asked again.
func (o *Output) Spare() int {
	emits, events := cap(o.Emits)-len(o.Emits)-openEmits*len(o.Opens), cap(o.Events)-len(o.Events)-len(o.Opens)
	ops := min(cap(o.Opens)-len(o.Opens), cap(o.Seals)-len(o.Seals))
	return max(min(emits/(segmentEmits+segmentOps*openEmits), ops/segmentOps, events/(8+segmentOps)), 0)
}

// Pending reports whether there are operations to be worked.
func (o *Output) Pending() bool { return len(o.Seals)+len(o.Opens) > 0 }

// Reset empties the Output. What the emits hold has passed to the caller. Emits and operations are not erased, each is made anew in its
// place: they refer to nothing on the Go heap, and erasing them takes more than making them.
func (o *Output) Reset() {
	clear(o.Events)
	o.Emits, o.Events = o.Emits[:0], o.Events[:0]
}
