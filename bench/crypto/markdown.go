package crypto

import (
	"fmt"
	"slices"
	"strings"
)

// Markers of the table in the document.
const (
	TableBegin = "<!-- crypto table: make bench-crypto-table -->"
	TableEnd   = "<!-- end of crypto table -->"
)

// Markdown is the record as the document has it: where it comes from, a table of million operations a second, of engines
// with the ratio to the faster of DPDK's drivers in brackets, and one of what the fastest engine does with many keys.
func (r *Record) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Measured on %s: %s. `%s`, medians of %d runs.\n\n", r.Date, r.Machine, r.Command, r.Runs)
	newTable(r.Results, "engine", func(x Result) string { return x.Engine }).write(&b)
	if len(r.ManyKeys) > 0 {
		fmt.Fprintf(&b, "\nEngine `%s` alone with several numbers of keys, each used in turn: a million are not in any cache.\n\n", r.ManyKeys[0].Engine)
		newTable(r.ManyKeys, "keys", func(x Result) string { return fmt.Sprint(x.Keys) }).write(&b)
	}
	return b.String()
}

// table is results by algorithm, operation and one more thing, with a column for each size.
type table struct {
	what  string
	of    func(Result) string
	rows  []Result // the first of each row, in the order of the results
	cells []Result
}

func newTable(results []Result, what string, of func(Result) string) table {
	t := table{what: what, of: of, cells: results}
	for _, x := range results {
		if !slices.ContainsFunc(t.rows, func(row Result) bool { return t.sameRow(row, x) }) {
			t.rows = append(t.rows, x)
		}
	}
	return t
}

func (t table) write(b *strings.Builder) {
	sizes := t.sizes()
	fmt.Fprintf(b, "| algorithm | | %s |", t.what)
	for _, s := range sizes {
		fmt.Fprintf(b, " %d |", s)
	}
	b.WriteString("\n| --- | --- | --- |" + strings.Repeat(" --- |", len(sizes)) + "\n")
	for _, row := range t.rows {
		fmt.Fprintf(b, "| %s | %s | %s |", row.Algo, row.Op, t.of(row))
		for _, s := range sizes {
			b.WriteString(" " + t.cell(row, s) + " |")
		}
		b.WriteString("\n")
	}
}

func (t table) sizes() []int {
	var sizes []int
	for _, x := range t.cells {
		if !slices.Contains(sizes, x.Size) {
			sizes = append(sizes, x.Size)
		}
	}
	slices.Sort(sizes)
	return sizes
}

func (t table) sameRow(a, b Result) bool {
	return a.Algo == b.Algo && a.Op == b.Op && t.of(a) == t.of(b)
}

func (t table) cell(row Result, size int) string {
	for _, x := range t.cells {
		if !t.sameRow(row, x) || x.Size != size {
			continue
		}
		if best := fasterDriver(t.cells, x); best > 0 && !isPeer(x.Engine) {
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
