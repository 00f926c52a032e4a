package shm

import (
	"bytes"
	"errors"
	"fmt"
)

// ErrTable is wrapped by errors about the table of counters.
var ErrTable = errors.New("bad counter table")

// Table names the counters of a block. The data plane writes it into the segment, where the control plane and the tools read it.
type Table struct {
	infos [MaxCounters]Info
}

// NewTable returns the table of all counters of a data plane.
func NewTable() *Table {
	t := new(Table)
	for s := range NumStages {
		t.infos[s.Packets()] = Info{s.Packets().String(), "packets", "packets through stage " + s.String(), KindPackets}
		t.infos[s.Cycles()] = Info{s.Cycles().String(), "cycles", "TSC cycles in stage " + s.String(), KindCycles}
	}
	copy(t.infos[RxInsidePackets:], counterInfos[RxInsidePackets:])
	return t
}

// check refuses a table that another process may have damaged: a name taken twice or not in snake case, a text that is too long.
func (t *Table) check() error {
	seen := make(map[string]bool)
	for _, info := range t.infos {
		switch {
		case info == (Info{}):
			continue
		case info.Kind == KindNone || info.Kind >= endKinds:
			return fmt.Errorf("%q is of kind %d: %w", info.Name, info.Kind, ErrTable)
		case !snakeCase(info.Name):
			return fmt.Errorf("name %q: %w", info.Name, ErrTable)
		case seen[info.Name]:
			return fmt.Errorf("name %q twice: %w", info.Name, ErrTable)
		case len(info.Name) > nameRoom-1 || len(info.Unit) > unitRoom-1 || len(info.Help) > helpRoom-1:
			return fmt.Errorf("texts of %q are too long: %w", info.Name, ErrTable)
		}
		seen[info.Name] = true
	}
	return nil
}

func snakeCase(s string) bool {
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return s != "" && s[0] >= 'a' && s[0] <= 'z'
}

// Info returns what the counter counts; its Kind is KindNone when the place is not in use.
func (t *Table) Info(c Counter) Info {
	if c < MaxCounters {
		return t.infos[c]
	}
	return Info{}
}

// Range calls f for each counter in use, in the order of places, until f returns false.
func (t *Table) Range(f func(c Counter, info Info) bool) {
	for c, info := range t.infos {
		if info.Kind != KindNone && !f(Counter(c), info) {
			return
		}
	}
}

// Find returns the counter of that name.
func (t *Table) Find(name string) (Counter, bool) {
	for c, info := range t.infos {
		if info.Kind != KindNone && info.Name == name {
			return Counter(c), true
		}
	}
	return 0, false
}

// Each text in memory ends with a zero byte.
const (
	nameRoom   = 48
	unitRoom   = 16
	helpRoom   = 120
	infoBytes  = nameRoom + unitRoom + helpRoom + 8
	tableBytes = MaxCounters * infoBytes
)

// put writes the table to b, tableBytes long.
func (t *Table) put(b []byte) {
	clear(b[:tableBytes])
	for i := range t.infos {
		info, p := &t.infos[i], b[i*infoBytes:]
		copy(p[:nameRoom-1], info.Name)
		copy(p[nameRoom:nameRoom+unitRoom-1], info.Unit)
		copy(p[nameRoom+unitRoom:infoBytes-9], info.Help)
		p[infoBytes-8] = byte(info.Kind)
	}
}

// readTable reads the table that another process wrote to b, tableBytes long.
func readTable(b []byte) (*Table, error) {
	t := new(Table)
	for i := range t.infos {
		p := b[i*infoBytes : (i+1)*infoBytes]
		t.infos[i] = Info{
			Name: text(p[:nameRoom]),
			Unit: text(p[nameRoom : nameRoom+unitRoom]),
			Help: text(p[nameRoom+unitRoom : infoBytes-8]),
			Kind: Kind(p[infoBytes-8]),
		}
	}
	if err := t.check(); err != nil {
		return nil, err
	}
	return t, nil
}

// text returns what lies before the first zero byte, with everything that is not printable ASCII replaced.
func text(b []byte) string {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	b = bytes.Clone(b)
	for i, c := range b {
		if c < ' ' || c > '~' {
			b[i] = '?'
		}
	}
	return string(b)
}
