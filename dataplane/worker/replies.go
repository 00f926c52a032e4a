package worker

import (
	"linecrypt/ctrlplane/resumption"
	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/dataplane/handshake"
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
		if shm.IsOrder(msg) {
			w.takeOrder(msg, now)
			w.cfg.Replies.Release()
			continue
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

// reply tells set-up of an answer, unless the connection it is about has gone or has asked something else since.
func (w *Worker) reply(rep *shm.Reply, now int64) {
	i := rep.Ref.Index
	r := w.table.Get(i, rep.Ref.Gen)
	if r == nil || rep.Ref.Worker != w.cfg.ID || r.Local.HsBlock == 0 || r.Rare.Request != rep.Seq ||
		r.Setup.Ask == 0 || r.Setup.Flags&(flowtable.SetupInit1|flowtable.SetupUnsent) != 0 {
		w.n[shm.RepliesStale]++
		return
	}
	if !answers(rep, r) {
		w.n[shm.RepliesBad]++
		return
	}
	w.step(i, r, nil, &handshake.Event{Kind: handshake.EventReply, Reply: rep.Kind, Hold: rep.Hold}, now)
}

// answers reports whether a reply is one to the question that is open.
func answers(a *shm.Reply, r *flowtable.Record) bool {
	s, resumes := r.State, r.Setup.Flags&flowtable.SetupResume != 0
	switch a.Kind {
	case shm.Init1:
		return s == flowtable.ActiveAnswer && !resumes
	case shm.Keys:
		return a.Resumed == resumes && (s == flowtable.ActiveKeys || s == flowtable.PassiveKeys || s == flowtable.ActiveAnswer && resumes)
	case shm.Pass, shm.Refuse, shm.Abort:
		return s == flowtable.ActiveAnswer || s == flowtable.ActiveKeys || s == flowtable.PassiveKeys
	}
	return false
}

// takeInit1 keeps what the control plane gave for ActiveAnswer.
func (w *Worker) takeInit1(r *flowtable.Record) {
	b, rep := &w.blocks.all[r.Local.HsBlock], &w.rep
	b.setSecret(rep.Secret)
	w.blocks.setInit(b, flowtable.RoleA, rep.Init)
	r.TEP, r.Role = rep.TEP, flowtable.RoleA
}

// sendInit1 starts the translator and sends ACK + ENO + Init1.
func (w *Worker) sendInit1(i flowtable.Index, r *flowtable.Record, now int64) handshake.Failure {
	agree(r)
	w.core.Start(i, r, now)
	r.Flags |= flowtable.FlagStarted
	b := &w.blocks.all[r.Local.HsBlock]
	if w.core.QueueInit(i, r, w.blocks.initOf(b, flowtable.RoleA), now, w.out) {
		return handshake.FailNone
	}
	w.core.Release(i, r)
	r.Flags &^= flowtable.FlagStarted
	r.ClearStreams()
	return handshake.FailBuffer
}

// startPassive starts the translator with the ACK that confirms ENO.
func (w *Worker) startPassive(i flowtable.Index, r *flowtable.Record, p *packet.Packet, now int64) {
	agree(r)
	r.Role = flowtable.RoleB
	r.Peer.Win = uint32(p.Win) << r.Peer.WScale
	if p.Opt.Has(packet.OptTimestamps) {
		r.Peer.TSVal = p.Opt.TSVal
	}
	if r.Setup.Flags&flowtable.SetupResume != 0 {
		w.core.StartResumed(i, r, now)
	} else {
		w.core.Start(i, r, now)
	}
	r.Flags |= flowtable.FlagStarted
}

// startResumed starts the translator of an active connection that resumes.
func (w *Worker) startResumed(i flowtable.Index, r *flowtable.Record, now int64) {
	agree(r)
	r.Role = flowtable.RoleA
	w.core.StartResumed(i, r, now)
	r.Flags |= flowtable.FlagStarted
}

// install puts the reply's keys in place, behind Init2 on the passive side. While they are held nothing is opened.
func (w *Worker) install(i flowtable.Index, r *flowtable.Record, hold bool, now int64) handshake.Failure {
	rep := &w.rep
	passive := r.Role == flowtable.RoleB
	if passive && !rep.Resumed && !w.core.QueueInit(i, r, rep.Init, now, w.out) {
		return handshake.FailBuffer
	}
	r.TEP, r.AEAD, r.Role = rep.TEP, rep.AEAD, rep.Role
	r.Rare.Rekey = w.rekeyLimits(w.ctl.RulesOf(r.Rule))
	keys := stream.Keys{AEAD: tcpcrypt.AEAD(rep.AEAD), Master: tcpcrypt.MasterKey(rep.Keys.Master), Egress: tcpcrypt.AB, Hold: hold}
	if rep.Role == flowtable.RoleB && !rep.Resumed || rep.SendsBA {
		keys.Egress = tcpcrypt.BA
	}
	r.Flags |= flowtable.FlagReported
	done := shm.HandshakesHeld
	if !hold {
		done = shm.HandshakesDone
		w.pairs.add(&r.Key, 1)
	}
	err := w.core.InstallKeys(i, r, &keys, now, w.out)
	keys.Master.Wipe()
	if err != nil {
		if !hold {
			w.pairs.add(&r.Key, -1)
		}
		return handshake.FailKeys
	}
	w.blocks.wipe(&w.blocks.all[r.Local.HsBlock])
	w.n[done]++
	took := max(now-r.Rare.Created, 0)
	w.n[shm.HandshakeBucket(took)]++
	w.n[shm.HandshakeNanos] += uint64(took)
	if rep.Resumed {
		w.cfg.Secrets.Spend(resumption.Handle(r.Setup.Resume), w.flow(i, r))
		w.n[shm.ResumeDone]++
	}
	return handshake.FailNone
}

// confirm goes on with a connection that was held.
func (w *Worker) confirm(i flowtable.Index, r *flowtable.Record, now int64) {
	w.pairs.add(&r.Key, 1)
	w.n[shm.HandshakesDone]++
	w.core.Confirm(i, r, now, w.out)
}

// rekeyLimits returns when the keys of a connection are replaced: as the rule says that it was decided on by.
func (w *Worker) rekeyLimits(rules *handshake.Rules) flowtable.RekeyLimits {
	t, c := &rules.Terms, &w.cfg.Stream
	return flowtable.RekeyLimits{
		Frames: rekeyLimit(t.RekeyFrames, c.RekeyFrames), Bytes: rekeyLimit(t.RekeyBytes, c.RekeyBytes),
		Time: rekeyLimit(uint64(t.RekeyTime), uint64(c.RekeyTime)),
	}
}

// never is the logarithm of a limit that is not reached.
const never = 63

// rekeyLimit returns a rule's limit as records have it, where it is not the gateway's; 0 is none.
func rekeyLimit(of, gateway uint64) uint8 {
	switch of {
	case gateway:
		return 0
	case 0:
		return never
	}
	return flowtable.Log2(of)
}
