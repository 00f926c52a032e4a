package scenario

import (
	"time"

	"linecrypt/ctrlplane/config/keyfile"
	"linecrypt/ctrlplane/tcpcrypt"
)

// Scenario is one scenario. Rates and shares of traffic are as the table of keys says.
type Scenario struct {
	Name    string // of the file, without its folder and its ending
	Summary string

	Traffic Traffic
	Ports   Ports
	Cores   Cores
	Time    Time
	Rekey   Rekey
	Disturb Disturb
	Measure Measure
	Search  Search
	Limits  Limits

	set map[string]keyfile.Position
}

// Direction says which way data goes.
type Direction string

// The directions.
const (
	Seal Direction = "seal" // hosts send, the gateway seals
	Open Direction = "open" // far ends send, the gateway opens
	Both Direction = "both"
)

// Opener says who opens connections.
type Opener string

// The openers.
const (
	ByFar  Opener = "far"
	ByHost Opener = "host"
)

// Keying says where the keys of the flows come from.
type Keying string

// The ways to keys.
const (
	KeysAuto   Keying = "auto"   // agreed for up to AgreedFlows flows
	KeysAgreed Keying = "agreed" // a key agreement for each flow
	KeysShared Keying = "shared" // one master key, installed anew for each flow
)

// AgreedFlows is up to how many flows KeysAuto lets agree on keys of their own: an agreement costs both ends about 0.2 ms.
const AgreedFlows = 4096

// Size is a size of segments with how often it comes in a round.
type Size struct {
	Bytes  int // of payload, plaintext
	Weight int
}

// Traffic is what is sent.
type Traffic struct {
	Direction Direction
	Sizes     []Size
	Flows     int
	Opener    Opener
	Plain     int // percent of the flows that are not encrypted
	AckEvery  int // data segments that a receiver acknowledges by one segment
	Run       int // segments that a flow sends in a row
	Window    int // data segments of one flow and direction in flight at most
	Keys      Keying
	AEAD      tcpcrypt.AEAD
	Patience  time.Duration // until what is not acknowledged is sent again
}

// PortKind is where the gateway is.
type PortKind string

// The kinds of ports.
const (
	PortsAuto   PortKind = "auto"   // rings where the program has DPDK and memory for it, else memory
	PortsMemory PortKind = "memory" // in this process, nothing of DPDK
	PortsRings  PortKind = "rings"  // in this process, over DPDK's rings
	PortsDevice PortKind = "device" // two ports of this machine, a gateway elsewhere between them
)

// Ports are the ports that the traffic goes over.
type Ports struct {
	Kind     PortKind
	Inside   string // PORT towards the gateway's inside; PortsDevice only
	Outside  string
	EAL      []string
	Checksum Checksum
	Queues   Queues
}

// Queues is what several workers poll.
type Queues string

// What they poll.
const (
	OwnQueues Queues = "own" // a queue each
	OneQueue  Queues = "one" // one queue, with the gateway's spreader
)

// Checksum says who computes TCP checksums on memory ports.
type Checksum string

// Who computes them.
const (
	ByPort    Checksum = "port"    // as NICs do
	ByGateway Checksum = "gateway" // in software
)

// Mode is how generator and worker share the machine.
type Mode string

// The modes.
const (
	ModeAuto   Mode = "auto"   // turns
	ModeTurns  Mode = "turns"  // in one thread, in turns
	ModeBeside Mode = "beside" // each on a core of its own
)

// Cores are the cores that are used.
type Cores struct {
	Workers int
	Mode    Mode
}

// Time is how long things take.
type Time struct {
	Warmup   time.Duration
	Duration time.Duration
	Rounds   int // in turns, of whose ratios the median counts; Scaling alone
}

// Rekey is after how many frames of one key keys are changed, 0 for never.
type Rekey struct {
	Gateway int // frames that the gateway seals
	Far     int // frames that a far end seals
}

// Disturb is what makes life hard, in shares of 10,000 of the packets it concerns.
type Disturb struct {
	Loss        int // packets of either side lost on the way to the gateway and from it
	Reorder     int // packets to the gateway that come some places later
	Corrupt     int // frames to the gateway with a wrong bit
	SynFlood    int // forged SYNs among the packets to the gateway
	SynENOFlood int // the same with the ENO option
	Churn       int // flows closed and opened anew, per second
}

// Measure is what a scenario is about.
type Measure string

// What to measure.
const (
	Throughput Measure = "throughput" // as fast as it goes
	LossFree   Measure = "loss-free"  // the largest rate without loss (RFC 2544 section 26.1)
	Latency    Measure = "latency"    // at shares of that rate
	Handshakes Measure = "handshakes" // connections set up
	Scaling    Measure = "scaling"    // throughput of all workers, and of one
)

// Search is how the largest rate without loss is looked for.
type Search struct {
	Trial      time.Duration
	Loss       float64 // percent of the packets that may be lost
	Resolution float64 // percent of the rate at which the search ends
	Loads      []int   // percent of the rate at which latency is measured
	Forwarder  bool    // measure an io forwarder at the same rates
}

// Limits make a run pass or fail. The zero value of a limit is none, but for Loss, where a negative one is none.
type Limits struct {
	Loss        float64 // percent of data segments
	Mpps        float64
	GoodputGbps float64
	P50         time.Duration
	P99         time.Duration
	Allocs      float64 // a packet
	AllocsTotal int     // in the time that is measured; negative: none
	GCCycles    int     // negative: none
	Handshakes  float64 // a second
	Scaling     float64 // all workers ÷ one
}

// Err returns an error that says that the value of a key is refused, with the place where it was set.
func (s *Scenario) Err(key string, reason error) error {
	return &keyfile.Error{Position: s.set[key], Key: key, Reason: reason}
}

// Set gives a key the value that text stands for, as `--set key=text` does. Check is to be called behind the last.
func (s *Scenario) Set(origin, key, text string) error {
	k := table.Lookup(key)
	if k == nil {
		return &keyfile.Error{Position: keyfile.Position{File: origin}, Key: key, Reason: table.Unknown(key)}
	}
	s.set[key] = keyfile.Position{File: origin}
	if err := k.Kind.Set(s, keyfile.TextValue(text, k.Kind.List)); err != nil {
		return s.Err(key, err)
	}
	return nil
}

// Agreed reports whether each flow has a key agreement of its own.
func (s *Scenario) Agreed() bool {
	return s.Traffic.Keys == KeysAgreed || s.Traffic.Keys == KeysAuto && s.Traffic.Flows <= AgreedFlows
}

// Disturbed reports whether segments may have to be sent again for what the scenario does to them.
func (d *Disturb) Disturbed() bool { return d.Loss > 0 || d.Reorder > 0 || d.Corrupt > 0 }
