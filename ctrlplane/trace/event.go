package trace

// Station is where in a worker an event comes from, in the order in which a packet passes them.
type Station uint8

// The stations.
const (
	Rx        Station = iota // a packet came from a port: addresses, ports, TCP fields, Length, Size
	Verdict                  // its connection was looked up: Flow and State (0: there is none yet), Policy, Rule
	Translate                // the translator made a segment of it: Seq, Ack, Window, Flags, Length; Side is where it goes
	Seal                     // plaintext of Length bytes was sealed into a frame
	Open                     // a frame with Length bytes of ciphertext was opened, OK or not
	Tx                       // a packet was given to a port: as Rx
	Count                    // Counter grew by Number, which names what was done, or why the packet was dropped
	NumStations
)

var stationNames = [NumStations]string{"rx", "verdict", "translate", "seal", "open", "tx", "count"}

// String returns the station's name.
func (s Station) String() string {
	if s < NumStations {
		return stationNames[s]
	}
	return "invalid"
}

// Event is what one station did with a packet. Which fields are in use depends on the station.
type Event struct {
	At      int64  // ns of CLOCK_MONOTONIC
	Packet  uint32 // number of the traced packet that led to it, from 1 on; 0: none, the gateway acted by itself
	Station Station
	Side    uint8 // flowtable.Side of the port
	OK      bool
	IP      uint8 // 4 or 6; 0 when neither
	Proto   uint8
	Flags   uint8 // TCP flags byte
	State   uint8 // flowtable.State
	Policy  uint8 // flowtable.Policy
	VLAN    uint32
	Src     [16]byte
	Dst     [16]byte
	SrcPort uint16
	DstPort uint16
	Seq     uint32
	Ack     uint32
	Window  uint16 // as in the header
	Counter uint16 // shm.Counter
	Length  uint32 // bytes of payload
	Size    uint32 // bytes of the whole packet
	Flow    uint32 // index of the record
	Rule    uint32 // flowtable.RuleRef
	Options uint8  // bits OptionXxx
	Number  uint64
}

// Options of a TCP header that an event tells.
const (
	OptionTimestamps = 1 << iota
	OptionSACK
	OptionENO
	OptionMSS
	OptionWindowScale
	OptionFastOpen
)
