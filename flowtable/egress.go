package flowtable

// Egress is what every segment touches of the sealing half of a connection, host to wire: two cache lines with the Endpoint behind
// it. Positions are 0 at the byte behind the SYN; P counts plaintext, W the wire; a FIN takes one position in both.
type Egress struct {
	PNext uint64 // next plaintext position to be framed
	WNext uint64 // wire position of the next frame
	WUna  uint64 // oldest frame boundary not acknowledged by the far end
	PUna  uint64 // plaintext position of WUna
	WAck  uint64 // highest acknowledgement of the far end; it may lie inside a frame
	WEdge uint64 // right edge of the far end's window
	WL1   uint64 // wire position, of the other direction, of the segment that told WEdge
	Queue Ledger // frames from WUna on

	EdgeTold   uint32   // largest right edge told to the host, as in the header
	AckTold    uint32   // last acknowledgement sent to the host, as in the header
	WinTold    uint16   // last window sent to the host, as in the header
	Flags      uint16   // bits EgressXxx
	GenFrames  uint32   // frames sealed under the current generation
	GenStop    uint32   // how many are sealed at a glance, before limits are looked at,
	GenEdge    uint32   // and up to which wire position, in its low 32 bits
	NR         [12]byte // nonce randomizer of the current generation
	PartAcked  uint16   // plaintext bytes of the oldest frame that were acknowledged to the host before the far end had it
	Dups       uint8    // duplicate acknowledgements of the far end in a row
	Mismatches uint8    // frames sealed again in a row whose tag was not the ledger's
}

// Bytes returns the plaintext bytes that were framed.
func (e *Egress) Bytes() uint64 { return e.PNext - uint64(e.Flags&EgressFIN) }

// Bits of Egress.Flags.
const (
	EgressFIN     = 1 << 0 // the last frame is made; nothing comes behind it
	EgressRekey   = 1 << 1 // the next frame carries the rekey bit
	EgressKeys    = 1 << 2 // keys are in place
	EgressDead    = 1 << 3 // the connection is reset: stragglers are answered by RST
	EgressFreed   = 1 << 4 // a dead connection's buffers are freed
	EgressBA      = 1 << 5 // sealed by the host B of the original session (RFC 8548 section 3.5)
	EgressAged    = 1 << 7 // the current generation's time is over: another is to begin as soon as it may
	EgressStalled = 1 << 6 // segments behind a gap that is filled wait for room in the output
)
