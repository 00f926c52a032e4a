package worker

import (
	"linecrypt/ctrlplane/shm"
	"linecrypt/dataplane/packet"
	"linecrypt/dataplane/stream"
	"linecrypt/flowtable"
)

// What is left of a connection that was encrypted, and is over. An end that does not know it goes on sending: its segments must not
// pass as if the connection were a plain one. While the translator lingers it answers stragglers. Then, unless both ends have shown
// that they know (by a RST of theirs, or a SYN that begins another connection), the record stays as a tomb: what comes is answered by
// RST, and the ends that may not know are asked by acknowledgements, which one that has no connection answers by RST. Tombs have a
// share of the table; a tomb that goes because there are too many, of the peer that has most, leaves its key in a grave.

// close ends a connection that set-up, or the worker, has aborted.
func (w *Worker) close(i flowtable.Index, r *flowtable.Record, why shm.Counter) {
	r.Rare.Abort = uint16(why)
	w.over(i, r, closeReason(why), flowtable.Unaware)
}

// closeReason is a reason to abort as the control plane is told.
func closeReason(why shm.Counter) shm.Reason {
	switch why {
	case shm.AbortHostReset, shm.AbortPeerReset, shm.AbortAckReset, shm.AbortStopped:
		return shm.ReasonReset
	case shm.AbortSetupTimeout, shm.AbortAckUnanswered, shm.AbortHostSilent, shm.AbortUnanswered, shm.AbortUnconfirmed, shm.AbortSilent:
		return shm.ReasonTimeout
	case shm.AbortEvicted, shm.AbortTableFull:
		return shm.ReasonEvicted
	case shm.AbortShare, shm.AbortLargeInit:
		return shm.ReasonOverload
	case shm.AbortInitWithoutENO:
		return shm.ReasonBadInit
	case shm.AbortUnauthenticated:
		return shm.ReasonUnauthenticated
	case shm.AbortMismatch:
		return shm.ReasonMismatch
	case shm.AbortOrdered:
		return shm.ReasonOrdered
	}
	return shm.ReasonInternal
}

// abort resets a connection whose translator runs, and keeps its record for stragglers.
func (w *Worker) abort(i flowtable.Index, r *flowtable.Record, why shm.Counter, now int64) {
	w.n[why]++
	w.core.Abort(i, r, shm.CounterNone, now, w.out)
	w.close(i, r, why)
}

// over moves a connection that has ended to Closing and tells the control plane. Unaware says which ends may not know.
func (w *Worker) over(i flowtable.Index, r *flowtable.Record, why shm.Reason, unaware uint8) {
	if r.State == flowtable.Closing {
		return
	}
	w.freeBlock(r)
	if !unpassable(r) {
		w.pairs.add(&r.Key, 1)
	}
	w.table.SetState(i, flowtable.Closing)
	r.Rare.Unaware, r.Setup = unaware, flowtable.Setup{}
	w.report(i, r, why)
	w.entomb(i, r)
	w.schedule(i, r)
}

// unpassable reports whether segments of the connection may be under way that must not pass as plaintext, so that its hosts
// count in Pairs.
func unpassable(r *flowtable.Record) bool {
	return r.State == flowtable.Encrypted || r.State == flowtable.Closing
}

// entomb gives a record that is over its place among those.
func (w *Worker) entomb(i flowtable.Index, r *flowtable.Record) {
	if r.Local.Age.List == flowtable.NoList {
		w.peers.add(&r.Key, -1)
	}
	w.table.Enlist(i, flowtable.Tombs)
	w.tombs.add(&r.Key, 1)
	w.trimTombs(i)
}

// trimTombs gives up tombs, keep the last of them, until they hold no more than their own places and those of established connections
// that nobody needs.
func (w *Worker) trimTombs(keep flowtable.Index) {
	for w.table.Listed(flowtable.Tombs) > max(w.params.Tombs, w.params.Flows+w.params.Tombs-w.table.Established()) {
		w.evictTomb(keep)
	}
}

// evictTomb gives up one of the oldest tombs but keep: one whose ends know, else one of the peer that has most.
func (w *Worker) evictTomb(keep flowtable.Index) {
	victim, most := flowtable.Index(0), uint64(0)
	for i, looked := w.table.Oldest(flowtable.Tombs), 0; i != 0 && looked < blocksLooked; i, looked = w.table.Younger(i), looked+1 {
		r := w.table.Record(i)
		weight := uint64(w.tombs.of(&r.Key)) + 1
		if r.Rare.Unaware == 0 {
			weight |= 1 << 40
		}
		if weight > most && i != keep {
			victim, most = i, weight
		}
	}
	if victim == 0 {
		victim = keep
	}
	r := w.table.Record(victim)
	if r.Rare.Unaware != 0 {
		w.n[shm.TombsEvicted]++
		w.graves.dig(r, w.now, w.n)
	}
	w.remove(victim, r)
}

// Times of tombs in ns.
const (
	probeFirst = int64(1e9)
	probeMost  = int64(600e9)
)

// lingered goes on with a connection whose translator has lingered long enough.
func (w *Worker) lingered(i flowtable.Index, r *flowtable.Record, now int64) {
	if r.Rare.Unaware == 0 {
		w.forget(i, r)
		return
	}
	w.n[shm.TombsKept]++
	w.core.Release(i, r)
	r.Flags &^= flowtable.FlagStarted
	r.Setup.Ask, r.Setup.Wait = now, probeFirst
	w.schedule(i, r)
}

// tombDeadline is when something is due for a tomb: its end is as far away as its ends may believe in the connection.
func (w *Worker) tombDeadline(r *flowtable.Record) int64 {
	d := r.LastSeen + w.params.FlowIdle
	if r.Setup.Ask != 0 {
		d = min(d, r.Setup.Ask)
	}
	return d
}

// expireTomb does what is due for a tomb, and reports whether it is gone.
func (w *Worker) expireTomb(i flowtable.Index, r *flowtable.Record, now int64) bool {
	if now-r.LastSeen >= w.params.FlowIdle || r.Rare.Unaware == 0 {
		w.remove(i, r)
		return true
	}
	if r.Setup.Ask != 0 && now >= r.Setup.Ask {
		w.probe(r)
		r.Setup.Ask, r.Setup.Wait = now+r.Setup.Wait, min(2*r.Setup.Wait, probeMost)
	}
	return false
}

// probe asks the ends that may not know, by an acknowledgement one byte in front of what is next: one that has the connection
// acknowledges, and is answered by RST; one that has not resets.
func (w *Worker) probe(r *flowtable.Record) {
	for _, to := range [...]flowtable.Side{inside, outside} {
		t, ok := orphanTemplate(&r.Key, to, &r.Rare)
		if !ok || r.Rare.Unaware&unawareOf(to) == 0 {
			continue
		}
		next, _, ack := stream.Next(r, to)
		w.n[shm.TombProbes]++
		w.send(to, &t, &packet.Seg{Seq: next - 1, Ack: ack, Flags: packet.FlagACK})
	}
}

// closing answers stragglers of a connection that is over.
func (w *Worker) closing(s flowtable.Side, p *packet.Packet, k *flowtable.Key, hash uint32, i flowtable.Index, now int64) {
	r := w.table.Record(i)
	if p.Flags&packet.FlagRST != 0 && w.knowsByRST(s, p, r) {
		r.Rare.Unaware &^= unawareOf(s)
	}
	fresh := opens(p) && (w.endpoint(s, r).Flags&flowtable.EndpointSYN == 0 || w.otherISN(s, p, r))
	switch {
	case fresh:
		w.reopen(s, p, k, hash, i, now)
	case r.Flags&flowtable.FlagStarted == 0:
		w.buried(s, p, i, r)
	case p.Flags&packet.FlagSYN != 0:
		w.drop(p, shm.DropClosing)
	default:
		w.translate(s, p, i, r, now)
	}
}

// reopen begins another connection in place of one that is over. A host's SYN shows that the host knows. A far end's may be forged: a
// host that may not know, or may have missed the last acknowledgement and send its last data again, is remembered until it has answered.
func (w *Worker) reopen(s flowtable.Side, p *packet.Packet, k *flowtable.Key, hash uint32, i flowtable.Index, now int64) {
	if !p.VerifyTCP() || !p.VerifyIPv4() {
		w.drop(p, shm.DropChecksum)
		return
	}
	r := w.table.Record(i)
	if s == flowtable.Outside && (r.Rare.Unaware&flowtable.UnawareHost != 0 || r.Flags&flowtable.FlagStarted != 0) {
		w.graves.dig(r, now, w.n)
	}
	w.remove(i, r)
	w.stranger(s, p, k, hash, now)
}

// unawareOf is the bit of the end at a side.
func unawareOf(s flowtable.Side) uint8 {
	if s == flowtable.Inside {
		return flowtable.UnawareHost
	}
	return flowtable.UnawarePeer
}

// resetWindow is how far from what was acknowledged a RST may be to count as its sender's word that it knows.
const resetWindow = 1 << 24

// knowsByRST reports whether a RST shows that its sender has the connection no more: it is near where the connection was.
func (w *Worker) knowsByRST(s flowtable.Side, p *packet.Packet, r *flowtable.Record) bool {
	if w.endpoint(s, r).Flags&flowtable.EndpointSYN == 0 {
		return true // nothing is known of its numbers
	}
	at := stream.Exact(r, s)[1]
	return (p.Seq-at < resetWindow || at-p.Seq <= 1) && p.VerifyTCP()
}

// graves remember by a fingerprint each the connections whose tombs had to go.
type graves struct {
	sets [graveSets][graveWays]grave
	n    int
}

type grave struct {
	print uint64 // 0: empty
	at    int64  // ns of the monotonic clock
}

const (
	graveSets = 4096
	graveWays = 4
)

// fingerprint is a key's hash, under the table's secret seed, and another one; never 0.
func fingerprint(k *flowtable.Key, hash uint32) uint64 {
	h := uint32(2166136261)
	mix := func(b []byte) {
		for _, c := range b {
			h = (h ^ uint32(c)) * 16777619
		}
	}
	mix(k.Inside[:])
	mix(k.Outside[:])
	mix([]byte{byte(k.InsidePort), byte(k.InsidePort >> 8), byte(k.OutsidePort), byte(k.OutsidePort >> 8)})
	return uint64(hash)<<32 | uint64(h|1)
}

// dig enters a connection, at the cost of the oldest of its set where that is full.
func (g *graves) dig(r *flowtable.Record, now int64, n *shm.Block) {
	if g.has(&r.Key, r.Hash) {
		return
	}
	set := &g.sets[r.Hash%graveSets]
	at := &set[0]
	for i := range set {
		if set[i].print == 0 {
			at = &set[i]
			break
		}
		if set[i].at < at.at {
			at = &set[i]
		}
	}
	if at.print != 0 {
		n[shm.TombsLost]++
	} else {
		g.n++
	}
	*at = grave{print: fingerprint(&r.Key, r.Hash), at: now}
}

// has reports whether a connection is in a grave.
func (g *graves) has(k *flowtable.Key, hash uint32) bool { return g.find(k, hash) != nil }

// close takes a connection out.
func (g *graves) close(k *flowtable.Key, hash uint32) {
	if at := g.find(k, hash); at != nil {
		*at = grave{}
		g.n--
	}
}

func (g *graves) find(k *flowtable.Key, hash uint32) *grave {
	if g.n == 0 {
		return nil
	}
	print := fingerprint(k, hash)
	set := &g.sets[hash%graveSets]
	for i := range set {
		if set[i].print == print {
			return &set[i]
		}
	}
	return nil
}

// exhume makes a tomb again of the grave of a segment's connection and answers the segment; false where the table is full.
func (w *Worker) exhume(s flowtable.Side, p *packet.Packet, k *flowtable.Key, hash uint32, now int64) bool {
	i := w.bury(k, hash, now)
	if i == 0 {
		return false
	}
	w.graves.close(k, hash)
	w.closing(s, p, k, hash, i, now)
	return true
}
