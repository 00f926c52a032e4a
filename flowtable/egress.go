package flowtable

// Egress is the sealing half of a connection: host to wire. Positions are 0 at the byte behind the SYN; P counts
// plaintext, W the wire; a FIN takes one position in both. Fields that every segment touches come first.
type Egress struct {
	PNext uint64 // next plaintext position to be framed
	WNext uint64 // wire position of the next frame
	WUna  uint64 // oldest frame boundary not acknowledged by the far end
	PUna  uint64 // plaintext position of WUna
	WAck  uint64 // highest acknowledgement of the far end; it may lie inside a frame
	WEdge uint64 // right edge of the far end's window
	WL1   uint64 // wire position, of the other direction, of the segment that told WEdge
	Queue Ledger // frames from WUna on

	Held      uint32 // bytes of the frames in Queue
	AckTold   uint32 // last acknowledgement sent to the host, as in the header
	WinTold   uint16 // last window sent to the host, as in the header
	Flags     uint16 // bits EgressXxx
	Dups      uint8  // duplicate acknowledgements of the far end in a row
	Tries     uint8  // times the own frame at the front of Queue was sent again
	Gap       uint16 // the data plane's private list of segments behind a gap, 0 none
	Key       uint32 // expanded key in the data plane's private slab, 0 none
	GenFrames uint32 // frames sealed under the current generation
	RTO       int64  // ns, of the frames the gateway retransmits itself
	OwnTimer  int64  // ns of the monotonic clock when the own frame at the front is sent again, 0 none

	GenBytes uint64 // wire bytes sealed under the current generation
	Frames   uint64 // frames sealed
	Bytes    uint64 // plaintext bytes sealed
	Secrets  Secrets
}

// Bits of Egress.Flags.
const (
	EgressFIN     = 1 << 0 // the last frame is made; nothing comes behind it
	EgressRekey   = 1 << 1 // the next frame carries the rekey bit
	EgressKeys    = 1 << 2 // keys are in place
	EgressDead    = 1 << 3 // the connection is reset: stragglers are answered by RST
	EgressFreed   = 1 << 4 // a dead connection's buffers are freed
	EgressBA      = 1 << 5 // sealed by the host B of the original session (RFC 8548 section 3.5)
	EgressStalled = 1 << 6 // segments behind a gap that is filled wait for room in the output
)
