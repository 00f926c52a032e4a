package worker

import (
	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/dataplane/packet"
	"linecrypt/dataplane/stream"
	"linecrypt/flowtable"
)

// replyBurst is how many answers a poll takes.
const replyBurst = 32

// pollReplies takes what the control plane answered.
func (w *Worker) pollReplies(now int64) int {
	n := 0
	for ; n < replyBurst; n++ {
		msg, err := w.cfg.Replies.Peek()
		if err != nil {
			w.n[shm.RingResets]++
			continue
		}
		if msg == nil {
			break
		}
		if !w.out.Room() {
			w.finish(now)
		}
		w.n[shm.RepliesReceived]++
		if w.rep.Decode(msg) == nil {
			w.reply(&w.rep, now)
		} else {
			w.n[shm.RepliesBad]++
		}
		w.rep.Erase()
		w.cfg.Replies.Release()
	}
	return n
}

// reply acts on an answer, unless the connection it is about has gone or has asked something else since.
func (w *Worker) reply(rep *shm.Reply, now int64) {
	i := rep.Ref.Index
	r := w.table.Get(i, rep.Ref.Gen)
	if r == nil || rep.Ref.Worker != w.cfg.ID || r.Local.HsBlock == 0 || r.Rare.Request != rep.Seq || w.blocks.all[r.Local.HsBlock].ask == 0 {
		w.n[shm.RepliesStale]++
		return
	}
	b := &w.blocks.all[r.Local.HsBlock]
	if !answers(rep.Kind, b.kind) {
		w.n[shm.RepliesBad]++
		return
	}
	b.ask = 0
	switch rep.Kind {
	case shm.Offer:
		w.offered(i, r, b, rep, now)
	case shm.Init1:
		w.sendInit1(i, r, rep, now)
	case shm.Keys:
		w.install(i, r, b, rep, now)
	case shm.Pass:
		w.passed(i, r, now)
	case shm.Refuse:
		w.refuse(i, r, now)
	case shm.Abort:
		w.resetBoth(i, r, now)
		w.endSetup(i, r, rep.Reason)
	}
}

// answers reports whether a reply of kind a is one to a request of kind q.
func answers(a shm.ReplyKind, q shm.RequestKind) bool {
	switch a {
	case shm.Offer:
		return q == shm.ActiveOpen || q == shm.PassiveOpen
	case shm.Init1:
		return q == shm.ActiveAnswer
	case shm.Keys:
		return q == shm.ActiveKeys || q == shm.PassiveKeys
	}
	return true
}

// endSetup ends a connection in set-up that was reset.
func (w *Worker) endSetup(i flowtable.Index, r *flowtable.Record, why shm.Reason) {
	if r.Flags&flowtable.FlagStarted == 0 {
		w.remove(i, r)
		return
	}
	w.over(i, r, why)
}

// offered goes on with the SYN that was held.
func (w *Worker) offered(i flowtable.Index, r *flowtable.Record, b *block, rep *shm.Reply, now int64) {
	m := b.held
	b.held = nil
	p := &w.scratch
	if m == nil {
		return
	}
	if p.Parse(m) != packet.TCP {
		w.drop(p, shm.DropHandshake)
		return
	}
	switch r.State {
	case flowtable.ActiveOffer:
		b.setENO(roleA, rep.ENO)
		w.table.SetState(i, flowtable.ActiveSyn)
		w.sendOffer(p, i, r, b, now)
	case flowtable.PassiveOffer:
		b.setENO(roleB, rep.ENO)
		w.forwardSYN(p, i, r, now)
	default:
		w.drop(p, shm.DropHandshake)
	}
}

// passed leaves a connection in the clear because the control plane said so.
func (w *Worker) passed(i flowtable.Index, r *flowtable.Record, now int64) {
	switch r.State {
	case flowtable.ActiveOffer:
		w.fallBack(i, r, inside, now)
	case flowtable.ActiveAnswer, flowtable.PassiveOffer:
		w.fallBack(i, r, outside, now)
	default:
		// Once ENO is confirmed there is no way back to plaintext (RFC 8547 section 4.6).
		w.resetBoth(i, r, now)
		w.endSetup(i, r, shm.ReasonInternal)
	}
}

// install puts keys in place and lets the host know of its connection.
func (w *Worker) install(i flowtable.Index, r *flowtable.Record, b *block, rep *shm.Reply, now int64) {
	active := r.State == flowtable.ActiveKeys
	if !active && r.State != flowtable.PassiveKeys {
		return
	}
	if !active && !w.core.QueueInit(i, r, rep.Init, now, w.out) {
		b.ask = now + w.params.AskTimeout
		return
	}
	r.TEP, r.AEAD, r.Role = rep.TEP, rep.AEAD, rep.Role
	keys := stream.Keys{AEAD: tcpcrypt.AEAD(rep.AEAD), Master: tcpcrypt.MasterKey(rep.Keys.Master), Egress: tcpcrypt.AB}
	if rep.Role == flowtable.RoleB {
		keys.Egress = tcpcrypt.BA
	}
	r.Flags |= flowtable.FlagReported
	w.table.SetState(i, flowtable.Encrypted)
	w.pairs.add(&r.Key, 1)
	w.n[shm.HandshakesDone]++
	err := w.core.InstallKeys(i, r, &keys, now, w.out)
	keys.Master.Wipe()
	if err != nil {
		w.over(i, r, shm.ReasonInternal)
		return
	}
	if active {
		// The host must have the SYN-ACK before what came behind Init2.
		w.releaseSynAck(i, r)
		copied := b.copy
		b.copy = nil
		b.wipe()
		b.copy, b.flow = copied, i
		b.deadline = now + w.params.Timeout
	} else {
		w.ackHost(r)
		w.freeBlock(r)
	}
	w.schedule(i, r)
}
