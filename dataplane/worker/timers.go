package worker

import (
	"linecrypt/ctrlplane/shm"
	"linecrypt/dataplane/handshake"
	"linecrypt/flowtable"
)

// pollTimers does what time brought about and returns the number of flows concerned.
func (w *Worker) pollTimers(now int64) int {
	n := w.table.Expire(now, w.expired[:])
	for _, i := range w.expired[:n] {
		r := w.table.Record(i)
		if r == nil || r.State == flowtable.Free {
			continue
		}
		if !w.out.Room() {
			w.finish(now)
		}
		w.n[shm.TimersFired]++
		w.expire(i, r, now)
	}
	return n
}

// schedule makes the record's timer fire no later than anything it waits for.
func (w *Worker) schedule(i flowtable.Index, r *flowtable.Record) {
	if r.State == flowtable.Free {
		return
	}
	if d := w.deadline(r); r.Local.Timer.Slot == 0 || d < r.Local.Timer.Deadline {
		w.table.Arm(i, d)
	}
}

// deadline returns the earliest time at which something is due.
func (w *Worker) deadline(r *flowtable.Record) int64 {
	d := r.LastSeen + w.params.FlowIdle
	switch r.State {
	case flowtable.Plain:
		return w.plainDeadline(r)
	case flowtable.Closing:
		d = w.tombDeadline(r)
	case flowtable.Encrypted:
		if r.Local.HsBlock == 0 {
			break
		}
		fallthrough
	default:
		if t := handshake.Deadline(&r.Setup); t != 0 {
			d = min(d, t)
		}
	}
	if r.Flags&flowtable.FlagStarted != 0 {
		if t := w.core.Deadline(r); t > 0 && t < d {
			d = t
		}
	}
	return d
}

// plainDeadline is when a plain connection is forgotten. One that does not pass without its record is remembered as long as an
// encrypted one.
func (w *Worker) plainDeadline(r *flowtable.Record) int64 {
	switch {
	case r.Rare.Linger != 0:
		return r.Rare.Linger
	case needsRecord(r):
		return r.LastSeen + w.params.FlowIdle
	}
	return r.LastSeen + w.params.PlainIdle
}

// expire does what is due for a record.
func (w *Worker) expire(i flowtable.Index, r *flowtable.Record, now int64) {
	if r.Flags&flowtable.FlagStarted != 0 {
		if t := w.core.Deadline(r); t > 0 && t <= now {
			w.core.Timeout(i, r, now, w.out)
			w.finish(now)
			if r.State == flowtable.Free {
				return
			}
		}
	}
	switch r.State {
	case flowtable.Plain:
		if now >= w.plainDeadline(r) && (r.Rare.Linger != 0 || !w.spare(r)) {
			w.remove(i, r)
			return
		}
	case flowtable.Closing:
		if r.Flags&flowtable.FlagStarted == 0 && w.expireTomb(i, r, now) {
			return
		}
	default:
		if r.State == flowtable.Encrypted && now-r.LastSeen >= w.params.FlowIdle {
			w.abort(i, r, shm.AbortSilent, now)
			return
		}
		if t := handshake.Deadline(&r.Setup); t != 0 && now >= t {
			w.step(i, r, nil, &handshake.Event{Kind: handshake.EventTimer}, now)
			return
		}
	}
	w.schedule(i, r)
}
