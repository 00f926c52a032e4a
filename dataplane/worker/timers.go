package worker

import (
	"linecrypt/ctrlplane/shm"
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
		d = r.LastSeen + w.closingTime(r)
	}
	if r.Flags&flowtable.FlagStarted != 0 {
		if t := w.core.Deadline(r); t > 0 && t < d {
			d = t
		}
	}
	if r.Local.HsBlock != 0 {
		b := &w.blocks.all[r.Local.HsBlock]
		d = min(d, b.deadline)
		if b.ask != 0 {
			d = min(d, b.ask)
		}
	}
	return d
}

// plainDeadline is when a plain connection is forgotten. Under policy require a connection without a record does not pass, so
// that those which may be plain are remembered as long as an encrypted one.
func (w *Worker) plainDeadline(r *flowtable.Record) int64 {
	switch {
	case r.Rare.Linger != 0:
		return r.Rare.Linger
	case w.ctl.Policy() == flowtable.Require:
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
		if now >= w.plainDeadline(r) {
			w.remove(i, r)
			return
		}
	case flowtable.Closing:
		if now-r.LastSeen >= w.closingTime(r) {
			w.remove(i, r)
			return
		}
	case flowtable.Encrypted:
		if now-r.LastSeen >= w.params.FlowIdle {
			w.abort(i, r, shm.ReasonTimeout, now)
			return
		}
		if r.Local.HsBlock != 0 && now >= w.blocks.all[r.Local.HsBlock].deadline && !w.askHost(r, now) {
			w.abort(i, r, shm.ReasonTimeout, now)
			return
		}
	default:
		if w.expireSetup(i, r, now) {
			return
		}
	}
	w.schedule(i, r)
}

// askHost sends a host that has not answered its SYN-ACK for the whole time of set-up that SYN-ACK once more: if it has the
// connection it acknowledges. It reports false when that was done before.
func (w *Worker) askHost(r *flowtable.Record, now int64) bool {
	b := &w.blocks.all[r.Local.HsBlock]
	if b.asked > 0 || b.copy == nil {
		return false
	}
	b.asked++
	b.deadline = now + 3*w.params.Retransmit
	w.sendSynAckAgain(b)
	return true
}

// patience is how many times AskTimeout a connection that could still be plain waits more for a control plane that is alive.
const patience = 3

// expireSetup does what is due for a connection in set-up and reports whether it ended that.
func (w *Worker) expireSetup(i flowtable.Index, r *flowtable.Record, now int64) bool {
	b := &w.blocks.all[r.Local.HsBlock]
	if now >= b.deadline {
		if !committed(r) && w.ctl.Policy() != flowtable.Require {
			// Nobody answered, with or without ENO: nothing to reset.
			w.remove(i, r)
			return true
		}
		w.resetBoth(i, r, now)
		w.endSetup(i, r, shm.ReasonTimeout)
		return true
	}
	if b.ask == 0 || now < b.ask {
		return false
	}
	if !committed(r) && b.asked < patience && w.ctl.Alive(now) {
		// It is only busy: questions are answered in their order.
		b.asked++
		b.ask = now + b.interval
		return false
	}
	w.n[shm.RequestsLost]++
	switch r.State {
	case flowtable.ActiveOffer:
		w.fallBack(i, r, inside, now)
		return true
	case flowtable.PassiveOffer, flowtable.ActiveAnswer:
		w.fallBack(i, r, outside, now)
		return true
	}
	// ENO is confirmed: there is only waiting for a control plane to come back, until the deadline. Only the answer to the
	// latest question counts, because two answers may hold different keys and the control plane publishes those it gave last.
	b.asked++
	b.interval = min(2*b.interval, 8*w.params.AskTimeout)
	b.ask = now + b.interval
	r.Rare.Request++
	w.sendRequest(r, b)
	return false
}
