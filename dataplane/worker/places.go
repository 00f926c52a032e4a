package worker

import (
	"linecrypt/ctrlplane/shm"
	"linecrypt/flowtable"
)

// Places in the flow table. Half-open records, established ones and those that are over have stocks of their own: openers that are
// not proven real, inside or outside, never take a place of one another, nor one of a connection that is established.

// admit makes a half-open record for the connection of a SYN from a side; 0 only where the table holds more than it was made for.
func (w *Worker) admit(s flowtable.Side, k *flowtable.Key, hash uint32, now int64) flowtable.Index {
	l := flowtable.HalfOpen(s, false)
	w.makeRoom(l)
	i, _ := w.table.Insert(k, hash, now)
	w.changed = true
	if i == 0 {
		if old := w.table.Oldest(l); old != 0 {
			w.forgetHalfOpen(old)
			i, _ = w.table.Insert(k, hash, now)
		}
	}
	if i != 0 {
		w.table.Enlist(i, l)
	}
	return i
}

// answered moves a half-open record among those that were answered.
func (w *Worker) answered(i flowtable.Index, r *flowtable.Record) {
	opener := flowtable.Outside
	if r.Flags&flowtable.FlagActive != 0 {
		opener = flowtable.Inside
	}
	if l := flowtable.HalfOpen(opener, true); r.Local.Age.List != flowtable.NoList && r.Local.Age.List != l {
		w.makeRoom(l)
		w.table.Enlist(i, l)
	}
}

// makeRoom gives up the oldest record of a list of half-open ones that is full. Each list has half of its stock, so that one that was
// never answered cannot displace one that was.
func (w *Worker) makeRoom(l flowtable.List) {
	if w.table.Listed(l) >= max(w.params.HalfOpen/2, 1) {
		w.forgetHalfOpen(w.table.Oldest(l))
	}
}

// forgetHalfOpen forgets a half-open connection without a word: most of those that are given up have nobody at their other end. Where
// there is one, its ACK with ENO is answered: see stray.
func (w *Worker) forgetHalfOpen(i flowtable.Index) {
	w.n[shm.HalfOpenEvicted]++
	w.remove(i, w.table.Record(i))
}

// establish gives a connection whose opener is proven real a place among the established ones, and reports false where there is
// none to be had.
func (w *Worker) establish(i flowtable.Index, r *flowtable.Record, now int64) bool {
	if r.Local.Age.List == flowtable.NoList {
		return true
	}
	if w.table.Established() >= w.params.Flows && !w.makePlace(r, now) {
		return false
	}
	w.table.Enlist(i, flowtable.NoList)
	w.peers.add(&r.Key, 1)
	w.trimTombs(0)
	return true
}

// makePlace gives up an established connection for another: a plain one, which passes without a record too, of the peer that holds
// most, the longest silent of those; else one that is half closed and silent. One that is encrypted and active never goes. What is
// chosen may need its record since the rules changed: then it is spared, and another one is looked for.
func (w *Worker) makePlace(r *flowtable.Record, now int64) bool {
	share := w.peers.of(&r.Key)
	for range plainTries {
		i := w.table.OldestPlain(func(old *flowtable.Record) uint64 { return w.expendable(old, share) })
		if i == 0 {
			break
		}
		if old := w.table.Record(i); old.Rare.Linger != 0 || !w.spare(old) {
			w.n[shm.FlowsEvicted]++
			w.remove(i, old)
			return true
		}
	}
	return w.evictHalfClosed(now)
}

// expendable is how readily a plain connection is given up for one of a peer that holds a share, 0 not at all. One that passes no more
// without its record, and is not over, goes only if it is silent, and of a peer that holds more.
func (w *Worker) expendable(r *flowtable.Record, share uint32) uint64 {
	if r.Flags&flowtable.FlagMet != 0 {
		return 0 // it has no place among the established ones to give up
	}
	idle := max(w.now-r.LastSeen, 0)
	if needsRecord(r) && r.Rare.Linger == 0 && (idle < requiredIdle || w.peers.of(&r.Key) <= share) {
		return 0
	}
	return uint64(w.peers.of(&r.Key))<<40 | min(uint64(idle)>>20, 1<<40-1) + 1
}

const (
	requiredIdle   = int64(60e9) // silence after which a plain connection that needs its record may be given up
	halfClosedIdle = int64(60e9) // and a half-closed encrypted one
	searchWork     = 64          // records looked at in one search
	plainTries     = 4           // plain connections that are looked at by the rules in force
)

// evictHalfClosed resets the first encrypted connection it finds that one end has closed and that is silent.
func (w *Worker) evictHalfClosed(now int64) bool {
	for range searchWork {
		if w.hand = w.table.Next(w.hand); w.hand == 0 {
			return false
		}
		r := w.table.Record(w.hand)
		closed := r.Egress.Flags&flowtable.EgressFIN != 0 || r.Ingress.Flags&flowtable.IngressWireFIN != 0
		if r.State == flowtable.Encrypted && closed && now-r.LastSeen >= halfClosedIdle {
			w.n[shm.FlowsEvicted]++
			w.abort(w.hand, r, shm.AbortEvicted, now)
			return true
		}
	}
	return false
}

// shares counts what peers hold, folded to a few bits. Two peers that fall together are taken for one: who knew which do could pay with
// what another's connections are owed.
type shares struct {
	key    flowtable.FoldKey
	counts [1 << shareBits]uint32
}

const shareBits = 12

func (s *shares) place(k *flowtable.Key) *uint32 {
	return &s.counts[s.key.Fold(uint64(k.Peer()), 0)>>(64-shareBits)]
}

// add adds n to what the peer of a connection holds.
func (s *shares) add(k *flowtable.Key, n int32) { *s.place(k) += uint32(n) }

// of returns what it holds.
func (s *shares) of(k *flowtable.Key) uint32 { return *s.place(k) }
