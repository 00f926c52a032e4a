package flowtable

import "unsafe"

// Index names a record of one table. Index 0 is never handed out and means none.
type Index uint32

// State is what a connection is to the gateway.
type State uint8

// The states of a connection. The order is part of the shared-memory contract.
const (
	Free         State = iota // the record is not in use
	Plain                     // passes through untouched; the record remembers that this was decided
	PlainSyn                  // in the clear, and its opener is not proven real yet
	ActiveSyn                 // SYN with ENO is on its way
	ActiveAnswer              // the far end's SYN-ACK is kept until the control plane has made Init1
	ActiveInit                // Init1 is sent, Init2 is being collected
	ActiveKeys                // Init2 is at the control plane
	PassiveSyn                // the SYN went to the host without ENO; its SYN-ACK is awaited
	PassiveAck                // the SYN-ACK went out with ENO; the ACK that confirms ENO is awaited
	PassiveInit               // ENO is confirmed, Init1 is being collected
	PassiveKeys               // Init1 is at the control plane
	Encrypted                 // keys are in place, frames flow
	Closing                   // both directions are finished or reset; the record answers stragglers for a while
	NumStates
)

var stateNames = [NumStates]string{
	"free", "plain", "plain_syn", "active_syn", "active_answer", "active_init", "active_keys",
	"passive_syn", "passive_ack", "passive_init", "passive_keys", "encrypted", "closing",
}

// String returns the state's name as `linecrypt status` and the metrics show it.
func (s State) String() string {
	if s < NumStates {
		return stateNames[s]
	}
	return "invalid"
}

// Key identifies a connection: the host's end is inside, the far end outside, whoever opened it. IPv4 addresses are in
// their IPv6-mapped form. VLAN folds the VLAN IDs, 0 when untagged.
type Key struct {
	Inside      [16]byte
	Outside     [16]byte
	InsidePort  uint16
	OutsidePort uint16
	VLAN        uint32
}

// Equal reports whether two keys are the same: addresses by words, ports and tag as they are stored, because a word that was stored in
// pieces just now must be in the cache before it is read.
func (k *Key) Equal(o *Key) bool {
	a, b := (*[keySize / 8]uint64)(unsafe.Pointer(k)), (*[keySize / 8]uint64)(unsafe.Pointer(o))
	return (a[0]^b[0])|(a[1]^b[1])|(a[2]^b[2])|(a[3]^b[3])|
		uint64(k.InsidePort^o.InsidePort)|uint64(k.OutsidePort^o.OutsidePort)|uint64(k.VLAN^o.VLAN) == 0
}

const keySize = int(unsafe.Sizeof(Key{}))

// A key is five words without padding.
var _ = [1]struct{}{}[keySize-40]

// Record is the state of one connection. It holds no pointer. Its parts begin on cache lines: what a lookup needs, what every
// segment touches of either half, what is rare, and what only the process that writes the table understands. A segment in order of a
// connection in its common state touches the first five lines, and the first of Local.
//
// Order of stores, so that a process killed between any two of them leaves what Repair can mend: a new record gets its identity,
// then its state; a frame's ledger entry is whole (end, length, overhead, flags) before WNext and PNext pass over it, and EntryPending
// is taken off, with the tag in place, before the frame can leave; WUna and PUna (WAckH and PAckH) pass a frame before its entry
// goes; a record's state becomes Free before the rest is erased.
type Record struct {
	Identity // line 0

	Egress  Egress   // lines 1 and 2, with what its host's segments are read by
	Host    Endpoint // the inside host
	Ingress Ingress  // lines 3 and 4
	Peer    Endpoint // the outside host

	Rare  Rare
	Setup Setup
	Rule  RuleRef // what the verdict was made by
	_     [(lineSize - (rareSize+setupSize+ruleSize)%lineSize) % lineSize]byte
	Local Local
}

// Identity is what a lookup, a stale reference and the choice of what to do with a segment need.
type Identity struct {
	Key  Key    // 40 bytes
	Hash uint32 // of Key, under the table's seed
	Gen  uint32 // grows each time the record is handed out, so that stale references are recognised

	State    State
	Role     Role   // of the gateway
	TEP      uint8  // with the v bit, the first byte of the session ID
	Verdict  Policy // what policy said of the connection when it began
	AEAD     uint16
	Flags    uint16 // bits FlagXxx
	LastSeen int64  // ns of the monotonic clock of the last packet; once there are keys, of the last acceptable one
}

// Rare is what changes seldom, or is looked at when a connection begins, ends, rekeys or retransmits. Its first line has the timers.
type Rare struct {
	SealGen  uint32 // number of the current generation of what is sealed, from 0 on,
	OpenGen  uint32 // and of what is opened
	Linger   int64  // ns of the monotonic clock when a finished flow is released, 0 while it is not finished
	OwnTimer int64  // ns of the monotonic clock when the gateway's own frame at the front of Egress.Queue is sent again, 0 none
	Tries    uint8  // times the own frame at the front of Egress.Queue was sent again
	Unaware  uint8  // of a connection that is over: bits UnawareXxx, the ends that may not know it
	Abort    uint16 // the counter (package shm) that the connection was aborted or left in the clear under, 0 while it was not
	Request  uint32 // number of the latest question to the control plane
	SealInit uint32 // bytes of the Init message in front of the first frame that was sealed,
	OpenInit uint32 // and opened
	Look     int64  // ns of the monotonic clock before which a far end that acknowledges nothing is not looked at again

	WFin uint64 // wire position of the far end's FIN, if IngressWireFIN
	RTO  int64  // ns, of the frames the gateway retransmits itself

	Created int64 // ns of the monotonic clock when the record was handed out

	Challenged [NumSides]int64 // ns of the monotonic clock when a side was last answered what was not believed, 0 never
	FailedAt   int64           // ns of the monotonic clock when the first of Ingress.Failures came
	Again      [2]Run          // frames of the far end's that were delivered again last

	CutUntil int64 // ns of the monotonic clock when a sign of a smaller path that this connection alone has seen is forgotten, 0 none
	Told     int64 // ns of the monotonic clock when the host was last told of the path's MTU, 0 never

	WSeal  uint64  // where the current generation of what is sealed begins
	WRekey uint64  // where the current generation of what is opened begins
	Seal   Secrets // of Egress
	Open   Secrets // of Ingress

	RekeyAt  Moment      // the current generation of what is sealed is replaced, if it was used
	KeepAt   Moment      // the far end is looked at whether it lives; 0: never
	KeepSeen uint32      // low bits of Ingress.WOpen when it was looked at last
	Rekey    RekeyLimits // of this connection, by its rule

	ToWire Template // headers of segments the gateway itself sends outside
	ToHost Template // headers of segments the gateway itself sends inside
}

const (
	rareSize  = int(unsafe.Sizeof(Rare{}))
	setupSize = int(unsafe.Sizeof(Setup{}))
	ruleSize  = int(unsafe.Sizeof(RuleRef(0)))
)

// Run is a part of both streams of a direction, with the low 32 bits of its positions.
type Run struct {
	W, WLen uint32
	P, PLen uint32
}

// ClearStreams makes both halves new: positions, queues, timers, counts and secrets. What they refer to (chunks, buffers, keys) has
// been released before.
func (r *Record) ClearStreams() {
	r.Egress, r.Ingress = Egress{}, Ingress{}
	old := &r.Rare
	r.Rare = Rare{Created: old.Created, Unaware: old.Unaware, Abort: old.Abort, Request: old.Request, Rekey: old.Rekey, ToWire: old.ToWire, ToHost: old.ToHost}
}

// Local is what only the process that writes the table understands: indices of its private slabs, links of its lists. Another
// process never trusts it, and Repair clears it. Its first line is what every segment touches.
type Local struct {
	SealKey  uint32 // expanded keys, 0 none: of Egress,
	OpenKey  uint32 // of Ingress' current generation
	Held     uint32 // packet buffers held for what is in flight, or waits to be
	Holder   uint16 // place among those who hold as many as the minimum, 0 none
	Flyer    uint16 // place among those who have as many frames in flight as the minimum, 0 none
	Progress int64  // ns of the monotonic clock when the far end last acknowledged something, or when there began to be something
	HostPath uint16 // what the paths to host and far end take of a segment, in the terms of an MSS: what the ports carry and what
	PeerPath uint16 // ICMP errors told; 0 while nothing bounds it
	PathGen  uint32 // state of the worker's table of paths that these are of, 0 while CutUntil is to be looked at
	Common   bool   // the connection is in its common state, as package stream of the data plane defines it
	Stamp    uint32 // of the segment queued last behind a hole: how SACK blocks are ordered
	Timer    Timer  // link in the table's timer wheel

	HsBlock    uint32   // block of connection set-up, 0 none
	OutOfOrder uint32   // first segment of the far end's behind a hole, 0 none
	Reassembly uint32   // object with the frame in progress and the frames to deliver, 0 none
	Gap        uint16   // list of segments behind a gap, 0 none
	OldKeys    uint16   // list of the generations of Egress before the current one of which frames are in flight, 0 none
	PrevKey    uint32   // expanded keys, 0 none: of the generation before Ingress' current one while frames of it may come again,
	NextKey    uint32   // of the one after it while the frame that begins it is being opened
	Queued     uint16   // how many segments OutOfOrder begins
	Filled     uint16   // where on the wire, in units of 256 bytes, the last of what a filled hole let through begins, until the host acknowledges that far; 0 none
	PrevNR     [12]byte // nonce randomizers of PrevKey and NextKey
	NextNR     [12]byte
	Age        AgeLink // link in one of the table's lists
}

// Bits of Identity.Flags.
const (
	FlagSACK       = 1 << 0  // both ends agreed on selective acknowledgements
	FlagTimestamps = 1 << 1  // both ends agreed on timestamps
	FlagWScale     = 1 << 2  // both ends agreed on window scaling
	FlagActive     = 1 << 3  // the host opened the connection
	FlagOwnClosing = 1 << 4  // the gateway aborted the connection itself
	FlagReported   = 1 << 5  // the control plane knows the connection and is to be told of its end
	FlagStarted    = 1 << 6  // the translator has state for the connection
	FlagWatch      = 1 << 8  // in the clear, and the far end's first data may be an Init message
	FlagHeld       = 1 << 9  // keys are in place, and the host waits for the control plane's word that the far end is authenticated
	FlagMet        = 1 << 10 // the gateway has seen no SYN of the connection, which is older
	FlagPeerENO    = 1 << 11 // while the connection opens: a SYN with ENO of the far end's has come, so that the path takes the option
	FlagKept       = 1 << 12 // in the clear, and without its record the connection would not pass
	FlagHostGone   = 1 << 13 // a RST of the host's came at what it was told last, while more was received of it: it has no such connection
	FlagPeerGone   = 1 << 14 // the same of the far end's
	FlagSendENO    = 1 << 7  // segments of the gateway's own carry ENO until the far end's first non-SYN segment
)

// HasKeys reports whether keys are in place and the connection is not over, though its host may not know of it yet.
func (r *Record) HasKeys() bool {
	return r.State == Encrypted || r.Flags&FlagHeld != 0 && r.State != Closing
}

// Bits of Rare.Unaware.
const (
	UnawareHost = 1 << 0
	UnawarePeer = 1 << 1
	Unaware     = UnawareHost | UnawarePeer
)

// Endpoint is what a SYN or SYN-ACK said about the TCP that sent it, and what it said last.
type Endpoint struct {
	ISN    uint32
	MSS    uint16 // as announced, 536 (IPv4) or 1220 (IPv6) when it announced none
	WScale uint8  // shift of the windows it announces, 0 when scaling is off
	Flags  uint8  // bits of EndpointXxx
	TSVal  uint32 // its latest timestamp
	Win    uint32 // largest window in bytes that it announced
}

// Bits of Endpoint.Flags.
const (
	EndpointSYN    = 1 << 0 // its SYN or SYN-ACK was seen
	EndpointSACK   = 1 << 1 // it offered selective acknowledgements
	EndpointTS     = 1 << 2 // it offered timestamps
	EndpointWScale = 1 << 3 // it offered window scaling
	EndpointHeard  = 1 << 4 // in the clear, and Next and Acked are known
)

// Heard reports whether it is known how far the end of a connection in the clear is.
func (e *Endpoint) Heard() bool { return e.Flags&EndpointHeard != 0 }

// Next is the number behind what the end of a connection in the clear has sent. There TSVal and Win have no use of their own, and keep how far
// it is.
func (e *Endpoint) Next() uint32 { return e.TSVal }

// Acked is the number that it acknowledged last.
func (e *Endpoint) Acked() uint32 { return e.Win }

// SetHeard notes both.
func (e *Endpoint) SetHeard(next, acked uint32) {
	e.TSVal, e.Win = next, acked
	e.Flags |= EndpointHeard
}

// Template holds the headers of a flow's segments in one direction in the packed form of package packet of the data plane.
type Template [72]byte

// Timer links a record into the timer wheel. Deadline is in ns of the monotonic clock, 0 when no timer runs.
type Timer struct {
	Deadline   int64
	Next, Prev Index
	Slot       uint32 // list it is in, plus 1; 0 none
	At         uint32 // low bits of the tick at which that list is looked at: no later than the deadline
}

// Secrets are the session secrets of one direction: the master key of the current generation. From it come the generation's AEAD key,
// which is expanded in the data plane's private memory, and can be expanded again, the nonce randomizer, which lies in Egress and
// Ingress, and the next generation (RFC 8548 section 3.8).
type Secrets struct {
	Master [32]byte
}

// RecordSize is the size of a record in bytes.
const RecordSize = int(unsafe.Sizeof(Record{}))
