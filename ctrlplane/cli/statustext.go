package cli

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"linecrypt/ctrlplane/human"
	"linecrypt/ctrlplane/trouble"
	"linecrypt/flowtable"
)

// print writes the status for people: first what is asked first, then trouble, then the rest of what is not zero.
func (st *Status) print(out io.Writer) error {
	var b bytes.Buffer
	st.printEncryption(&b)
	st.printTrouble(&b)
	st.printPorts(&b)
	st.printWorkers(&b)
	st.printFlows(&b)
	for _, list := range []struct {
		title  string
		counts []NamedCount
	}{{"ABORTED", st.Aborts}, {"DROPPED ON PURPOSE", st.Drops}, {"BOUNDS THAT WERE REACHED", st.Overloads}, {"RESUMPTION", st.Resumption}} {
		printCounts(&b, list.title, list.counts)
	}
	st.printStages(&b)
	fmt.Fprintf(&b, "\ndata plane %s, control plane %s, engine %s, polling %s, %s\n", pid(st.DataPlane), pid(st.ControlPlane), st.Engine, st.Poll, st.segment())
	_, err := out.Write(b.Bytes())
	return err
}

// printEncryption says how much is encrypted, in the clear and refused, and why.
func (st *Status) printEncryption(b *bytes.Buffer) {
	e := &st.Encryption
	fmt.Fprintf(b, "gateway %s between %s (inside) and %s (outside), policy %s, since %s\n\n",
		st.Name, st.Ports[0].Name, st.Ports[1].Name, st.Policy, st.Since.Format(time.DateTime))
	all, bytes := e.Encrypted+e.Plain+e.Refused, e.EncryptedBytes+e.PlainBytes
	if all == 0 {
		fmt.Fprintln(b, "no TCP connection has come through yet")
		return
	}
	fmt.Fprintf(b, "ENCRYPTED     %s of the connections (%d, %d of them now), %s of the data (%s)\n",
		human.Percent(e.Encrypted, all), e.Encrypted, e.EncryptedNow, human.Percent(e.EncryptedBytes, bytes), human.Bytes(e.EncryptedBytes))
	fmt.Fprintf(b, "              now %s sealed, %s opened, %s new a second\n", human.Rate(st.now.Sealed), human.Rate(st.now.Opened), human.PerSecond(st.now.Handshakes))
	if e.Plain > 0 {
		fmt.Fprintf(b, "IN THE CLEAR  %s of the connections (%d, %d of them now), %s, now %s\n", human.Percent(e.Plain, all), e.Plain, e.PlainNow, human.Bytes(e.PlainBytes), human.Rate(st.now.Clear))
		printReasons(b, st.Plain, "plain_")
	}
	if e.Refused > 0 {
		fmt.Fprintf(b, "REFUSED       %s of the connections (%d); linecrypt sessions --refused lists the latest\n", human.Percent(e.Refused, all), e.Refused)
		printReasons(b, st.Refusals, "refused_")
	}
}

// printReasons writes the counters that are not zero, the largest first, with the cause of each.
func printReasons(b *bytes.Buffer, counts []NamedCount, prefix string) {
	for _, c := range largest(counts) {
		cause := c.Help
		if _, because, found := strings.Cut(cause, " because "); found {
			cause = because
		}
		fmt.Fprintf(b, "%12d  %s: %s\n", c.Count, strings.TrimPrefix(c.Name, prefix), cause)
	}
}

// largest returns the counters that are not zero, the largest first.
func largest(counts []NamedCount) []NamedCount {
	list := slices.DeleteFunc(slices.Clone(counts), func(c NamedCount) bool { return c.Count == 0 })
	slices.SortStableFunc(list, func(a, b NamedCount) int { return cmp.Compare(b.Count, a.Count) })
	return list
}

// wrong says what is wrong with the processes and ports, a line each.
func (st *Status) wrong() (lines []string) {
	switch {
	case !st.DataPlane.Running:
		lines = append(lines, "the data plane does not run: nothing passes; start the gateway again")
	case st.DataPlane.Silent:
		lines = append(lines, fmt.Sprintf("the data plane gives no sign of life: nothing passes; end it with `kill -9 %d`, and start the gateway again",
			st.DataPlane.PID))
	case !st.Ready:
		lines = append(lines, "the data plane is not ready yet: nothing passes")
	}
	switch {
	case !st.ControlPlane.Running:
		lines = append(lines, "the control plane does not run: encrypted connections go on, new ones follow the policy")
	case st.ControlPlane.Silent:
		lines = append(lines, fmt.Sprintf("the control plane gives no sign of life: encrypted connections go on, new ones follow the policy; "+
			"`kill -9 %d` has it started again", st.ControlPlane.PID))
	}
	if st.KeyLog != "" {
		lines = append(lines, fmt.Sprintf("WARNING: the keys of new connections are written to %s; debug.key_log: off and `linecrypt reload` end that", st.KeyLog))
	}
	for _, p := range st.Ports {
		if p.Link == "down" || p.Link == "gone" {
			lines = append(lines, fmt.Sprintf("port %s (%s) is %s", p.Name, p.Side, p.Link))
		}
	}
	return lines
}

// printTrouble says what is wrong, and what to do.
func (st *Status) printTrouble(b *bytes.Buffer) {
	lines := st.wrong()
	told := map[string]bool{}
	for _, list := range [][]NamedCount{st.Drops, st.Aborts, st.Plain, st.Refusals, st.Overloads, st.Counters} {
		for _, c := range largest(list) {
			if text, bad := trouble.Advice(c.Name); bad && !told[c.Name] {
				told[c.Name] = true
				lines = append(lines, fmt.Sprintf("%d %s: %s", c.Count, c.Name, text))
			}
		}
	}
	if len(lines) == 0 {
		fmt.Fprintln(b, "\nTROUBLE       none")
		return
	}
	fmt.Fprintln(b, "\nTROUBLE")
	for _, line := range lines {
		fmt.Fprintln(b, "  "+line)
	}
}

func (st *Status) printPorts(b *bytes.Buffer) {
	table(b, "PORT\tNAME\tKIND\tLINK\tMTU\tQUEUES\tRECEIVED\tSENT\n", func(w io.Writer) {
		for _, p := range st.Ports {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%d\t%s, %s\t%s, %s\n", p.Side, p.Name, p.Kind, p.Link, p.MTU, p.Queues,
				human.Count(p.RxPackets, "packets"), human.Bytes(p.RxBytes), human.Count(p.TxPackets, "packets"), human.Bytes(p.TxBytes))
		}
	})
}

func (st *Status) printWorkers(b *bytes.Buffer) {
	table(b, "WORKER\tCORE\tBUSY NOW\tRECEIVED\tSENT\tFLOWS\n", func(w io.Writer) {
		for i, c := range st.Cores {
			if i < len(st.now.Workers) {
				c.Busy = st.now.Workers[i].Busy
			}
			fmt.Fprintf(w, "%d\t%s\t%.1f %%\t%s\t%s\t%d\n", c.Worker, coreName(c.Core), 100*c.Busy, human.Count(c.RxPackets, "packets"), human.Count(c.TxPackets, "packets"), c.Flows)
		}
	})
}

func (st *Status) printStages(b *bytes.Buffer) {
	if !slices.ContainsFunc(st.Stages, func(s StageStatus) bool { return s.Packets > 0 }) {
		return
	}
	table(b, "STAGE\tPACKETS\tCYCLES A PACKET\n", func(w io.Writer) {
		for _, s := range st.Stages {
			if s.Packets > 0 {
				fmt.Fprintf(w, "%s\t%s\t%.0f\n", s.Name, human.Count(s.Packets, ""), s.CyclesPerPacket)
			}
		}
	})
}

func (st *Status) printFlows(out io.Writer) {
	if st.Flows.Total == 0 {
		return
	}
	table(out, fmt.Sprintf("CONNECTIONS\t%d of %d\n", st.Flows.Total, st.Flows.Capacity), func(w io.Writer) {
		for state := flowtable.Free + 1; state < flowtable.NumStates; state++ {
			if n := st.Flows.States[state.String()]; n > 0 {
				fmt.Fprintf(w, "%v\t%d\n", state, n)
			}
		}
	})
}

// printCounts writes the counters that are not zero and no trouble.
func printCounts(out io.Writer, title string, counts []NamedCount) {
	list := slices.DeleteFunc(largest(counts), func(c NamedCount) bool {
		_, bad := trouble.Advice(c.Name)
		return bad
	})
	if len(list) == 0 {
		return
	}
	table(out, title+"\n", func(w io.Writer) {
		for _, c := range list {
			fmt.Fprintf(w, "%s\t%d\t%s\n", c.Name, c.Count, c.Help)
		}
	})
}

func pid(p ProcessState) string {
	if !p.Running {
		return "not running"
	}
	return fmt.Sprintf("pid %d", p.PID)
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
