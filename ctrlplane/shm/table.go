package shm

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

// ErrTable is wrapped by errors about the table of counters.
var ErrTable = errors.New("bad counter table")

// Table names the counters of a block. The data plane puts it together and writes it into the segment, where the control
// plane and the tools read it: it is the one list that metrics, status and documentation are made of.
type Table struct {
	infos [NumCounters]Info
}

// Group is a row of counters that a package names itself.
type Group struct {
	Base  Counter
	Infos []Info
}

// GroupOf makes a group of n counters from names and help texts. Unit and kind follow from the name: drop_ and abort_ in
// front, _bytes and _cycles at the end; everything else is an event. A name "" or "none" leaves the place unused.
func GroupOf(base Counter, n int, named func(i int) (name, help string)) Group {
	g := Group{Base: base, Infos: make([]Info, n)}
	for i := range g.Infos {
		name, help := named(i)
		info := Info{Name: name, Unit: "events", Help: help, Kind: KindEvent}
		switch {
		case name == "" || name == "none":
			info = Info{}
		case strings.HasPrefix(name, "drop_"):
			info.Unit, info.Kind = "packets", KindDrop
		case strings.HasPrefix(name, "abort_"):
			info.Unit, info.Kind = "connections", KindAbort
		case strings.HasSuffix(name, "_bytes"):
			info.Unit, info.Kind = "bytes", KindBytes
		case strings.HasSuffix(name, "_frames") || strings.HasSuffix(name, "_packets"):
			info.Unit, info.Kind = "packets", KindPackets
		case strings.HasSuffix(name, "_cycles"):
			info.Unit, info.Kind = "cycles", KindCycles
		}
		g.Infos[i] = info
	}
	return g
}

// NewTable returns the table of the counters of this package and of the groups. The error wraps ErrTable: a place or a name
// taken twice, a name that is not snake case, a text that is too long.
func NewTable(groups ...Group) (*Table, error) {
	t := new(Table)
	for s := range NumStages {
		t.infos[s.Packets()] = Info{"stage_" + s.String() + "_packets", "packets", "packets through stage " + s.String(), KindPackets}
		t.infos[s.Cycles()] = Info{"stage_" + s.String() + "_cycles", "cycles", "TSC cycles in stage " + s.String(), KindCycles}
	}
	copy(t.infos[RxInsidePackets:], ownInfos[RxInsidePackets:])
	for _, g := range groups {
		for i, info := range g.Infos {
			at := int(g.Base) + i
			if at >= NumCounters {
				return nil, fmt.Errorf("%s at place %d of %d: %w", info.Name, at, NumCounters, ErrTable)
			}
			if info == (Info{}) {
				continue
			}
			if t.infos[at].Kind != KindNone {
				return nil, fmt.Errorf("%s at the place of %s: %w", info.Name, t.infos[at].Name, ErrTable)
			}
			t.infos[at] = info
		}
	}
	return t, t.check()
}

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
	if c < NumCounters {
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
	tableBytes = NumCounters * infoBytes
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
