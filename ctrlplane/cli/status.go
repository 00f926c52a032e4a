package cli

import (
	"flag"
	"time"

	"linecrypt/ctrlplane/instance"
	"linecrypt/ctrlplane/sample"
	"linecrypt/ctrlplane/shm"
	"linecrypt/flowtable"
)

var statusCommand = command{
	name:    "status",
	args:    "[--json] [--name NAME]",
	summary: "ports, cores, flows and drops of a running gateway",
	details: `Prints how much of the traffic of a running instance is encrypted, how much is in the clear or was refused and why, then what is
wrong and what to do about it, then the rest: ports and links, workers and their load, connections by state, drops and aborts by name, and the
cycles that a packet takes in each stage. All counts are since the data plane's start; what is "now" is measured for a quarter of a second. What
is zero is left out; --json has every counter.`,
	define: func(a *App, fs *flag.FlagSet) func() error {
		look := addLookFlags(fs)
		return func() error {
			return look.with(func(in *instance.Instance, s *shm.Segment) error {
				before := sample.Take(s)
				if !*look.json {
					time.Sleep(sampleTime)
				}
				st, err := readStatus(in, s)
				if err != nil {
					return err
				}
				if *look.json {
					return printJSON(a.Stdout, st)
				}
				now := sample.Take(s)
				st.now = now.Since(&before)
				return st.print(a.Stdout)
			})
		}
	},
}

// Status is what `status --json` prints.
type Status struct {
	Name         string        `json:"name"`
	Ready        bool          `json:"ready"`
	Policy       string        `json:"policy"` // of the control plane that ran last; unset when none did
	Engine       string        `json:"engine"`
	Poll         string        `json:"poll"` // busy or adaptive
	Segment      SegmentStatus `json:"segment"`
	DataPlane    ProcessState  `json:"data_plane"`
	ControlPlane ProcessState  `json:"control_plane"`
	KeyLog       string        `json:"key_log"` // file that the keys of new connections are written to, empty for none
	Ports        []PortStatus  `json:"ports"`
	Cores        []CoreStatus  `json:"cores"`
	Flows        FlowStatus    `json:"flows"`
	Drops        []NamedCount  `json:"drops"`
	Aborts       []NamedCount  `json:"aborts"`
	Plain        []NamedCount  `json:"plain"`      // connections left in the clear, by reason
	Refusals     []NamedCount  `json:"refusals"`   // connections refused, by reason
	Overloads    []NamedCount  `json:"overloads"`  // what was given up because a bound was reached
	Resumption   []NamedCount  `json:"resumption"` // connections by what came of an earlier session that they might have resumed
	Counters     []NamedCount  `json:"counters"`   // everything that is no drop, abort or cycle count, those three lists too
	Stages       []StageStatus `json:"stages"`
	Since        time.Time     `json:"since"` // when the data plane began to count
	Encryption   Encryption    `json:"encryption"`

	now sample.Rates
}

// Encryption says how much of the TCP traffic is encrypted.
type Encryption struct {
	Encrypted      uint64 `json:"encrypted"`       // connections that were, in all
	Plain          uint64 `json:"plain"`           // that were left in the clear
	Refused        uint64 `json:"refused"`         // that were refused
	EncryptedNow   uint64 `json:"encrypted_now"`   // that are
	PlainNow       uint64 `json:"plain_now"`       // that are in the clear
	EncryptedBytes uint64 `json:"encrypted_bytes"` // of data, sealed and opened
	PlainBytes     uint64 `json:"plain_bytes"`     // of TCP data that passed in the clear
}

// SegmentStatus says where the shared memory lies.
type SegmentStatus struct {
	Folder    string `json:"folder"`
	Bytes     int    `json:"bytes"`
	PageBytes int    `json:"page_bytes"` // of its memory: more than 4096 on hugetlbfs
	HugePages bool   `json:"huge_pages"`
}

// ProcessState says whether a process of the instance is there.
type ProcessState struct {
	Running bool `json:"running"`
	PID     int  `json:"pid"` // 0 when it does not run
	Starts  int  `json:"starts"`
	Silent  bool `json:"silent"` // it runs and gives no sign of life: it was stopped, or hangs
}

// PortStatus is a port with what went through it, seen from the gateway.
type PortStatus struct {
	Side      string `json:"side"` // inside or outside
	Name      string `json:"name"`
	Kind      string `json:"kind"`   // dpdk, packet, xdp or memory, with +spread where workers share its one queue
	Link      string `json:"link"`   // up, down, gone (no such interface), or unknown
	MTU       int    `json:"mtu"`    // bytes of an IP packet
	Queues    int    `json:"queues"` // in use, one a worker or one for all
	RxPackets uint64 `json:"rx_packets"`
	RxBytes   uint64 `json:"rx_bytes"`
	TxPackets uint64 `json:"tx_packets"`
	TxBytes   uint64 `json:"tx_bytes"`
}

// CoreStatus is one worker. Busy is the share of its cycles, or of its polls where cycles are not counted, that found
// work, 0 to 1.
type CoreStatus struct {
	Worker    int     `json:"worker"`
	Core      int     `json:"core"` // -1 when it is not pinned
	RxPackets uint64  `json:"rx_packets"`
	TxPackets uint64  `json:"tx_packets"`
	Drops     uint64  `json:"drops"`
	Busy      float64 `json:"busy"`
	Sleeps    uint64  `json:"sleeps"`
	Flows     uint64  `json:"flows"`
}

// FlowStatus counts connections.
type FlowStatus struct {
	Capacity uint64            `json:"capacity"`
	Total    uint64            `json:"total"`
	States   map[string]uint64 `json:"states"`
}

// NamedCount is a counter, summed over the workers.
type NamedCount struct {
	Name  string `json:"name"`
	Count uint64 `json:"count"`
	Unit  string `json:"unit"`
	Help  string `json:"help"`
}

// StageStatus is what a stage of the pipeline costs.
type StageStatus struct {
	Name            string  `json:"name"`
	Packets         uint64  `json:"packets"`
	Cycles          uint64  `json:"cycles"`
	CyclesPerPacket float64 `json:"cycles_per_packet"`
}

func readStatus(in *instance.Instance, s *shm.Segment) (*Status, error) {
	r := counterReader{seg: s, table: s.Counters()}
	st := &Status{
		Name: in.Name(), Ready: s.Ready() && s.DataPlaneAnswers(), Policy: s.Policy().String(), Engine: s.Engine(), Poll: s.Poll(),
		Segment:      SegmentStatus{Folder: s.Dir(), Bytes: s.Size(), PageBytes: s.PageBytes(), HugePages: s.HugePages()},
		DataPlane:    processState(s.DataPlane(), s.DataPlaneRuns(), s.DataPlaneAnswers()),
		ControlPlane: processState(s.ControlPlane(), s.ControlPlaneRuns(), s.ControlPlaneAnswers()),
		KeyLog:       in.KeyLog(),
		Ports:        []PortStatus{r.port(flowtable.Inside, s.Inside()), r.port(flowtable.Outside, s.Outside())},
		Drops:        r.kind(shm.KindDrop),
		Aborts:       r.kind(shm.KindAbort),
		Plain:        r.kind(shm.KindPlain),
		Refusals:     r.kind(shm.KindRefusal),
		Overloads:    r.kind(shm.KindOverload),
		Resumption:   r.kind(shm.KindResume),
		Counters:     r.kind(shm.KindPackets, shm.KindBytes, shm.KindEvent, shm.KindPlain, shm.KindRefusal, shm.KindOverload, shm.KindResume),
		Stages:       r.stages(),
		Since:        s.Created(),
	}
	if err := st.readFlows(&r); err != nil {
		return nil, err
	}
	t := sample.Take(s)
	st.Encryption = Encryption{
		Encrypted: t.Handshakes, Plain: sum(st.Plain), Refused: sum(st.Refusals),
		EncryptedNow: st.Flows.States[flowtable.Encrypted.String()], PlainNow: st.Flows.States[flowtable.Plain.String()],
		EncryptedBytes: t.Sealed + t.Opened, PlainBytes: t.Clear,
	}
	return st, nil
}

func sum(counts []NamedCount) (n uint64) {
	for i := range counts {
		n += counts[i].Count
	}
	return n
}

func processState(p shm.Process, running, answers bool) ProcessState {
	st := ProcessState{Running: running, Starts: int(p.Epoch), Silent: running && !answers}
	if running {
		st.PID = p.PID
	}
	return st
}

// readFlows fills Flows and Cores.
func (st *Status) readFlows(r *counterReader) error {
	st.Flows.States = map[string]uint64{}
	for i := range r.seg.Workers() {
		table, err := flows(r.seg, i)
		if err != nil {
			return err
		}
		core := r.core(i)
		for state := flowtable.Free + 1; state < flowtable.NumStates; state++ {
			n := table.Count(state)
			st.Flows.States[state.String()] += n
			core.Flows += n
		}
		st.Flows.Capacity += uint64(table.Capacity())
		st.Flows.Total += core.Flows
		st.Cores = append(st.Cores, core)
	}
	return nil
}
