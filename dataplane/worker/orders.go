package worker

import (
	"linecrypt/ctrlplane/shm"
	"linecrypt/dataplane/handshake"
	"linecrypt/flowtable"
)

// takeOrder reads an order of the control plane's. What is malformed is counted among the bad replies.
func (w *Worker) takeOrder(msg []byte, now int64) {
	w.n[shm.OrdersReceived]++
	if w.order.Decode(msg) != nil {
		w.n[shm.RepliesBad]++
		return
	}
	w.obey(&w.order, now)
}

// obey carries an order out, unless the connection that it is about has gone. The keys of a connection come by the same ring, in front
// of every order about it.
func (w *Worker) obey(o *shm.Order, now int64) {
	i := o.Ref.Index
	r := w.table.Get(i, o.Ref.Gen)
	if r == nil || o.Ref.Worker != w.cfg.ID || r.Key != o.Tuple || !r.HasKeys() {
		w.n[shm.OrdersStale]++
		return
	}
	switch o.Kind {
	case shm.Confirm:
		w.step(i, r, nil, &handshake.Event{Kind: handshake.EventConfirm}, now)
	case shm.Rekey:
		if r.State != flowtable.Encrypted || !w.core.Rekey(i, r, now, w.out) {
			w.n[shm.OrdersRefused]++
		}
		w.schedule(i, r)
	case shm.Kill:
		w.abort(i, r, killCounter(o.Reason), now)
	}
}

// killCounter counts a connection that is killed for a reason.
func killCounter(why shm.Reason) shm.Counter {
	switch why {
	case shm.ReasonMismatch:
		return shm.AbortMismatch
	case shm.ReasonUnauthenticated:
		return shm.AbortUnauthenticated
	}
	return shm.AbortOrdered
}
