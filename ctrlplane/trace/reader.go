package trace

// Reader takes the events of a region in order.
type Reader struct {
	r    *region
	next uint64
}

// NewReader makes a reader of what is written from now on.
func NewReader(r Region) *Reader { return &Reader{r: r.mem, next: r.mem.written.Load()} }

// Next copies the next event to e and reports whether there is one. Lost is how many before it were overwritten.
func (d *Reader) Next(e *Event) (ok bool, lost uint64) {
	for {
		n := d.r.written.Load()
		if n == d.next {
			return false, lost
		}
		if n-d.next > Events {
			lost += n - Events - d.next
			d.next = n - Events
		}
		s := &d.r.ring[d.next%Events]
		if s.turn.Load() == d.next+1 {
			*e = s.event
			if s.turn.Load() == d.next+1 {
				d.next++
				return true, lost
			}
		}
		lost++ // the worker is writing over it
		d.next++
	}
}
