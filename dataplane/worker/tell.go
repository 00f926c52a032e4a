package worker

import (
	"linecrypt/ctrlplane/outcome"
	"linecrypt/ctrlplane/shm"
	"linecrypt/flowtable"
)

// tell notes what became of a connection that is not encrypted, for whoever watches and for the list of refused ones.
func (w *Worker) tell(kind outcome.Kind, r *flowtable.Record, why shm.Counter, now int64) {
	w.note = outcome.Note{
		At: now, Created: r.Rare.Created, Key: r.Key, Rule: r.Rule, Why: uint16(why), Kind: kind, Verdict: r.Verdict,
		Active: r.Flags&(flowtable.FlagActive|flowtable.FlagMet) != 0,
	}
	w.notes.Write(&w.note)
}

// tellOver notes the end of a connection in the clear, at the first sign of it: the record may outlive it. One that was not decided on has no
// reason, and is not noted.
func (w *Worker) tellOver(r *flowtable.Record, now int64) {
	if why := shm.Counter(r.Rare.Abort); r.State == flowtable.Plain && r.Rare.Linger == 0 && why != shm.CounterNone {
		w.tell(outcome.Over, r, why, now)
	}
}
