package cli

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"linecrypt/flowtable"
)

// print writes the status for people: what is not zero, and the rest by its number only.
func (st *Status) print(out io.Writer) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "instance %s   policy %s   engine %s   polling %s\n", st.Name, st.Policy, st.Engine, st.Poll)
	fmt.Fprintf(&b, "data plane: %s\ncontrol plane: %s\nsegment: %s\n", st.dataPlane(), st.controlPlane(), st.segment())
	if st.KeyLog != "" {
		fmt.Fprintf(&b, "WARNING: the keys of new connections are written to %s; debug.key_log: off and `linecrypt reload` end that\n", st.KeyLog)
	}
	table(&b, "PORT\tNAME\tKIND\tLINK\tMTU\tQUEUES\tRX PACKETS\tRX BYTES\tTX PACKETS\tTX BYTES\n", func(w io.Writer) {
		for _, p := range st.Ports {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\n", p.Side, p.Name, p.Kind, p.Link, p.MTU, p.Queues, p.RxPackets, p.RxBytes, p.TxPackets, p.TxBytes)
		}
	})
	table(&b, "WORKER\tCORE\tRX PACKETS\tTX PACKETS\tDROPS\tBUSY\tFLOWS\n", func(w io.Writer) {
		for _, c := range st.Cores {
			fmt.Fprintf(w, "%d\t%s\t%d\t%d\t%d\t%.1f %%\t%d\n", c.Worker, coreName(c.Core), c.RxPackets, c.TxPackets, c.Drops, 100*c.Busy, c.Flows)
		}
	})
	st.printFlows(&b)
	for _, list := range []struct {
		title  string
		counts []NamedCount
	}{{"LEFT IN THE CLEAR", st.Plain}, {"REFUSED", st.Refusals}, {"ABORTED", st.Aborts}, {"DROPPED", st.Drops}, {"OVERLOAD", st.Overloads}, {"RESUMPTION", st.Resumption}} {
		printCounts(&b, list.title, list.counts)
	}
	table(&b, "STAGE\tPACKETS\tCYCLES PER PACKET\n", func(w io.Writer) {
		for _, s := range st.Stages {
			fmt.Fprintf(w, "%s\t%d\t%.1f\n", s.Name, s.Packets, s.CyclesPerPacket)
		}
	})
	_, err := out.Write(b.Bytes())
	return err
}

func (st *Status) dataPlane() string {
	switch {
	case !st.DataPlane.Running:
		return "not running"
	case !st.Ready:
		return fmt.Sprintf("pid %d, not ready yet", st.DataPlane.PID)
	}
	return fmt.Sprintf("pid %d, ready", st.DataPlane.PID)
}

func (st *Status) controlPlane() string {
	if !st.ControlPlane.Running {
		return "not running: encrypted connections go on, new ones follow the policy"
	}
	return fmt.Sprintf("pid %d", st.ControlPlane.PID)
}

// segment says where the shared memory lies, and in what pages.
func (st *Status) segment() string {
	pages := "ordinary pages"
	if st.Segment.HugePages {
		pages = fmt.Sprintf("huge pages of %d KiB", st.Segment.PageBytes>>10)
	}
	return fmt.Sprintf("%d MiB of %s in %s", (st.Segment.Bytes+1<<20-1)>>20, pages, st.Segment.Folder)
}

// coreName says where a worker runs.
func coreName(core int) string {
	if core < 0 {
		return "any"
	}
	return fmt.Sprint(core)
}

// table writes a blank line, the header and the rows, in columns.
func table(out io.Writer, header string, rows func(io.Writer)) {
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprint(w, "\n", header)
	rows(w)
	_ = w.Flush()
}

func (st *Status) printFlows(out io.Writer) {
	table(out, fmt.Sprintf("FLOWS\t%d of %d\n", st.Flows.Total, st.Flows.Capacity), func(w io.Writer) {
		for state := flowtable.Free + 1; state < flowtable.NumStates; state++ {
			if n := st.Flows.States[state.String()]; n > 0 {
				fmt.Fprintf(w, "%v\t%d\n", state, n)
			}
		}
	})
}

// printCounts writes the counters that are not zero, and then the names of those that are.
func printCounts(out io.Writer, title string, counts []NamedCount) {
	if len(counts) == 0 {
		return
	}
	var zero []string
	nonzero := slices.DeleteFunc(slices.Clone(counts), func(c NamedCount) bool { return c.Count == 0 })
	for _, c := range counts {
		if c.Count == 0 {
			zero = append(zero, c.Name)
		}
	}
	table(out, title+"\tCOUNT\t\n", func(w io.Writer) {
		for _, c := range nonzero {
			fmt.Fprintf(w, "%s\t%d\t%s\n", c.Name, c.Count, c.Help)
		}
	})
	if len(zero) > 0 {
		fmt.Fprintf(out, "none: %s\n", strings.Join(zero, " "))
	}
}
