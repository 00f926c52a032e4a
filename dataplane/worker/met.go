package worker

import (
	"linecrypt/ctrlplane/outcome"
	"linecrypt/ctrlplane/policy"
	"linecrypt/ctrlplane/shm"
	"linecrypt/dataplane/packet"
	"linecrypt/flowtable"
)

// A connection that is older than the gateway is met in the middle: by a segment that is no SYN and of nothing that the table knows. It was
// never encrypted by it, and passes in the clear, or under policy require not at all. One that passes gets a record, so that it is decided
// on once and can be seen, from its first segment on that shows a connection (showsConnection). Anybody can make such segments up: the records
// have a stock of their own, in which one that was silent for a while gives way. Where none does, segments are decided on one by one.

// metIdle is the silence, in ns, after which a connection that was met in the middle gives way to another.
const metIdle = int64(10e9)

// stray handles a segment that is no SYN of a connection without a record.
func (w *Worker) stray(s flowtable.Side, p *packet.Packet, k *flowtable.Key, hash uint32, now int64) {
	verdict, rule := w.decideMet(k)
	switch {
	case verdict == flowtable.Require:
		w.drop(p, shm.DropUnknownFlow)
	case confirmsENO(s, p) && verdict != flowtable.Disabled:
		w.refuseStrayENO(p)
	default:
		if showsConnection(p) {
			w.remember(k, hash, verdict, rule, now)
		}
		w.pass(s, p)
	}
}

// showsConnection reports whether a segment that no record knows shows a connection that is in the clear: it carries data, or answers a SYN. An
// empty one may be of no connection at all, and shows nothing in the clear: a made-up one, a RST, or another gateway's question (probe) after an
// encrypted connection that is over, and forgotten here. It is decided on by itself. A connection that only receives is met by what it gets.
func showsConnection(p *packet.Packet) bool {
	return p.Flags&packet.FlagRST == 0 && (p.PayloadLen > 0 || p.Flags&packet.FlagSYN != 0)
}

// decideMet returns what is in force for a connection whose SYN nobody saw, so that either end may have opened it: what protects more.
func (w *Worker) decideMet(k *flowtable.Key) (flowtable.Policy, flowtable.RuleRef) {
	rules, outbound := w.ctl.Decide(k, inside)
	out := rules.Policy
	rules, inbound := w.ctl.Decide(k, outside)
	in := rules.Policy
	if out != flowtable.Require && (in == flowtable.Require || in == flowtable.Opportunistic) {
		return in, inbound
	}
	return out, outbound
}

// confirmsENO reports whether a segment is an ACK with ENO from outside: the third one of a connection that is forgotten. The next bytes are an
// Init message, which the host must not have as data. The far end learns that its ACK has come, ENO and all, so that it does not take the
// path for one that hates ENO.
func confirmsENO(s flowtable.Side, p *packet.Packet) bool {
	return s == flowtable.Outside && p.Opt.HasAny(packet.OptENO) && p.Flags&(packet.FlagSYN|packet.FlagRST|packet.FlagACK) == packet.FlagACK
}

// remember makes a record of a connection that passes in the clear, if there is a place for one.
func (w *Worker) remember(k *flowtable.Key, hash uint32, verdict flowtable.Policy, rule flowtable.RuleRef, now int64) {
	if !w.placeForMet(now) {
		w.n[shm.MetUnlisted]++
		return
	}
	i, fresh := w.table.Insert(k, hash, now)
	if i == 0 || !fresh {
		w.n[shm.MetUnlisted]++
		return
	}
	w.changed = true
	w.table.Enlist(i, flowtable.Met)
	r := w.table.Record(i)
	r.Flags, r.Verdict, r.Rule, r.Rare.Abort = flowtable.FlagMet, verdict, rule, uint16(shm.PlainMet)
	w.n[shm.FlowsCreated]++
	w.n[shm.PlainMet]++
	if verdict == flowtable.Disabled {
		w.verdict(r, policy.Off)
	} else {
		w.verdict(r, policy.Clear)
	}
	w.tell(outcome.Plain, r, shm.PlainMet, now)
	w.schedule(i, r)
}

// placeForMet makes room for one more connection, and reports false when all that there are were heard of lately. The oldest ones are looked
// at; one that lives goes back among the young.
func (w *Worker) placeForMet(now int64) bool {
	if w.table.Listed(flowtable.Met) < w.params.Met {
		return true
	}
	for range 2 {
		i := w.table.Oldest(flowtable.Met)
		r := w.table.Record(i)
		if r == nil {
			return false
		}
		if now-r.LastSeen >= metIdle {
			w.remove(i, r)
			return true
		}
		w.table.Enlist(i, flowtable.Met)
	}
	return false
}

// met handles a segment of a connection that was met in the middle earlier. A SYN begins another one.
func (w *Worker) met(s flowtable.Side, p *packet.Packet, k *flowtable.Key, hash uint32, i flowtable.Index, r *flowtable.Record, now int64) {
	switch {
	case opens(p):
		w.remove(i, r)
		w.stranger(s, p, k, hash, now)
	case confirmsENO(s, p) && r.Verdict != flowtable.Disabled:
		w.remove(i, r)
		w.refuseStrayENO(p)
	default:
		w.plain(s, p, k, hash, i, r, now)
	}
}
