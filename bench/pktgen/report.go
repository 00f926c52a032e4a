package pktgen

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"linecrypt/bench/pktgen/scenario"
	"linecrypt/ctrlplane/shm"
)

// WriteText writes the result as a table.
func (r *Result) WriteText(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(name, format string, args ...any) { fmt.Fprintf(w, "%s\t%s\n", name, fmt.Sprintf(format, args...)) }
	line("scenario", "%s%s", r.Scenario, map[bool]string{true: " (stopped before its end)"}[r.Incomplete])
	line("conditions", "%s", r.conditions())
	if r.Note != "" {
		line("", "%s", r.Note)
	}
	line("packets", "%.3f million a second, %.0f %% of them acknowledgements", r.Mpps, 100*r.AckShare)
	line("data segments", "%.3f million a second of %.0f bytes", r.SegmentsMps, r.Size)
	line("goodput, wire", "%.2f Gbit/s, %.2f Gbit/s", r.GoodputGbps, r.WireGbps)
	line("loss", "%.4g %% of data, %.4g %% of packets%s", r.Loss, r.PacketLoss, r.repeated())
	if r.HandshakesPerSecond > 0 {
		took := ""
		if r.ControlMicros > 0 { // that of a gateway elsewhere is not known
			took = fmt.Sprintf(", control plane %.0f us each", r.ControlMicros)
		}
		line("connections", "%.0f a second set up, %d closed in order%s", r.HandshakesPerSecond, r.Closed, took)
	}
	if len(r.Loads) > 0 {
		for _, l := range r.Loads {
			line(fmt.Sprintf("latency at %d %%", l.Percent), "p50 %.2f us, p99 %.2f us, p99.9 %.2f us at %.3f million packets a second, %.4g %% lost", l.P50, l.P99, l.P999, l.Mpps, l.Loss)
			if f := l.Forwarder; f != nil {
				line("  io forwarder", "p50 %.2f us, p99 %.2f us, p99.9 %.2f us at %.3f million packets a second, %.4g %% lost", f.P50, f.P99, f.P999, f.Mpps, f.Loss)
			}
			if o := l.OverForwarder; o != nil {
				line("  gateway / forwarder", "p50 %.2f, p99 %.2f", o.P50, o.P99)
			}
		}
	} else if r.Latency != nil {
		line("latency", "p50 %.2f us, p99 %.2f us, p99.9 %.2f us", r.Latency.P50, r.Latency.P99, r.Latency.P999)
	}
	if len(r.CyclesPerPacket) > 0 {
		line("cycles a packet", "%s", r.stages())
	}
	if len(r.PerCore) > 1 {
		for _, c := range r.PerCore {
			line(fmt.Sprintf("core %d", c.Core), "%.3f million packets a second, %.0f cycles each, busy %.0f %% of the time", c.Mpps, c.CyclesPerPacket, 100*c.Busy)
		}
	}
	for _, s := range r.Scaling {
		r.scale(line, &s)
	}
	if h := r.Handover; h != nil {
		line("core to core", "%.0f ns for a line of the cache, %.0f at most", h.Median, h.Most)
	}
	line("Go", "%d allocations (%.3g a packet), %d garbage collections", r.AllocsTotal, r.Allocs, r.GCCycles)
	if r.Interrupted > 0 {
		line("left out", "%d polls during which the machine ran something else", r.Interrupted)
	}
	for _, name := range slices.Sorted(maps.Keys(r.Drops)) {
		line(name, "%d", r.Drops[name])
	}
	verdict := "passed"
	if r.Incomplete {
		verdict = "not judged"
	}
	if len(r.Failures) > 0 {
		verdict = "FAILED: " + strings.Join(r.Failures, "\n\t")
	}
	line("limits", "%s", verdict)
	return w.Flush()
}

// scale tells what so many workers do.
func (r *Result) scale(line func(name, format string, args ...any), s *Scale) {
	name := fmt.Sprintf("%d %s", s.Cores, plural(s.Cores, "core"))
	if s.Cores == 1 {
		line(name, "%.3f million packets a second", s.Mpps)
		return
	}
	how := map[string]string{string(scenario.OwnQueues): "a queue each", string(scenario.OneQueue): "one queue"}[s.Queues]
	of := ""
	if s.OfOwn > 0 {
		of = fmt.Sprintf("; %.2f times a queue each", s.OfOwn)
	}
	line(name+", "+how, "%.3f million packets a second; %.2f times one core, quartiles of %d rounds %.2f and %.2f%s", s.Mpps, s.Ratio, len(s.Runs), s.Quartiles[0], s.Quartiles[1], of)
}

func (r *Result) conditions() string {
	c := fmt.Sprintf("%d connections, ports %s, mode %s, checksums by %s, engine %s", r.Flows, r.Ports, r.Mode, r.Checksums, r.Engine)
	if r.Cores > 0 {
		c += fmt.Sprintf(", %d %s", r.Cores, plural(r.Cores, "core"))
	}
	return fmt.Sprintf("%s, %.2f s", c, r.Seconds)
}

func plural(n int, what string) string {
	if n == 1 {
		return what
	}
	return what + "s"
}

// repeated tells what was disturbed and repeated.
func (r *Result) repeated() string {
	var parts []string
	for _, p := range []struct {
		n    uint64
		what string
	}{{r.Resent, "repeated"}, {r.LostOnWay, "lost on purpose"}, {r.Damaged, "damaged"}, {r.Forged, "forged SYNs"}, {r.Rekeyed, "generations of keys begun"}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.what))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return "; " + strings.Join(parts, ", ")
}

// stages lists the cycles by stage in the order of a packet's way.
func (r *Result) stages() string {
	var parts []string
	for st := range shm.NumStages {
		parts = append(parts, fmt.Sprintf("%s %.0f", st, r.CyclesPerPacket[st.String()]))
	}
	return fmt.Sprintf("%.0f (%s, other %.0f)", r.CyclesPerPacket["all"], strings.Join(parts, ", "), r.CyclesPerPacket["other"])
}
