package crypto

import (
	"fmt"
	"slices"
	"strings"
)

// Markers of the table in the README.
const (
	TableBegin = "<!-- crypto table: make bench-crypto-table -->"
	TableEnd   = "<!-- end of crypto table -->"
)

// Markdown is the record as the README has it: where it comes from, and a table of million operations a second, of engines
// with the ratio to the faster of DPDK's drivers in brackets.
func (r *Record) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Measured on %s: %s. `%s`, medians of %d runs.\n\n", r.Date, r.Machine, r.Command, r.Runs)
	sizes := r.sizes()
	b.WriteString("| algorithm | | engine |")
	for _, s := range sizes {
		fmt.Fprintf(&b, " %d |", s)
	}
	b.WriteString("\n| --- | --- | --- |" + strings.Repeat(" --- |", len(sizes)) + "\n")
	for _, row := range r.rows() {
		fmt.Fprintf(&b, "| %s | %s | %s |", row.Algo, row.Op, row.Engine)
		for _, s := range sizes {
			b.WriteString(" " + r.cell(row, s) + " |")
		}
		b.WriteString("\n")
	}
	return b.String()
}

func (r *Record) sizes() []int {
	var sizes []int
	for _, x := range r.Results {
		if !slices.Contains(sizes, x.Size) {
			sizes = append(sizes, x.Size)
		}
	}
	slices.Sort(sizes)
	return sizes
}

// rows returns the first result of each algorithm, operation and engine, in the order of the results.
func (r *Record) rows() []Result {
	var rows []Result
	for _, x := range r.Results {
		if !slices.ContainsFunc(rows, func(row Result) bool { return sameRow(row, x) }) {
			rows = append(rows, x)
		}
	}
	return rows
}

func sameRow(a, b Result) bool { return a.Algo == b.Algo && a.Op == b.Op && a.Engine == b.Engine }

func (r *Record) cell(row Result, size int) string {
	for _, x := range r.Results {
		if !sameRow(row, x) || x.Size != size {
			continue
		}
		if best := fasterDriver(r.Results, x); best > 0 && !isPeer(x.Engine) {
			return fmt.Sprintf("%.2f (%.2f)", x.Mops, x.Mops/best)
		}
		return fmt.Sprintf("%.2f", x.Mops)
	}
	return ""
}

// Insert puts the table between its markers in a text.
func (r *Record) Insert(text string) (string, error) {
	before, rest, found := strings.Cut(text, TableBegin)
	_, after, closed := strings.Cut(rest, TableEnd)
	if !found || !closed {
		return "", fmt.Errorf("no lines %q and %q", TableBegin, TableEnd)
	}
	return before + TableBegin + "\n\n" + r.Markdown() + "\n" + TableEnd + after, nil
}
