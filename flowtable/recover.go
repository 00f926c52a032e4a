package flowtable

// Recover makes an attached table ready for changes by its new and only writer: buckets, counts and timer wheel are built
// again from the records, whatever the last writer was doing when it was killed. Records that it left half made are
// erased. Now is the monotonic clock in ns. The ledger chunks are not touched. It returns the number of flows taken over.
func (t *Table) Recover(now int64) int {
	t.hdr.counts = [NumStates]uint64{}
	t.hdr.wheel.reset(now)
	clear(t.buckets)
	t.free = make([]Index, 0, t.capacity)
	t.spare = make([]uint32, 0, t.overflow)
	for n := t.overflow; n > 0; n-- {
		t.spare = append(t.spare, n)
	}
	t.plain = make([]uint64, t.capacity/64+1)
	t.hand, t.lists = 0, [numLists]ends{}
	for n := t.capacity; n > 0; n-- {
		if i := Index(n); !t.readmit(i) {
			t.free = append(t.free, i)
		}
	}
	return t.Len()
}

// readmit enters a record that an earlier writer left into the index, or erases it and returns false.
func (t *Table) readmit(i Index) bool {
	r := t.Record(i)
	if r.State == Free || r.State >= NumStates || r.Hash != t.Hash(&r.Key) || t.Lookup(&r.Key, r.Hash) != 0 {
		r.erase()
		return false
	}
	state, deadline := r.State, r.Local.Timer.Deadline
	r.State, r.Local.Timer, r.Local.Age = Free, Timer{}, AgeLink{}
	t.SetState(i, state)
	t.link(i, r.Hash)
	if deadline > 0 {
		t.Arm(i, deadline)
	}
	return true
}
