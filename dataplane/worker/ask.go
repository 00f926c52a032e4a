package worker

import (
	"linecrypt/ctrlplane/resumption"
	"linecrypt/ctrlplane/shm"
	"linecrypt/dataplane/handshake"
	"linecrypt/flowtable"
)

// ask puts a question to the control plane; what it needs for the answer is in the record and the block. Only the answer to the latest
// question counts. It comes to pollReplies.
func (w *Worker) ask(i flowtable.Index, r *flowtable.Record, kind shm.RequestKind, before *handshake.Conn) handshake.Failure {
	if r.Local.HsBlock == 0 {
		return handshake.FailNone
	}
	b := &w.blocks.all[r.Local.HsBlock]
	r.Rare.Request++
	q := &w.req
	*q = shm.Request{Kind: kind, Ref: w.ref(i, r), Seq: r.Rare.Request, Tuple: r.Key, Rule: r.Rule}
	q.ENOA, q.ENOB = enoOf(r, flowtable.RoleA), enoOf(r, flowtable.RoleB)
	q.Again = before.State == r.State && before.Flags&(flowtable.SetupUnsent|flowtable.SetupInit1) == 0
	switch kind {
	case shm.ActiveKeys:
		q.Secret, q.Init1, q.Init2 = b.secret[:b.nSecret], w.blocks.initOf(b, flowtable.RoleA), w.blocks.initOf(b, flowtable.RoleB)
	case shm.PassiveKeys:
		q.Init1 = w.blocks.initOf(b, flowtable.RoleA)
	case shm.ActiveResume, shm.PassiveResume:
		q.Resume = resumption.Handle(r.Setup.Resume)
	}
	if q.Again {
		w.n[shm.RequestsLost]++
	}
	if !w.cfg.Requests.SendRequest(q) {
		w.n[shm.RequestsDeferred]++
		return handshake.FailRing
	}
	w.n[shm.RequestsSent]++
	return handshake.FailNone
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
	w.req = shm.Request{Kind: shm.Closed, Reason: why, Ref: w.ref(i, r), Tuple: r.Key, Rule: r.Rule}
	if !w.cfg.Requests.SendRequest(&w.req) {
		w.n[shm.RequestsDeferred]++
	}
}
