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
	ActiveOffer               // the host's SYN is held until the control plane says what to offer
	ActiveSyn                 // SYN with ENO is on its way
	ActiveAnswer              // the far end's SYN-ACK is held until the control plane has made Init1
	ActiveInit                // Init1 is sent, Init2 is being collected
	ActiveKeys                // Init2 is at the control plane
	PassiveOffer              // the far end's SYN is held until the control plane has made the answer
	PassiveSyn                // the SYN went to the host without ENO; its SYN-ACK is awaited
	PassiveAck                // the SYN-ACK went out with ENO; the ACK that confirms ENO is awaited
	PassiveInit               // ENO is confirmed, Init1 is being collected
	PassiveKeys               // Init1 is at the control plane
	Encrypted                 // keys are in place, frames flow
	Closing                   // both directions are finished or reset; the record answers stragglers for a while
	NumStates
)

var stateNames = [NumStates]string{
	"free", "plain", "active_offer", "active_syn", "active_answer", "active_init", "active_keys",
	"passive_offer", "passive_syn", "passive_ack", "passive_init", "passive_keys", "encrypted", "closing",
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

// Record is the state of one connection. It holds no pointer.
type Record struct {
	Key  Key    // 40 bytes
	Hash uint32 // of Key, under the table's seed
	Gen  uint32 // grows each time the record is handed out, so that stale references are recognised

	State      State
	Role       Role  // of the gateway
	TEP        uint8 // with the v bit, the first byte of the session ID
	HostFlags  uint8 // bits HostXxx
	AEAD       uint16
	Abort      uint8 // reason the connection was aborted, 0 while it was not
	Handshake  uint8 // retransmissions so far of the segment the handshake waits on
	RequestSeq uint32
	HsBlock    uint32 // handshake block index, 0 none

	Timer Timer // link in the table's timer wheel

	Created  int64 // ns of the monotonic clock when the record was handed out
	LastSeen int64 // ns of the monotonic clock of the last packet

	Host Endpoint // the inside host
	Peer Endpoint // the outside host

	Egress  Egress
	Ingress Ingress

	ToWire Template // headers of segments the gateway itself sends outside
	ToHost Template // headers of segments the gateway itself sends inside
}

// Bits of Record.HostFlags.
const (
	FlagSACK       = 1 << 0 // both ends agreed on selective acknowledgements
	FlagTimestamps = 1 << 1 // both ends agreed on timestamps
	FlagWScale     = 1 << 2 // both ends agreed on window scaling
	FlagActive     = 1 << 3 // the host opened the connection
	FlagOwnClosing = 1 << 4 // the gateway aborted the connection itself
	FlagReported   = 1 << 5 // the control plane knows the connection and is to be told of its end
	FlagStarted    = 1 << 6 // the translator has state for the connection
	FlagSendENO    = 1 << 7 // segments of the gateway's own carry ENO until the far end's first non-SYN segment
)

// Endpoint is what a SYN or SYN-ACK said about the TCP that sent it, and what it said last.
type Endpoint struct {
	ISN    uint32
	MSS    uint16 // as announced, 536 (IPv4) or 1220 (IPv6) when it announced none
	WScale uint8  // shift of the windows it announces, 0 when scaling is off
	Flags  uint8  // bits of EndpointXxx
	TSVal  uint32 // its latest timestamp
	Win    uint32 // window in bytes it announced last
}

// Bits of Endpoint.Flags.
const (
	EndpointSYN    = 1 << 0 // its SYN or SYN-ACK was seen
	EndpointSACK   = 1 << 1 // it offered selective acknowledgements
	EndpointTS     = 1 << 2 // it offered timestamps
	EndpointWScale = 1 << 3 // it offered window scaling
)

// Template holds the headers of a flow's segments in one direction in the packed form of package packet of the data plane.
type Template [72]byte

// Timer links a record into the timer wheel. Deadline is in ns of the monotonic clock, 0 when no timer runs.
type Timer struct {
	Deadline   int64
	Next, Prev Index
	Slot       uint32 // list it is in, plus 1; 0 none
	At         uint32 // low bits of the tick at which that list is looked at: no later than the deadline
}

// Secrets are the session secrets of one direction: the master key its next generation comes from, and the nonce randomizer of the
// current one. The AEAD key itself is expanded in the data plane's private memory; Raw is kept to expand it again.
type Secrets struct {
	Master     [32]byte
	Raw        [32]byte
	NR         [12]byte
	Generation uint32
}

// RecordSize is the size of a record in bytes.
const RecordSize = int(unsafe.Sizeof(Record{}))
