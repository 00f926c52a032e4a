package sessiontable

// Change says what happens to an entry.
type Change uint8

// The changes.
const (
	Opened  Change = 1 + iota // a connection became encrypted
	Changed                   // more is known of it
	Closed                    // it is over
)

// String returns "open", "change" or "close".
func (c Change) String() string {
	switch c {
	case Opened:
		return "open"
	case Changed:
		return "change"
	case Closed:
		return "close"
	}
	return "invalid"
}

// Observe lets f be told of every change that this writer makes, from the goroutine that makes it; nil ends that. Entries that an earlier
// writer left are not told of. The entry is f's during the call.
func (t *Table) Observe(f func(Change, *Entry)) { t.told = f }

func (t *Table) tell(c Change, e *Entry) {
	if t.told != nil {
		t.told(c, e)
	}
}

// tellOfInsert tells of an entry that goes into slot i, and of the one that it takes the place of.
func (t *Table) tellOfInsert(i int, found bool, e *Entry) {
	if t.told == nil {
		return
	}
	var w image
	var old Entry
	c := Opened
	if found && t.slots[i].read(&w) {
		w.decode(&old)
		switch {
		case old == *e:
			return
		case old.Worker == e.Worker && old.Index == e.Index && old.Gen == e.Gen:
			c = Changed
		default:
			t.told(Closed, &old)
		}
	}
	t.told(c, e)
}
