package worker

import (
	"linecrypt/ctrlplane/shm"
	"linecrypt/flowtable"
)

// ask puts a question to the control plane; what it needs for the answer is in the block. The answer comes to pollReplies.
func (w *Worker) ask(r *flowtable.Record, b *block, kind shm.RequestKind, now int64) {
	r.Rare.Request++
	b.kind, b.asked = kind, 0
	b.interval = w.params.AskTimeout
	b.ask = now + b.interval
	w.n[shm.RequestsSent]++
	w.sendRequest(r, b)
}

// sendRequest writes the block's open question to the ring. If there is no room the question is asked again in time.
func (w *Worker) sendRequest(r *flowtable.Record, b *block) {
	q := &w.req
	*q = shm.Request{Kind: b.kind, Ref: w.ref(b.flow, r), Seq: r.Rare.Request, Tuple: r.Key}
	switch b.kind {
	case shm.ActiveAnswer:
		q.ENOA, q.ENOB = b.enoOf(roleA), b.enoOf(roleB)
	case shm.PassiveOpen:
		q.ENOA = b.enoOf(roleA)
	case shm.ActiveKeys:
		q.ENOA, q.ENOB = b.enoOf(roleA), b.enoOf(roleB)
		q.Secret, q.Init1, q.Init2 = b.secret[:b.nSecret], b.initOf(roleA), b.initOf(roleB)
	case shm.PassiveKeys:
		q.ENOA, q.ENOB, q.Init1 = b.enoOf(roleA), b.enoOf(roleB), b.initOf(roleA)
	}
	if !w.cfg.Requests.SendRequest(q) {
		w.n[shm.RequestsDeferred]++
	}
}

func (w *Worker) ref(i flowtable.Index, r *flowtable.Record) shm.FlowRef {
	return shm.FlowRef{Worker: w.cfg.ID, Index: i, Gen: r.Gen}
}

// report tells the control plane that a connection it gave keys for is over. If the ring has no room the control plane
// finds out when it next compares its table with the flows.
func (w *Worker) report(i flowtable.Index, r *flowtable.Record, why shm.Reason) {
	if r.Flags&flowtable.FlagReported == 0 {
		return
	}
	r.Flags &^= flowtable.FlagReported
	w.req = shm.Request{Kind: shm.Closed, Reason: why, Ref: w.ref(i, r), Tuple: r.Key}
	if !w.cfg.Requests.SendRequest(&w.req) {
		w.n[shm.RequestsDeferred]++
	}
}

// initReady handles the peer's Init message, which the translator has put together.
func (w *Worker) initReady(i flowtable.Index, r *flowtable.Record, msg []byte, now int64) {
	if r.Local.HsBlock == 0 {
		return
	}
	b := &w.blocks.all[r.Local.HsBlock]
	switch r.State {
	case flowtable.ActiveInit:
		b.setInit(roleB, msg)
		w.table.SetState(i, flowtable.ActiveKeys)
		w.ask(r, b, shm.ActiveKeys, now)
	case flowtable.PassiveInit:
		b.setInit(roleA, msg)
		w.table.SetState(i, flowtable.PassiveKeys)
		w.ask(r, b, shm.PassiveKeys, now)
	default:
		return
	}
	w.schedule(i, r)
}
