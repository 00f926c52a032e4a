package flowtable

// Ingress is what every segment touches of the opening half of a connection, wire to host: two cache lines with the Endpoint behind
// it. Positions are 0 at the byte behind the SYN; P counts plaintext, W the wire; a FIN takes one position in both.
type Ingress struct {
	WNext   uint64 // wire position of the next frame to be opened; ahead of WOpen only while operations are pending
	WOpen   uint64 // end of the last frame that was opened
	PNext   uint64 // plaintext position of WOpen
	WAckH   uint64 // frame boundary up to which the host acknowledged
	PAckH   uint64 // plaintext position of WAckH
	HostAck uint64 // highest acknowledgement of the host; it may lie inside a frame
	WAcked  uint64 // highest acknowledgement sent to the wire
	WEdge   uint64 // largest right edge announced to the wire
	PEdge   uint64 // right edge announced by the host
	Queue   Ledger // frames opened and not yet acknowledged by the host, from WAckH on

	AckTold  uint32   // last acknowledgement sent to the wire, as in the header
	WinTold  uint16   // last window sent to the wire, as in the header
	Flags    uint16   // bits IngressXxx
	NR       [12]byte // nonce randomizer of the current generation
	HostDups uint8    // duplicate acknowledgements of the host in a row
	Failures uint8    // frames in a row that failed authentication
	Probes   uint8    // keep-alives that the far end has not answered
	_        uint8
}

// Bytes returns the plaintext bytes that were opened.
func (in *Ingress) Bytes() uint64 { return in.PNext - uint64(in.Flags&IngressFINp) }

// Bits of Ingress.Flags.
const (
	IngressFINp    = 1 << 0 // the last frame was opened
	IngressWireFIN = 1 << 1 // a FIN was seen on the wire, at WFin
	IngressInit    = 1 << 2 // the peer's Init message is complete
	IngressKeys    = 1 << 3 // keys are in place
	IngressStalled = 1 << 4 // stored bytes could not be worked, for want of room in the output or of a key, and now may
	IngressClosed  = 1 << 5 // both directions are finished and acknowledged
	IngressShrunk  = 1 << 6 // the host took its right edge back: what is announced may be less than WEdge
	IngressInOrder = 1 << 7 // nothing was missing in front of the FIN when it came
)
