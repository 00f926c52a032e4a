package flowtable

// List is one of a table's lists of records by age. A record is in one at most; those in none are the established connections.
type List uint8

// The lists. Half-open records have a stock for openers inside and one for openers outside, in two parts each, so that an opener that
// nobody answered never displaces one that was answered.
const (
	NoList           List = iota
	InsideUnanswered      // half-open, opened by an inside host, not answered by the far end
	InsideAnswered        // half-open, opened by an inside host, answered
	OutsideUnanswered
	OutsideAnswered
	Tombs // connections that are over, which an end may not know
	Met   // connections that were met in the middle, and pass in the clear
	numLists
)

// HalfOpen returns the list of half-open records of an opener.
func HalfOpen(opener Side, answered bool) List {
	l := InsideUnanswered
	if opener == Outside {
		l = OutsideUnanswered
	}
	if answered {
		l++
	}
	return l
}

// ends are the two ends of a list and its length.
type ends struct {
	oldest, youngest Index
	n                uint32
}

// Enlist puts a record at the young end of a list and takes it out of the one it was in; NoList only does the latter.
func (t *Table) Enlist(i Index, l List) {
	r := t.Record(i)
	if r == nil || r.State == Free || l >= numLists {
		return
	}
	t.delist(r)
	if l == NoList {
		return
	}
	e, link := &t.lists[l], &r.Local.Age
	link.List, link.Older, link.Younger = l, e.youngest, 0
	if older := t.Record(e.youngest); older != nil {
		older.Local.Age.Younger = i
	} else {
		e.oldest = i
	}
	e.youngest = i
	e.n++
}

func (t *Table) delist(r *Record) {
	link := &r.Local.Age
	if link.List == NoList || link.List >= numLists {
		*link = AgeLink{}
		return
	}
	e := &t.lists[link.List]
	if older := t.Record(link.Older); older != nil {
		older.Local.Age.Younger = link.Younger
	} else {
		e.oldest = link.Younger
	}
	if younger := t.Record(link.Younger); younger != nil {
		younger.Local.Age.Older = link.Older
	} else {
		e.youngest = link.Older
	}
	e.n--
	*link = AgeLink{}
}

// Oldest returns the record that has been in a list longest, 0 when the list is empty.
func (t *Table) Oldest(l List) Index { return t.lists[l].oldest }

// Younger returns the record that entered its list next after i, 0 behind the youngest.
func (t *Table) Younger(i Index) Index {
	if r := t.Record(i); r != nil {
		return r.Local.Age.Younger
	}
	return 0
}

// Listed returns the number of records in a list.
func (t *Table) Listed(l List) int { return int(t.lists[l].n) }

// Established returns the number of records in no list.
func (t *Table) Established() int {
	n := t.Len()
	for l := range t.lists {
		n -= int(t.lists[l].n)
	}
	return n
}

// AgeLink links a record into one of the table's lists.
type AgeLink struct {
	Older, Younger Index
	List           List
	_              [3]byte
}
