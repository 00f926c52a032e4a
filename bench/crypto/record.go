package crypto

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

// Record is a committed result file: results with the machine, the command and the day they come from.
type Record struct {
	Machine Machine
	Command string
	Date    string // YYYY-MM-DD
	Runs    int    // of which each result is the median
	Results []Result
	// ManyKeys is what the fastest engine does with different numbers of keys, measured by itself: a peer's program leaves
	// the machine's caches of page tables, which a million keys live by, as if there had been none.
	ManyKeys []Result
}

// record is Record on disk, with a line for each result.
type record struct {
	Machine Machine         `json:"machine"`
	Command string          `json:"command"`
	Date    string          `json:"date"`
	Runs    int             `json:"runs"`
	Results json.RawMessage `json:"results"`
	Many    json.RawMessage `json:"many_keys"`
}

// ReadRecord reads a file that Write wrote.
func ReadRecord(name string) (*Record, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var f record
	if err := json.Unmarshal(text, &f); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	r := &Record{Machine: f.Machine, Command: f.Command, Date: f.Date, Runs: f.Runs}
	if err := json.Unmarshal(f.Results, &r.Results); err != nil {
		return nil, fmt.Errorf("%s: results: %w", name, err)
	}
	if err := json.Unmarshal(f.Many, &r.ManyKeys); err != nil {
		return nil, fmt.Errorf("%s: many_keys: %w", name, err)
	}
	return r, nil
}

// Write writes the record to a file.
func (r *Record) Write(name string) error {
	machine, err := json.Marshal(r.Machine)
	if err != nil {
		return err
	}
	command, err := json.Marshal(r.Command)
	if err != nil {
		return err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "{\n\"machine\": %s,\n\"command\": %s,\n\"date\": %q,\n\"runs\": %d,\n\"results\": ", machine, command, r.Date, r.Runs)
	if err := WriteJSON(&b, r.Results); err != nil {
		return err
	}
	b.WriteString(",\n\"many_keys\": ")
	if err := WriteJSON(&b, r.ManyKeys); err != nil {
		return err
	}
	b.WriteString("}\n")
	return os.WriteFile(name, []byte(b.String()), 0o644)
}
