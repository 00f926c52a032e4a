package flowtable

const (
	tickShift  = 20 // a tick is 2^20 ns, 1.05 ms
	slotBits   = 8
	slotCount  = 1 << slotBits
	levels     = 4
	maxTicks   = 1<<(slotBits*levels) - 1 // 52 days; what is later is looked at again then
	expireWork = 512                      // ticks and moves of one Expire
)

// wheel is a hierarchical timer wheel. A slot of level n spans 256^n ticks; when its time begins, its timers move to the
// levels below. Heads of the lists are record indices; the links are in the records.
type wheel struct {
	tick  uint64 // the next tick to process; all earlier ones are done
	armed uint64 // timers in the wheel
	heads [levels][slotCount]Index
}

func (w *wheel) reset(now int64) { *w = wheel{tick: uint64(max(now, 0)) >> tickShift} }

// tickOf returns the first tick that begins at or after a deadline, so that no timer fires early.
func tickOf(deadline int64) uint64 {
	return (uint64(max(deadline, 0)) + 1<<tickShift - 1) >> tickShift
}

// Arm sets the record's only timer, replacing the deadline it had. Deadline is in ns of the monotonic clock, greater than 0.
// Moving a deadline to a later time costs a store: the timer stays in its slot and is moved when that slot comes up.
func (t *Table) Arm(i Index, deadline int64) {
	r := t.Record(i)
	if r == nil || r.State == Free {
		return
	}
	w := &t.hdr.wheel
	r.Local.Timer.Deadline = max(deadline, 1)
	if r.Local.Timer.Slot != 0 {
		if tickOf(deadline) >= w.tick+uint64(r.Local.Timer.At-uint32(w.tick)) {
			return
		}
		t.detach(r)
	}
	t.place(i, r)
}

// Disarm stops the record's timer, if one runs.
func (t *Table) Disarm(i Index) {
	r := t.Record(i)
	if r == nil {
		return
	}
	if r.Local.Timer.Slot != 0 {
		t.detach(r)
	}
	r.Local.Timer = Timer{}
}

// Expire stores into out the records whose deadlines are at or before now, in ns of the monotonic clock, and returns their
// number. Their timers are stopped. The work of a call is bounded: what is left over, when out is full or after a long
// pause, comes with the next call. Timers fire up to one tick (1.05 ms) late, never early.
func (t *Table) Expire(now int64, out []Index) int {
	w := &t.hdr.wheel
	target := uint64(max(now, 0)) >> tickShift
	n := 0
	for work := 0; w.tick <= target && work < expireWork; work++ {
		if w.armed == 0 {
			w.tick = target + 1
			break
		}
		slot := w.due()
		if slot == nil {
			w.tick++
			continue
		}
		if n == len(out) {
			break
		}
		i := *slot
		r := t.Record(i)
		if r == nil {
			*slot = 0
			continue
		}
		t.detach(r)
		if tickOf(r.Local.Timer.Deadline) > w.tick {
			t.place(i, r)
			continue
		}
		r.Local.Timer = Timer{}
		out[n] = i
		n++
	}
	return n
}

// due returns the list that has to be emptied before the current tick is over, nil when there is none. Higher levels come
// first: their timers may belong into the lists below.
func (w *wheel) due() *Index {
	for level := levels - 1; level >= 0; level-- {
		shift := uint(level * slotBits)
		if w.tick&(1<<shift-1) != 0 {
			continue
		}
		if slot := &w.heads[level][w.tick>>shift&(slotCount-1)]; *slot != 0 {
			return slot
		}
	}
	return nil
}

// place enters a record with its deadline into the wheel.
func (t *Table) place(i Index, r *Record) {
	w := &t.hdr.wheel
	at := max(tickOf(r.Local.Timer.Deadline), w.tick)
	at = min(at, w.tick+maxTicks)
	level := uint(0)
	for at-w.tick >= 1<<((level+1)*slotBits) {
		level++
	}
	number := uint32(at >> (level * slotBits) & (slotCount - 1))
	head := &w.heads[level][number]
	r.Local.Timer.At = uint32(at >> (level * slotBits) << (level * slotBits))
	r.Local.Timer.Slot = uint32(level)<<slotBits | number + 1
	r.Local.Timer.Prev, r.Local.Timer.Next = 0, *head
	if next := t.Record(*head); next != nil {
		next.Local.Timer.Prev = i
	}
	*head = i
	w.armed++
}

// detach takes a record out of the list it is in. Its deadline stays.
func (t *Table) detach(r *Record) {
	w := &t.hdr.wheel
	place := r.Local.Timer.Slot - 1
	if prev := t.Record(r.Local.Timer.Prev); prev != nil {
		prev.Local.Timer.Next = r.Local.Timer.Next
	} else if place < levels*slotCount {
		w.heads[place>>slotBits][place&(slotCount-1)] = r.Local.Timer.Next
	}
	if next := t.Record(r.Local.Timer.Next); next != nil {
		next.Local.Timer.Prev = r.Local.Timer.Prev
	}
	r.Local.Timer.Slot, r.Local.Timer.Prev, r.Local.Timer.Next = 0, 0, 0
	if w.armed > 0 {
		w.armed--
	}
}
