package worker

import (
	"encoding/binary"

	"linecrypt/ctrlplane/outcome"
	"linecrypt/ctrlplane/policy"
	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/dataplane/handshake"
	"linecrypt/dataplane/packet"
	"linecrypt/dataplane/stream"
	"linecrypt/flowtable"
)

// setup tells set-up of a segment, whose checksum is right.
func (w *Worker) setup(s flowtable.Side, p *packet.Packet, i flowtable.Index, r *flowtable.Record, now int64) {
	e := handshake.Event{Kind: handshake.EventSegment, Takes: w.pairs.encrypted(&r.Key)}
	readSegment(&e.Seg, s, p)
	if r.Flags&flowtable.FlagStarted != 0 {
		e.Expect = stream.Exact(r, flowtable.Outside)
	}
	if r.Setup.Resume != 0 && r.State == flowtable.ActiveSyn {
		w.claimed(&e.Resume, i, r)
	}
	w.step(i, r, p, &e, now)
}

// readSegment writes down what set-up reads of a segment.
func readSegment(seg *handshake.Segment, s flowtable.Side, p *packet.Packet) {
	*seg = handshake.Segment{
		From: s, Flags: p.Flags, Seq: p.Seq, Ack: p.Ack, Win: uint32(p.Win), Payload: int(p.PayloadLen),
		Malformed: p.Opt.Malformed, Binding: p.Opt.HasAny(packet.OptBinding), Long: int(p.Payload) > keptRoom,
	}
	if p.Opt.HasAny(packet.OptENO) {
		seg.ENOs = max(p.Opt.ENOCount, 1)
		seg.ENO = p.ENO()
	}
	if s == flowtable.Outside {
		seg.Frames = wholeFrames(p.PayloadBytes())
		seg.Init = p.PayloadLen >= 4 && binary.BigEndian.Uint32(p.PayloadBytes()) == uint32(tcpcrypt.KindInit1)
		return
	}
	if p.Flags&packet.FlagSYN == 0 || p.M.HeadroomLen() < packet.MaxOptions {
		return
	}
	seg.Room = p.OptionRoom()
	if hasCookie(p) {
		seg.Room += int(p.Opt.TFOLen) + 2
	}
}

// step tells set-up what happened to a connection, and carries out what it says. P is the event's segment.
func (w *Worker) step(i flowtable.Index, r *flowtable.Record, p *packet.Packet, e *handshake.Event, now int64) {
	m := w.steps.enter(e)
	load(&m.c, r)
	w.stepFrom(i, r, p, m, now)
	w.steps.leave()
}

// begin is step for a connection that set-up knows nothing of yet. It returns the state that the connection is in then.
func (w *Worker) begin(i flowtable.Index, r *flowtable.Record, p *packet.Packet, e *handshake.Event, now int64) flowtable.State {
	m := w.steps.enter(e)
	m.c = handshake.Conn{}
	w.stepFrom(i, r, p, m, now)
	w.steps.leave()
	return m.c.State
}

func (w *Worker) stepFrom(i flowtable.Index, r *flowtable.Record, p *packet.Packet, m *stepRoom, now int64) {
	c, e, out, before := &m.c, &m.e, &m.out, &m.before
	e.Rules, e.Alive = w.ctl.RulesOf(r.Rule), w.ctl.Alive(now)
	*before = *c
	gen := r.Gen
	w.machine.Step(c, e, now, out)
	for {
		w.store(i, r, c)
		failed := w.perform(i, r, before, e, p, out, now)
		if failed == handshake.FailNone {
			break
		}
		if failed != handshake.FailRing {
			*c = *before
			w.store(i, r, c)
			if r.Local.HsBlock != 0 && !before.HasBlock {
				w.freeBlock(r)
			}
		}
		e.Kind, e.Failure = handshake.EventFailure, failed
		if failed == handshake.FailPlace {
			e.ByRecord = w.passesByRecord(&r.Key)
			e.Rules = w.ctl.RulesOf(r.Rule)
		}
		w.machine.Step(c, e, now, out)
	}
	if r.Gen == gen && r.State != flowtable.Free {
		if r.State == flowtable.Plain && before.State != flowtable.Plain {
			w.tell(outcome.Plain, r, shm.Counter(r.Rare.Abort), now)
			w.beginPlain(e.Seg.From, p, r)
		}
		w.schedule(i, r)
	}
}

// load reads what set-up knows of a connection from its record.
func load(c *handshake.Conn, r *flowtable.Record) {
	*c = handshake.Conn{
		State: r.State, Policy: r.Verdict, Active: r.Flags&flowtable.FlagActive != 0,
		HostKnown: r.Host.Flags&flowtable.EndpointSYN != 0, PeerKnown: r.Peer.Flags&flowtable.EndpointSYN != 0,
		SendENO: r.Flags&flowtable.FlagSendENO != 0, Held: r.Flags&flowtable.FlagHeld != 0, HasBlock: r.Local.HsBlock != 0,
		PeerENO: r.Flags&flowtable.FlagPeerENO != 0,
		HostISN: r.Host.ISN, PeerISN: r.Peer.ISN, HostWin: r.Host.Win, Setup: r.Setup,
	}
}

// store writes it back. What the SYNs said is learnt by an action; a connection that is over becomes so by one too.
func (w *Worker) store(i flowtable.Index, r *flowtable.Record, c *handshake.Conn) {
	r.Verdict, r.Setup = c.Policy, c.Setup
	r.Flags &^= flowtable.FlagActive | flowtable.FlagSendENO | flowtable.FlagWatch | flowtable.FlagHeld | flowtable.FlagPeerENO
	if c.PeerENO {
		r.Flags |= flowtable.FlagPeerENO
	}
	if c.Held {
		r.Flags |= flowtable.FlagHeld
	}
	if c.Flags&flowtable.SetupWatch != 0 {
		r.Flags |= flowtable.FlagWatch
	}
	if c.Active {
		r.Flags |= flowtable.FlagActive
	}
	if c.SendENO {
		r.Flags |= flowtable.FlagSendENO
	}
	if c.State != r.State && c.State != flowtable.Closing && c.State != flowtable.Free {
		w.table.SetState(i, c.State)
	}
}

// perform carries out actions in order. It stops at one that cannot be done and says why.
func (w *Worker) perform(i flowtable.Index, r *flowtable.Record, before *handshake.Conn, e *handshake.Event, p *packet.Packet, out *handshake.Actions, now int64) handshake.Failure {
	var why shm.Counter
	for _, a := range out.All() {
		failed := handshake.FailNone
		switch a.Kind {
		case handshake.ActForward, handshake.ActForwardENO, handshake.ActForwardBare, handshake.ActForwardLean,
			handshake.ActTranslate, handshake.ActDrop, handshake.ActRefuseSYN, handshake.ActAnswerRST, handshake.ActReopen, handshake.ActKeep:
			failed = w.dispose(a, i, r, before, e.Seg.From, p, now)
		case handshake.ActLearn:
			w.learnFrom(e.Seg.From, r, p)
		case handshake.ActAnswered:
			w.graves.close(&r.Key, r.Hash)
			w.answered(i, r)
		case handshake.ActEstablish:
			if !w.establish(i, r, now) {
				failed = handshake.FailPlace
			}
		case handshake.ActBlock:
			if !w.takeBlock(i, r, now) {
				failed = handshake.FailBlock
			}
		case handshake.ActFreeBlock:
			w.freeBlock(r)
		case handshake.ActAsk:
			failed = w.ask(i, r, a.Ask, before)
		case handshake.ActStart:
			if r.Flags&flowtable.FlagActive != 0 {
				w.startResumed(i, r, now)
			} else {
				w.startPassive(i, r, p, now)
			}
		case handshake.ActClaim:
			failed = w.claim(i, r)
		case handshake.ActDisown:
			w.disown(i, r, before.Resume)
		case handshake.ActTakeInit1:
			w.takeInit1(r)
		case handshake.ActInit1:
			failed = w.sendInit1(i, r, now)
		case handshake.ActKeys, handshake.ActHoldKeys:
			if failed = w.install(i, r, a.Kind == handshake.ActHoldKeys, now); failed == handshake.FailNone {
				w.verdict(r, policy.Encrypted)
			}
		case handshake.ActConfirm:
			w.confirm(i, r, now)
		case handshake.ActPlain:
			w.n[a.Why]++
			r.Rare.Abort = uint16(a.Why)
			if a.Why == shm.PlainDisabled {
				w.verdict(r, policy.Off)
			} else {
				w.verdict(r, policy.Clear)
			}
			if before.State != flowtable.Free {
				w.n[shm.HandshakesFallback]++
			}
			if a.Why == shm.PlainSynUnanswered {
				w.n[shm.SynWithoutENO]++
			}
		case handshake.ActRefuse:
			w.n[a.Why]++
			w.verdict(r, policy.Refused)
			w.n[shm.HandshakesRefused]++
			why = a.Why
			w.tell(outcome.Refused, r, why, now)
		case handshake.ActAbort:
			w.n[a.Why]++
			if before.State != flowtable.Encrypted {
				w.verdict(r, policy.Refused)
				w.tell(outcome.Refused, r, a.Why, now)
			}
			w.n[shm.HandshakesAborted]++
			why = a.Why
		case handshake.ActCount:
			w.n[a.Why]++
		case handshake.ActClose:
			if a.Why != shm.CounterNone {
				w.n[shm.HandshakesAborted]++
				why = a.Why
			}
			w.close(i, r, why)
		case handshake.ActForget:
			w.remove(i, r)
		case handshake.ActHates:
			w.hatesENO(r, a.Why, now)
		case handshake.ActAccepts:
			w.hates.accepts(&r.Key.Outside, w.n)
		case handshake.ActAckPeer, handshake.ActAckHost:
			if e.Kind != handshake.EventSegment || w.mayAnswer(a.Kind, r, now) {
				w.sendOwn(a.Kind, i, r, now)
			}
		default:
			w.sendOwn(a.Kind, i, r, now)
		}
		if failed != handshake.FailNone {
			return failed
		}
	}
	return handshake.FailNone
}

// mayAnswer reports whether a segment is answered by an acknowledgement of the gateway's own. That is a challenge: whoever knows the ends of a
// connection can bring such segments in.
func (w *Worker) mayAnswer(kind handshake.ActionKind, r *flowtable.Record, now int64) bool {
	to := outside
	if kind == handshake.ActAckHost {
		to = inside
	}
	return w.core.MayChallenge(r, to, now)
}

// verdict counts what became of a connection under its rule.
func (w *Worker) verdict(r *flowtable.Record, v policy.Verdict) {
	if w.cfg.Verdicts != nil && r.Rule.Set() != 0 {
		w.cfg.Verdicts.Add(r.Rule.Slot(), v)
	}
}

// dispose does with the event's segment what set-up says.
func (w *Worker) dispose(a handshake.Action, i flowtable.Index, r *flowtable.Record, before *handshake.Conn, s flowtable.Side, p *packet.Packet, now int64) handshake.Failure {
	switch a.Kind {
	case handshake.ActForward:
		w.pass(s, p)
	case handshake.ActForwardLean:
		if !p.SetPayloadLen(0) {
			w.drop(p, shm.DropInternal)
			break
		}
		p.Finish(w.tx[s.Other()].offload)
		w.passBuffer(s, p.M)
	case handshake.ActForwardENO, handshake.ActForwardBare:
		if before.State == r.State {
			w.n[shm.HandshakeResent]++
		}
		if a.Kind == handshake.ActForwardENO && !w.putENO(s, p, r) || a.Kind == handshake.ActForwardBare && !w.makeBare(p, r) {
			return handshake.FailEdit
		}
		to := s.Other()
		p.Finish(w.tx[to].offload)
		w.tx[to].push(p.M)
	case handshake.ActTranslate:
		w.translate(s, p, i, r, now)
	case handshake.ActDrop:
		w.drop(p, a.Why)
	case handshake.ActRefuseSYN:
		w.n[shm.DropRefused]++
		w.refuseSYN(s, p)
	case handshake.ActAnswerRST:
		w.refuseBuried(s, p)
	case handshake.ActReopen:
		k, hash := r.Key, r.Hash
		w.remove(i, r)
		w.stranger(s, p, &k, hash, now)
	case handshake.ActKeep:
		w.blocks.all[r.Local.HsBlock].keepSynAck(p)
		w.cache.Free(p.M)
	}
	return handshake.FailNone
}

// hasCookie reports whether a segment has a Fast Open option that is not empty: one that asks for a cookie is.
func hasCookie(p *packet.Packet) bool { return p.Opt.HasAny(packet.OptTFO) && p.Opt.TFOLen > 0 }

// putENO puts the connection's option on a host's SYN or SYN-ACK. Removing their cookies, and their data, which the host sends again and is
// encrypted then, keeps RFC 8547 section 4.7.
func (w *Worker) putENO(s flowtable.Side, p *packet.Packet, r *flowtable.Record) bool {
	role := flowtable.RoleB
	if opens(p) {
		role = flowtable.RoleA
	}
	if hasCookie(p) && !p.RemoveTFO() || p.PayloadLen > 0 && !p.SetPayloadLen(0) {
		return false
	}
	if s != flowtable.Inside || !p.InsertENO(enoOf(r, role)) {
		return false
	}
	p.ClampMSS(w.carried(p.Ver == 4))
	return true
}

// makeBare takes ENO, cookie and data (RFC 8547 section 4.7) off a far end's SYN and leaves room for frames.
func (w *Worker) makeBare(p *packet.Packet, r *flowtable.Record) bool {
	ok := p.RemoveENO() && (!hasCookie(p) || p.RemoveTFO()) &&
		(p.PayloadLen == 0 || p.SetPayloadLen(0))
	if ok {
		p.ClampMSS(w.mssForHost(r.Peer.MSS, p.Ver == 4))
	}
	return ok
}

// enoOf returns the SYN-form ENO option of a role in the connection.
func enoOf(r *flowtable.Record, role flowtable.Role) []byte {
	return r.Setup.ENO[role-flowtable.RoleA].Bytes()
}

// learnFrom takes from a SYN or SYN-ACK what it says of its sender, and its headers.
func (w *Worker) learnFrom(s flowtable.Side, r *flowtable.Record, p *packet.Packet) {
	if s == flowtable.Inside {
		learn(&r.Host, p)
		capture(&r.Rare.ToWire, p)
		return
	}
	learn(&r.Peer, p)
	capture(&r.Rare.ToHost, p)
}

// initReady tells set-up of the far end's Init message, which the translator has put together.
func (w *Worker) initReady(i flowtable.Index, r *flowtable.Record, msg []byte, now int64) {
	if r.Local.HsBlock == 0 {
		return
	}
	e := handshake.Event{Kind: handshake.EventInit}
	if !w.blocks.setInit(&w.blocks.all[r.Local.HsBlock], r.Role.Peer(), msg) {
		e.Kind, e.Failure = handshake.EventFailure, handshake.FailLarge
	}
	w.step(i, r, nil, &e, now)
}

// remove forgets a connection, with all that is kept for it.
func (w *Worker) remove(i flowtable.Index, r *flowtable.Record) {
	// What the translator gathered for the connection in this burst refers to the record.
	if w.finish(w.now); r.State != flowtable.Free {
		w.forget(i, r)
	}
}

// forget is remove where nothing is gathered.
func (w *Worker) forget(i flowtable.Index, r *flowtable.Record) {
	w.freeBlock(r)
	if unpassable(r) {
		w.pairs.add(&r.Key, -1)
	}
	w.tellOver(r, w.now)
	w.report(i, r, shm.ReasonFinished)
	if r.Flags&flowtable.FlagStarted != 0 {
		w.core.Release(i, r)
	}
	switch r.Local.Age.List {
	case flowtable.NoList:
		w.peers.add(&r.Key, -1)
	case flowtable.Tombs:
		w.tombs.add(&r.Key, -1)
	}
	w.table.Remove(i)
	w.n[shm.FlowsRemoved]++
	w.changed = true
}
