package outcome

import (
	"cmp"
	"slices"
)

// Reader reads a region's notes in order. A region may have many.
type Reader struct {
	r    *region
	next uint64
}

// NewReader makes a reader of what is written from now on; of none, one that never finds anything.
func NewReader(r Region) *Reader {
	d := &Reader{r: r.mem}
	if d.r != nil {
		d.next = d.r.written.Load()
	}
	return d
}

// Read returns what was written since the last time, in order, and how many notes were written over before they could be read.
func (d *Reader) Read() (notes []Note, lost uint64) {
	if d.r == nil {
		return nil, 0
	}
	until := d.r.written.Load()
	if until == d.next {
		return nil, 0
	}
	found := d.r.between(d.next, until)
	lost = until - d.next - uint64(len(found))
	d.next = until
	return found, lost
}

// Refused returns the notes of refused connections that are still there, the oldest first.
func (r Region) Refused() []Note {
	if r.mem == nil {
		return nil
	}
	return slices.DeleteFunc(r.mem.between(0, r.mem.written.Load()), func(n Note) bool { return n.Kind != Refused })
}

// between copies the notes numbered from after+1 to until that are whole.
func (m *region) between(after, until uint64) []Note {
	type numbered struct {
		number uint64
		note   Note
	}
	var found []numbered
	for i := range m.slots {
		s := &m.slots[i]
		number := s.number.Load()
		if number <= after || number > until {
			continue
		}
		note := s.note
		if s.number.Load() == number {
			found = append(found, numbered{number, note})
		}
	}
	slices.SortFunc(found, func(a, b numbered) int { return cmp.Compare(a.number, b.number) })
	notes := make([]Note, len(found))
	for i := range found {
		notes[i] = found[i].note
	}
	return notes
}
