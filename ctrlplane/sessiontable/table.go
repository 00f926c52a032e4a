package sessiontable

import (
	"errors"
	"math/bits"

	"linecrypt/flowtable"
)

// ErrFull is returned when there is no room near an entry's place.
var ErrFull = errors.New("session table is full")

// maxProbe bounds a search, whatever is in memory. At the load of two thirds that slotsFor provides for, a run of full slots
// this long does not come about by chance.
const maxProbe = 512

// slotsFor returns the number of slots of a table for that many connections.
func slotsFor(capacity int) int { return capacity + capacity/2 + 64 }

// Table is a mapped session table.
type Table struct {
	file  file
	hdr   *header
	slots []slot
	key   [2]uint64 // of tupleHash
	count int       // writer: entries
	told  func(Change, *Entry)
}

// Capacity returns the number of connections the table was made for.
func (t *Table) Capacity() int { return int(t.file.capacity) }

// Len returns the number of entries. Only the writer may ask.
func (t *Table) Len() int { return t.count }

// at returns the index of the slot n places behind home.
func (t *Table) at(home, n int) int {
	i := home + n
	if i >= len(t.slots) {
		i -= len(t.slots)
	}
	return i
}

func (t *Table) home(key *flowtable.Key) int {
	hi, _ := bits.Mul64(tupleHash(key, t.key), uint64(len(t.slots)))
	return int(hi)
}

func (t *Table) probes() int { return min(maxProbe, len(t.slots)) }

// Lookup copies the entry of a connection to e and reports whether there is one. Key is seen from this gateway: inside is
// the host's end. A slot that is being written all the time, or was left half written by a writer that was killed, counts
// as not there.
func (t *Table) Lookup(key *flowtable.Key, e *Entry) bool {
	for range lookupTries {
		moves := t.hdr.moves.Load()
		if t.search(key, e) {
			return true
		}
		if t.hdr.moves.Load() == moves {
			break
		}
	}
	*e = Entry{}
	return false
}

// Find copies the entries of a key's addresses and ports, in whatever VLAN, to found, and returns how many there are; beyond len(found) it
// only counts. As with Lookup, what is being written all the time counts as not there.
func (t *Table) Find(key *flowtable.Key, found []Entry) int {
	n := 0
	for range lookupTries {
		moves := t.hdr.moves.Load()
		n = t.collect(key, found)
		if t.hdr.moves.Load() == moves {
			break
		}
	}
	return n
}

func (t *Table) collect(key *flowtable.Key, found []Entry) (n int) {
	var w image
	var e Entry
	wanted := *key
	home := t.home(key)
	for i := range t.probes() {
		if !t.slots[t.at(home, i)].read(&w) {
			continue
		}
		if w.kind() == slotEmpty {
			break
		}
		if w.kind() != slotUsed {
			continue
		}
		w.decode(&e)
		if wanted.VLAN = e.Tuple.VLAN; e.Tuple != wanted {
			continue
		}
		if n < len(found) {
			found[n] = e
		}
		n++
	}
	return n
}

// lookupTries bounds the searches of one Lookup while the writer moves entries.
const lookupTries = 16

func (t *Table) search(key *flowtable.Key, e *Entry) bool {
	var w image
	home := t.home(key)
	for n := range t.probes() {
		if !t.slots[t.at(home, n)].read(&w) {
			continue
		}
		if w.kind() == slotEmpty {
			return false
		}
		if w.kind() != slotUsed {
			continue
		}
		if w.decode(e); e.Tuple == *key {
			return true
		}
	}
	return false
}

// Range calls f for a copy of each entry until f returns false. The order means nothing. f must not change the
// table (see Reconcile); an entry that the writer of another process moves meanwhile may be missed or come twice.
func (t *Table) Range(f func(e *Entry) bool) {
	var w image
	var e Entry
	for i := range t.slots {
		if !t.slots[i].read(&w) || w.kind() != slotUsed {
			continue
		}
		w.decode(&e)
		if !f(&e) {
			return
		}
	}
}

// Insert publishes an entry, replacing the one of the same tuple. It returns ErrReader for a reader, and ErrFull when there
// is no room.
func (t *Table) Insert(e *Entry) error {
	if !t.file.writer {
		return ErrReader
	}
	i, found := t.place(&e.Tuple)
	if i < 0 {
		return ErrFull
	}
	if !found {
		t.count++
	}
	t.tellOfInsert(i, found, e)
	w := encode(e)
	t.slots[i].write(&w)
	return nil
}

// SetAuth changes what the entry of a connection says of the far end, if it is of that flow, and reports whether it was there.
func (t *Table) SetAuth(key *flowtable.Key, worker uint16, index flowtable.Index, gen uint32, a Auth) bool {
	if !t.file.writer {
		return false
	}
	var e Entry
	if !t.Lookup(key, &e) || e.Worker != worker || e.Index != index || e.Gen != gen {
		return false
	}
	e.Auth = a
	return t.Insert(&e) == nil
}

// Delete removes the entry of a connection if it is of that flow, and reports whether it was there. A newer connection of
// the same tuple is left alone.
func (t *Table) Delete(key *flowtable.Key, worker uint16, index flowtable.Index, gen uint32) bool {
	if !t.file.writer {
		return false
	}
	i, found := t.place(key)
	var w image
	var e Entry
	if !found || !t.slots[i].read(&w) {
		return false
	}
	if w.decode(&e); e.Worker != worker || e.Index != index || e.Gen != gen {
		return false
	}
	t.remove(i)
	t.tell(Closed, &e)
	return true
}

// Reconcile deletes the entries for which live returns false, and returns their number. A control plane calls it when it
// starts, and asks the flow tables: a record of another generation, or one that is not encrypted, is not live.
func (t *Table) Reconcile(live func(e *Entry) bool) int {
	if !t.file.writer {
		return 0
	}
	var w image
	var e Entry
	gone := 0
	for i := range t.slots {
		for t.slots[i].read(&w) && w.kind() == slotUsed {
			if w.decode(&e); live(&e) {
				break
			}
			t.remove(i)
			t.tell(Closed, &e)
			gone++
		}
	}
	return gone
}

// remove takes the entry of a slot out and closes the gap: entries behind it that may lie nearer to their place move up, so
// that searches stay short however long the table is in use. An entry is copied before its old slot changes; a writer that
// is killed in between leaves it twice, never not at all. Readers see by the count of moves that they may have missed one.
func (t *Table) remove(i int) {
	var w image
	var e Entry
	t.hdr.moves.Add(1)
	for n := 1; n < len(t.slots); n++ {
		j := t.at(i, n)
		if !t.slots[j].read(&w) {
			continue
		}
		if w.kind() == slotEmpty {
			break
		}
		if w.kind() != slotUsed {
			continue
		}
		if w.decode(&e); t.distance(t.home(&e.Tuple), j) >= n {
			t.slots[i].write(&w)
			i, n = j, 0
		}
	}
	t.slots[i].write(&image{slotEmpty})
	t.hdr.moves.Add(1)
	t.count--
}

// distance returns how far slot j lies behind slot i.
func (t *Table) distance(i, j int) int {
	if j < i {
		j += len(t.slots)
	}
	return j - i
}

// place returns the slot of a tuple and true, or the slot where it belongs and false; -1 when there is none.
func (t *Table) place(key *flowtable.Key) (int, bool) {
	var w image
	var e Entry
	vacant := -1
	home := t.home(key)
	for n := range t.probes() {
		i := t.at(home, n)
		if !t.slots[i].read(&w) {
			continue
		}
		if w.kind() == slotUsed {
			if w.decode(&e); e.Tuple == *key {
				return i, true
			}
			continue
		}
		if vacant < 0 {
			vacant = i
		}
		if w.kind() == slotEmpty {
			break
		}
	}
	return vacant, false
}

// mend makes slots usable in whose middle an earlier writer was killed, removes what it left twice, and counts the entries.
func (t *Table) mend() {
	var w image
	var e Entry
	t.count = 0
	for i := range t.slots {
		s := &t.slots[i]
		if s.broken() {
			s.write(&image{slotDeleted})
		}
		if s.read(&w) && w.kind() == slotUsed {
			t.count++
		}
	}
	for i := range t.slots {
		for t.slots[i].read(&w) && w.kind() == slotUsed {
			w.decode(&e)
			if first, found := t.place(&e.Tuple); found && first == i {
				break
			}
			t.remove(i)
		}
	}
}
