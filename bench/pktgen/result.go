package pktgen

import (
	"encoding/json"
	"io"
	"math"

	"linecrypt/bench/pktgen/scenario"
	"linecrypt/ctrlplane/shm"
)

// Result is what a run has measured: the object of --json. Rates are of the part that is measured, by the clock of the driver. Drops
// are those that the gateway counts by reason, and what its ports lost.
type Result struct {
	Scenario  string  `json:"scenario"`
	Measure   string  `json:"measure"`
	Mode      string  `json:"mode"`  // turns, beside or device
	Ports     string  `json:"ports"` // memory, rings or device
	Checksums string  `json:"checksums"`
	Engine    string  `json:"engine"`
	Note      string  `json:"note,omitempty"` // what else is to be known of the conditions
	Cores     int     `json:"cores"`          // of the gateway; 0 for one elsewhere
	Flows     int     `json:"flows"`
	Size      float64 `json:"size"` // bytes of payload of a data segment, on average
	Seconds   float64 `json:"seconds"`

	Mpps        float64 `json:"mpps"`         // million packets handled a second, both directions, acknowledgements included
	SegmentsMps float64 `json:"segments_mps"` // million data segments a second that arrived
	GoodputGbps float64 `json:"goodput_gbps"` // of payload
	WireGbps    float64 `json:"wire_gbps"`    // at the outside port, both directions, with preamble, checksum and gap of Ethernet
	AckShare    float64 `json:"ack_share"`    // acknowledgements without data among the packets
	Loss        float64 `json:"loss"`         // percent of the data segments that never arrived
	PacketLoss  float64 `json:"packet_loss"`  // percent of the packets that the gateway or its ports lost
	Resent      uint64  `json:"resent"`       // segments that the ends sent again
	LostOnWay   uint64  `json:"lost_on_way"`  // packets that the scenario lost on purpose
	Damaged     uint64  `json:"damaged"`      // frames that it damaged
	Forged      uint64  `json:"forged"`       // SYNs of nobody that it sent
	Rekeyed     uint64  `json:"rekeyed"`      // generations of keys that began, of either end's
	Opened      uint64  `json:"opened"`       // connections that came about while it was measured
	Closed      uint64  `json:"closed"`       // connections that were closed in order
	Wrong       uint64  `json:"wrong"`        // packets out of the gateway that are not what they should be
	Interrupted uint64  `json:"interrupted"`  // polls that are left out because the machine ran something else
	Incomplete  bool    `json:"incomplete"`   // the run was stopped

	Drops map[string]uint64 `json:"drops"`

	Latency *Latency `json:"latency_us"` // of the load that is named last, null where no rate was set
	Loads   []Load   `json:"loads,omitempty"`

	PerCore []PerCore `json:"per_core,omitempty"` // of the gateway's workers
	Scaling []Scale   `json:"scaling,omitempty"`  // with measure scaling

	Handover *Handover `json:"handover_ns,omitempty"` // with measure scaling

	HandshakesPerSecond float64 `json:"handshakes_per_second,omitempty"`
	ControlMicros       float64 `json:"control_us_per_handshake,omitempty"`

	CyclesPerPacket map[string]float64 `json:"cycles_per_packet"` // by stage; empty for a gateway elsewhere
	Allocs          float64            `json:"allocs"`            // a packet, of the whole process
	AllocsTotal     uint64             `json:"allocs_total"`      // in the time that was measured
	GCCycles        uint64             `json:"gc_cycles"`         // of the whole process

	Verdict  string   `json:"verdict,omitempty"` // better, same or worse than the baseline
	Failures []string `json:"failures"`          // limits that are not kept, and what was wrong

	on   []int   // cores of the workers
	rate float64 // packets a second that a search has found to go
}

// Latency is the time from a packet's arrival at the gateway to its departure, in µs.
type Latency struct {
	P50  float64 `json:"p50"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
}

// Handover is how long one core waits for a line of the cache that the other has just written, in ns, over the rounds. Where it changes, the
// machine's cores do not stay where they are.
type Handover struct {
	Median float64   `json:"median"`
	Most   float64   `json:"most"`
	Rounds []float64 `json:"rounds"`
}

// Load is what was measured at a share of the largest rate.
type Load struct {
	Percent int     `json:"percent"`
	Mpps    float64 `json:"mpps"`
	Loss    float64 `json:"packet_loss"` // percent
	Latency
	Forwarder     *Forwarder `json:"forwarder,omitempty"`
	OverForwarder *Ratio     `json:"over_forwarder,omitempty"`
}

// PerCore is what one worker did.
type PerCore struct {
	Core            int     `json:"core"`
	Mpps            float64 `json:"mpps"`
	CyclesPerPacket float64 `json:"cycles_per_packet"`
	Busy            float64 `json:"busy"` // share of the time in which it had something to do
}

// ethernetExtra is what a frame takes on a wire beside the bytes that a port shows: preamble, checksum and gap.
const ethernetExtra = 24

// fill computes the figures of a sample.
func (r *Result) fill(sc *scenario.Scenario, s *sample) {
	total := s.packets()
	sec := math.Max(s.seconds, 1e-9)
	e := &s.ends
	r.Seconds = round(s.seconds, 4)
	r.Mpps = round(float64(total)/sec/1e6, 4)
	r.SegmentsMps = round(float64(e.Arrived)/sec/1e6, 4)
	r.GoodputGbps = round(float64(e.ArrivedBytes)*8/sec/1e9, 4)
	r.WireGbps = round(float64(e.OfferedBytes[outside]+e.ReceivedBytes[outside]+ethernetExtra*(e.Offered[outside]+e.Received[outside]))*8/sec/1e9, 4)
	if total > 0 {
		r.AckShare = round(float64(e.Acks)/float64(total), 4)
		r.Allocs = round(float64(s.allocs)/float64(total), 6)
	}
	r.PacketLoss = round(100*s.lossShare(), 5)
	r.Resent, r.LostOnWay, r.Damaged, r.Forged = e.Resent, e.Lost, e.Damaged, e.Forged
	r.Rekeyed = e.Rekeyed
	r.AllocsTotal = s.allocs
	r.Opened, r.Closed, r.GCCycles, r.Interrupted = e.Opened, e.Finished, s.gcs, s.interrupted
	if s.latency.count > 0 {
		r.Latency = &Latency{P50: round(s.latency.p50, 3), P99: round(s.latency.p99, 3), P999: round(s.latency.p999, 3)}
	}
	if sc.Measure == scenario.Handshakes || sc.Disturb.Churn > 0 {
		r.HandshakesPerSecond = round(float64(e.Opened)/sec, 1)
		if s.answered > 0 && e.Opened > 0 {
			r.ControlMicros = round(float64(s.control)/float64(e.Opened)/tscRate()*1e6, 2)
		}
	}
	r.drops(s)
	r.cycles(s, total)
	r.perCore(s, sec)
}

// perCore lists what each worker did. In turns a packet's cycles are of the time that all take, in which a worker also waits for others.
func (r *Result) perCore(s *sample, sec float64) {
	r.PerCore = nil
	if s.cores != len(r.on) {
		return
	}
	for i, core := range r.on {
		c := &s.perCore[i]
		busy, all := float64(c.busy), float64(c.busy+c.idle)
		p := PerCore{Core: core, Mpps: round(float64(c.packets)/sec/1e6, 4)}
		if s.busy > 0 {
			all = float64(s.busy)
			busy = min(busy, all) // what was interrupted is in the worker's own count alone
		}
		if c.packets > 0 && all > 0 {
			p.CyclesPerPacket, p.Busy = round(busy/float64(c.packets), 1), round(busy/all, 3)
		}
		r.PerCore = append(r.PerCore, p)
	}
}

// drops lists what the gateway dropped, by reason.
func (r *Result) drops(s *sample) {
	r.Drops = map[string]uint64{}
	shm.NewTable().Range(func(c shm.Counter, info shm.Info) bool {
		if n := s.block[c]; n > 0 && info.Kind == shm.KindDrop {
			r.Drops[info.Name] += n
		}
		return true
	})
	for name, n := range map[string]uint64{"port_rx_missed": s.missed + s.ports.RxMissed, "port_spread_full": s.ports.RxSpreadFull, "port_rx_no_buffer": s.ports.RxNoMbuf, "port_tx_errors": s.ports.TxErrors} {
		if n > 0 {
			r.Drops[name] = n
		}
	}
}

// cycles is what a packet costs, by stage: those of the workers' stations, and what is between them. Where polls were left out, the
// others stand for them. Of several workers in turns, it is the time of all, with that in which one waits for the others.
func (r *Result) cycles(s *sample, total uint64) {
	r.CyclesPerPacket = map[string]float64{}
	counted := float64(s.block[shm.BusyCycles])
	if total == 0 || counted == 0 {
		return
	}
	scale := 1 / float64(total)
	if s.busy > 0 {
		scale *= float64(s.busy) * float64(max(s.cores, 1)) / counted
	}
	other := counted
	for st := range shm.NumStages {
		c := float64(s.block[st.Cycles()])
		other -= c
		r.CyclesPerPacket[st.String()] = round(c*scale, 1)
	}
	r.CyclesPerPacket["other"] = round(math.Max(other, 0)*scale, 1)
	r.CyclesPerPacket["all"] = round(counted*scale, 1)
}

func round(x float64, digits int) float64 {
	scale := math.Pow10(digits)
	return math.Round(x*scale) / scale
}

// WriteJSON writes the result as one object.
func (r *Result) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}
