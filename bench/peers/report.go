package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"

	"linecrypt/bench/packetpath"
	"linecrypt/bench/turns"
)

// row is a median.
type row struct {
	what
	Mpps     float64   `json:"mpps"` // million packets handled a second; of cryptobatch million operations
	NsPacket float64   `json:"ns_per_packet"`
	Rates    []float64 `json:"runs"`       // in the order of turns
	Core     float64   `json:"core_share"` // how much of the time it had the core at least, 0 to 1
	Failed   string    `json:"failed,omitempty"`
}

// ratio is the median of a figure over another one, each of the same turn: on a machine whose speed changes from turn to turn it
// depends less on that than the ratio of two medians.
type ratio struct {
	Name  string    `json:"name"`
	Case  string    `json:"case"`
	Size  int       `json:"size"`
	Value float64   `json:"value"`
	Turns []float64 `json:"runs"` // in the order of turns
}

// report is all that a run has found.
type report struct {
	Machine string    `json:"machine"`
	Runs    int       `json:"runs"`
	Mix     string    `json:"mix"`
	Rows    []row     `json:"rows"`
	Ratios  []ratio   `json:"ratios"`
	Missing []missing `json:"missing"`
}

func newReport(machine string, runs int, jobs []*job, left []missing) report {
	r := report{Machine: machine, Runs: runs, Mix: fmt.Sprintf("%d data segments to one acknowledgement", dataPerAck), Missing: left}
	for _, j := range jobs {
		line := row{what: j.what, Rates: j.rates, Core: j.core}
		if len(j.rates) > 0 {
			line.Mpps = turns.Median(j.rates)
			line.NsPacket = 1e3 / line.Mpps
		}
		if j.failed != nil {
			line.Failed = j.failed.Error()
		}
		r.Rows = append(r.Rows, line)
	}
	r.Ratios = ratios(r.Rows)
	return r
}

// ratios makes those that can be made of the rows.
func ratios(rows []row) (all []ratio) {
	add := func(name string, share float64, r row, other what) {
		i := slices.IndexFunc(rows, func(r row) bool { return r.what == other })
		if i < 0 {
			return
		}
		x := ratio{Name: name, Case: string(r.Case), Size: r.Size}
		for _, of := range turns.Ratios(r.Rates, rows[i].Rates) {
			x.Turns = append(x.Turns, share*of)
		}
		if len(x.Turns) > 0 {
			x.Value = turns.Median(x.Turns)
			all = append(all, x)
		}
	}
	for _, r := range rows {
		switch {
		case r.Name == linecrypt && r.Flows == 1, r.Name == warm:
			add(r.Name+" / "+secgwName, 1, r, what{secgwName, packetpath.Seal, 1, r.Size})
			add(r.Name+" / "+testpmdName, 1, r, what{testpmdName, "forward", 1, r.Size})
		case r.Name == linecrypt:
			add(fmt.Sprintf("%d flows / 1 flow", r.Flows), 1, r, what{linecrypt, r.Case, 1, r.Size})
			if r.Flows == aeadKeys {
				const segments = float64(dataPerAck) / (dataPerAck + 1)
				for _, name := range []string{aeadName, coldAEADName} {
					add(fmt.Sprintf("segments of %d flows / operations of %s", r.Flows, name), segments, r, what{name, r.Case, aeadKeys, r.Size})
				}
			}
		}
	}
	return all
}

func (r report) writeJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// failed returns an error where something that was to be measured failed.
func (r report) failed() error {
	n := 0
	for _, row := range r.Rows {
		if row.Failed != "" {
			n++
		}
	}
	if n > 0 {
		return fmt.Errorf("%d of %d measurements failed", n, len(r.Rows))
	}
	return nil
}

func (r report) writeText(w io.Writer) error {
	fmt.Fprintf(w, "%s\n%s, one core, medians of %d runs in turns\n\n", r.Machine, r.Mix, r.Runs)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "what\tcase\tflows\tbytes\tMpps\tns/packet\tlowest\thighest\tcore")
	for _, row := range r.Rows {
		if len(row.Rates) == 0 {
			fmt.Fprintf(t, "%s\t%s\t%d\t%d\tfailed\n", row.Name, row.Case, row.Flows, row.Size)
			continue
		}
		fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%.2f\t%.1f\t%.2f\t%.2f\t%.0f%%\n", row.Name, row.Case, row.Flows, row.Size, row.Mpps, row.NsPacket, slices.Min(row.Rates), slices.Max(row.Rates), 100*row.Core)
	}
	fmt.Fprintln(t, "\nratio, median of the turns'\tcase\tbytes\t\tlowest\thighest\t")
	for _, x := range r.Ratios {
		fmt.Fprintf(t, "%s\t%s\t%d\t%.2f\t%.2f\t%.2f\t\n", x.Name, x.Case, x.Size, x.Value, slices.Min(x.Turns), slices.Max(x.Turns))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, m := range r.Missing {
		fmt.Fprintf(w, "\nleft out: %s: %s\n", m.Name, m.Why)
	}
	for _, row := range r.Rows {
		if row.Failed != "" {
			fmt.Fprintf(w, "\nfailed behind %d runs: %v: %s\n", len(row.Rates), row.what, row.Failed)
		}
	}
	return nil
}
