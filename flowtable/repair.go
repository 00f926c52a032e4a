package flowtable

import (
	"errors"
	"fmt"
)

// ErrDamaged is wrapped by errors about records that cannot be made whole.
var ErrDamaged = errors.New("damaged record")

// Repair makes the record of a connection whole that another process was writing when it was killed, by the order of stores that
// Record tells: it goes by the acknowledged positions and the ledgers, and derives the rest. Frames that never left (pending, or
// entered and not yet counted) are forgotten, and frames that were acknowledged and still queued go. What only the last writer
// understood is cleared. The chunks must be those of the record's table. What Repair takes out of a ledger stays allocated: the
// caller, which goes through all records of a table, makes the list of free chunks anew.
//
// The error wraps ErrDamaged: the record is no connection that can go on.
func (r *Record) Repair(chunks Chunks) error {
	r.Local = Local{}
	if r.State == Free || r.State >= NumStates || r.Role > RoleB || r.Verdict >= NumPolicies {
		return fmt.Errorf("state %d, role %d, verdict %d: %w", r.State, r.Role, r.Verdict, ErrDamaged)
	}
	e, in := &r.Egress, &r.Ingress
	w, p, err := chunks.repair(&e.Queue, e.WUna, e.PUna)
	if err != nil {
		return fmt.Errorf("frames in flight to the far end: %w", err)
	}
	e.WNext, e.PNext = w, p
	if e.WAck < e.WUna || e.WAck > e.WNext {
		return fmt.Errorf("%d acknowledged of %d to %d: %w", e.WAck, e.WUna, e.WNext, ErrDamaged)
	}
	if w, p, err = chunks.repair(&in.Queue, in.WAckH, in.PAckH); err != nil {
		return fmt.Errorf("frames that the host has not acknowledged: %w", err)
	}
	in.WNext, in.WOpen, in.PNext = w, w, p
	if in.HostAck < in.PAckH || in.HostAck > in.PNext {
		return fmt.Errorf("%d acknowledged of %d to %d: %w", in.HostAck, in.PAckH, in.PNext, ErrDamaged)
	}
	return nil
}

// repair walks a ledger from the wire position w and the plaintext position p on, which everything before is acknowledged up to. It
// drops entries before w and cuts the ledger at the first one that is not whole, and returns the positions behind the last one.
func (c Chunks) repair(l *Ledger, w, p uint64) (wEnd, pEnd uint64, err error) {
	if l.Count == 0 {
		*l = Ledger{}
		return w, p, nil
	}
	if int(l.Count) > c.MaxEntryID() || l.Head >= ChunkEntries || l.Tail > ChunkEntries {
		return 0, 0, fmt.Errorf("%d entries, %d to %d: %w", l.Count, l.Head, l.Tail, ErrDamaged)
	}
	at := Ledger{First: l.First, Head: l.Head}
	chunk, next := l.First, l.Head
	for range l.Count {
		if next == ChunkEntries {
			chunk, next = c.mem[chunk].Next, 0
		}
		if chunk == 0 || int(chunk) >= len(c.mem) {
			break
		}
		en := &c.mem[chunk].Entries[next]
		end := en.WEnd + uint64(en.Flags&EntryFIN)
		if at.Count == 0 && end <= w {
			next++
			at.First, at.Head = chunk, next
			continue
		}
		if en.WEnd-uint64(en.Len) != w || en.Len == 0 || uint32(en.Over) > en.Len || en.Flags&EntryPending != 0 {
			break
		}
		w, p = end, p+uint64(en.Plain())+uint64(en.Flags&EntryFIN)
		next++
		at.Count++
		at.Last, at.Tail = chunk, next
	}
	if at.Count == 0 {
		*l = Ledger{}
		return w, p, nil
	}
	if at.Head == ChunkEntries {
		at.First, at.Head = c.mem[at.First].Next, 0
	}
	*l = at
	return w, p, nil
}
