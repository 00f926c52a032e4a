package packetpath

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"sync"
	"text/tabwriter"
	"time"

	"linecrypt/bench/turns"
	"linecrypt/ctrlplane/shm"
	"linecrypt/dataplane/tsc"
)

// Result is what a load took. Times are of one core; a packet is a data segment or an acknowledgement.
type Result struct {
	Case       Case    `json:"case"`
	Path       string  `json:"path"`       // fast, or full: every segment went through the full translator
	HugePages  bool    `json:"huge_pages"` // the tables lie in reserved huge pages
	Flows      int     `json:"flows"`
	Size       int     `json:"size"`         // bytes of plaintext in a data segment
	DataPerAck int     `json:"data_per_ack"` // data segments to one acknowledgement
	Packets    uint64  `json:"packets"`      // handled
	Segments   uint64  `json:"segments"`     // those of them that carry data
	Mpps       float64 `json:"mpps"`         // million packets handled a second
	NsPacket   float64 `json:"ns_per_packet"`
	NsSegment  float64 `json:"ns_per_segment"` // with its share of an acknowledgement
	Cycles     float64 `json:"cycles_per_packet"`
	Allocs     uint64  `json:"allocs"`
	// Stages are TSC cycles a packet by stage; what no stage counts is "other".
	Stages map[string]float64 `json:"stage_cycles_per_packet"`
	// NsAEAD is the AEAD's part of NsSegment.
	NsAEAD float64 `json:"ns_aead_per_segment"`
	TSCGHz float64 `json:"tsc_ghz"`
	// Core is how much of the time the thread had a core, 0 to 1: where it is less than nearly all, others were at work there.
	Core float64 `json:"core_share"`
	// OverFast, of the full path, is what it takes outside of the AEAD, divided by what the fast one does so in the same turn.
	OverFast *Ratio `json:"over_fast,omitempty"`
}

// Ratio is the median of those of some turns, and what they lie between.
type Ratio struct {
	Median  float64 `json:"median"`
	Lowest  float64 `json:"lowest"`
	Highest float64 `json:"highest"`
}

// OutsideAEAD returns what a takes outside of the AEAD divided by what b does, turn by turn; nil where there is no turn that both had.
func OutsideAEAD(a, b []Result) *Ratio {
	outside := func(runs []Result) (ns []float64) {
		for _, r := range runs {
			ns = append(ns, r.NsSegment-r.NsAEAD)
		}
		return ns
	}
	ratios := turns.Ratios(outside(a), outside(b))
	if len(ratios) == 0 {
		return nil
	}
	return &Ratio{Median: turns.Median(ratios), Lowest: slices.Min(ratios), Highest: slices.Max(ratios)}
}

// other is the stage of what lies between the stages: timers, the clock, and the loop that polls.
const other = "other"

// StageNames are the keys of Result.Stages in the order of the way of a packet.
func StageNames() []string {
	var names []string
	for s := range shm.NumStages {
		names = append(names, s.String())
	}
	return append(names, other)
}

// tscRate is the counter's rate per ns.
var tscRate = sync.OnceValue(func() float64 { return tsc.PerSecond(50*time.Millisecond) / 1e9 })

func (o *Options) path() string {
	if o.Full {
		return "full"
	}
	return "fast"
}

func (t *totals) result(w *World, l Load) Result {
	rate, packets, segments := tscRate(), float64(t.packets), float64(t.segments)
	ns := float64(t.ticks) / rate
	r := Result{
		Case: l.Case, Path: w.opt.path(), HugePages: w.HugePages(), Flows: w.opt.Flows, Size: l.Size, DataPerAck: l.DataPerAck, Packets: t.packets, Segments: t.segments, Allocs: t.allocs,
		Mpps: packets / ns * 1e3, NsPacket: ns / packets, NsSegment: ns / segments, Cycles: float64(t.ticks) / packets,
		NsAEAD: float64(t.stages[shm.StageCrypto]) / rate / segments, Stages: map[string]float64{}, TSCGHz: rate,
	}
	left := float64(t.ticks)
	for s, ticks := range t.stages {
		r.Stages[shm.Stage(s).String()] = float64(ticks) / packets
		left -= float64(ticks)
	}
	r.Stages[other] = left / packets
	return r
}

// Median returns the result in the middle by Mpps, of at least one; of an even number the lower one. Allocations are all of them,
// and the core's share the least.
func Median(runs []Result) Result {
	sorted := slices.SortedFunc(slices.Values(runs), func(a, b Result) int { return cmp.Compare(a.Mpps, b.Mpps) })
	r := sorted[(len(sorted)-1)/2]
	r.Allocs = 0
	for _, s := range sorted {
		r.Allocs += s.Allocs
		r.Core = min(r.Core, s.Core)
	}
	return r
}

// WriteText writes a table with a line for each result, times by stage in TSC cycles a packet, and behind it what is divided turn by turn.
func WriteText(w io.Writer, results []Result) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(t, "case\tpath\tpages\tflows\tbytes\tdata:ack\tMpps\tns/packet\tns/segment\tAEAD ns\tcycles/packet\t")
	for _, s := range StageNames() {
		fmt.Fprint(t, s, "\t")
	}
	fmt.Fprintln(t, "allocs\tcore\t")
	for _, r := range results {
		pages := "ordinary"
		if r.HugePages {
			pages = "huge"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%d\t%d:1\t%.2f\t%.1f\t%.1f\t%.1f\t%.0f\t", r.Case, r.Path, pages, r.Flows, r.Size, r.DataPerAck, r.Mpps, r.NsPacket, r.NsSegment, r.NsAEAD, r.Cycles)
		for _, s := range StageNames() {
			fmt.Fprintf(t, "%.0f\t", r.Stages[s])
		}
		fmt.Fprintf(t, "%d\t%.0f%%\t\n", r.Allocs, 100*r.Core)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, r := range results {
		if x := r.OverFast; x != nil {
			_, err := fmt.Fprintf(w, "full / fast outside of the AEAD, %s, %d flows, %d bytes: %.2f (%.2f to %.2f)\n", r.Case, r.Flows, r.Size, x.Median, x.Lowest, x.Highest)
			if err != nil {
				return err
			}
		}
	}
	return nil
}
