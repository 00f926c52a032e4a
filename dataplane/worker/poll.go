package worker

import (
	"unsafe"

	"linecrypt/ctrlplane/shm"
	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/packet"
	"linecrypt/dataplane/tsc"
	"linecrypt/flowtable"
)

// spend adds the cycles since the last call in the poll to a stage. The processor's clock is read once between two stages, as reading it
// takes some tens of cycles.
func (w *Worker) spend(s shm.Stage, packets int) {
	t := tsc.Now()
	w.n[s.Cycles()] += t - w.mark
	w.n[s.Packets()] += uint64(packets)
	w.mark = t
}

// pollPort takes a burst from a port as far as the translator.
func (w *Worker) pollPort(s flowtable.Side, now int64) int {
	n := w.got[s]
	if !w.ahead {
		n = w.receive(s)
	}
	if w.got[s] = 0; n == 0 {
		return 0
	}
	if w.trace.on {
		w.workTraced(s, n, now)
		w.spend(shm.StageStream, n)
		return n
	}
	w.parse(s, n)
	w.spend(shm.StageParse, n)
	w.name(s, n)
	w.find()
	w.spend(shm.StageLookup, w.burst.segments)
	w.work(s, n, now)
	w.spend(shm.StageStream, n)
	return n
}

// recordsAhead is for how many runs of segments work has the lines of records on their way from memory, and ledgerAhead for how many what
// those lines tell the place of.
const (
	recordsAhead = 6
	ledgerAhead  = 3
)

// prefetchRecord asks for what is touched of the record of a run's connection, recordsAhead behind the last run at most. Nothing is looked at:
// that would wait for the first of the lines.
func (w *Worker) prefetchRecord(run int) {
	if r := w.burst.records[run]; r != nil {
		row, local := r.Hot()
		mbuf.PrefetchRow(row, local) // flowtable.HotLines of them, and the one
	}
}

// PrefetchRow asks for as many lines as are hot.
var _ [mbuf.RowLines]struct{} = [flowtable.HotLines]struct{}{}

// prefetchLedger asks for the frames that the first segment of a run will acknowledge, or begin, and for the template that it may renew, if
// its connection is in its common state.
func (w *Worker) prefetchLedger(s flowtable.Side, run int, now int64) {
	b := &w.burst
	if r := b.records[run]; r != nil && r.Local.Common {
		w.core.Ahead(r, s == inside, b.pkts[b.first[run]].PayloadLen > 0)
		if aged(r, now) {
			mbuf.PrefetchMemory(unsafe.Pointer(w.templateFrom(s, r)), 2)
		}
	}
}

// work gives every packet of the burst to what its flow's state wants, in the order of arrival.
func (w *Worker) work(s flowtable.Side, n int, now int64) {
	b := &w.burst
	for run := range recordsAhead {
		w.prefetchRecord(run)
	}
	w.out.AheadFirst(b.pkts[:n], s == inside)
	w.core.BeginBurst(now, w.out)
	i := 0
	spare := 0 // segments for which the output certainly has room
	for run := range b.runs {
		from, end := int(b.first[run]), int(b.end[run])
		for ; i < from; i++ {
			w.other(s, &b.pkts[i], now)
		}
		w.prefetchRecord(run + recordsAhead)
		w.prefetchLedger(s, run+ledgerAhead, now)
		for end-from > spare {
			if spare > 0 {
				w.workRun(s, run, from, from+spare, now)
				from += spare
			}
			spare = w.outputRoom(now)
		}
		w.workRun(s, run, from, end, now)
		spare -= end - from
		i = end
	}
	for ; i < n; i++ {
		w.other(s, &b.pkts[i], now)
	}
	w.core.EndBurst()
}

// outputRoom returns for how many segments the output certainly has room, after what is in it is finished if need be.
func (w *Worker) outputRoom(now int64) int {
	if spare := w.out.Spare(); spare > 0 {
		return spare
	}
	w.spend(shm.StageStream, 0)
	w.finish(now)
	return max(w.out.Spare(), 1)
}

// workRun gives segments of a run to what their connection's state wants.
func (w *Worker) workRun(s flowtable.Side, run, from, to int, now int64) {
	b := &w.burst
	for {
		if w.changed {
			b.found[run] = w.table.Lookup(&b.keys[run], b.hashes[run])
			b.records[run] = w.table.Record(b.found[run])
		}
		if from += w.train(s, b.found[run], b.records[run], b.pkts[from:b.n], to-from, now); from == to {
			return
		}
		taken := w.fastTake(s, run, from, to, now)
		if taken == 0 {
			w.out.Ahead(b.pkts[from:b.n], s == inside)
			w.segment(s, &b.pkts[from], &b.keys[run], b.hashes[run], b.found[run], now)
			taken = 1
		}
		if from += taken; from == to {
			return
		}
	}
}

// pass sends a packet on untouched, if the other port carries it.
func (w *Worker) pass(s flowtable.Side, p *packet.Packet) {
	if p.M.PktLen > uint32(w.portMTU[s.Other()])+leastL2 && !w.fitsPort(s, p) {
		return
	}
	if p.Class == packet.TCP {
		w.n[shm.ClearBytes] += uint64(p.PayloadLen)
	}
	complete(p, w.tx[s.Other()].offload, w.tx[s.Other()].udp)
	w.passBuffer(s, p.M)
}

// leastL2 is the size of the shortest link-layer header: what is no longer with it than a port's MTU fits for certain.
const leastL2 = 14

// passBuffer is pass for a packet whose checksum is complete.
func (w *Worker) passBuffer(s flowtable.Side, m *mbuf.Mbuf) {
	w.n[shm.PassedPackets]++
	w.n[shm.PassedBytes] += uint64(m.PktLen)
	w.tx[s.Other()].push(m)
}

// complete fills in a TCP or UDP checksum that the port reported as not computed yet, which a packet that stays on the
// machine of its sender has, and forgets what the port said of the packet. Tcp and udp say
// what is left to the port that sends it.
func complete(p *packet.Packet, tcp, udp bool) {
	const unfinished = mbuf.RxL4CksumGood | mbuf.RxL4CksumBad
	if p.M.OlFlags&unfinished == unfinished {
		switch {
		case p.Class == packet.TCP:
			p.Finish(tcp)
			return
		case p.Class == packet.NonTCP && p.Proto == protoUDP && p.PayloadLen >= 8:
			p.FinishUDP(udp)
			return
		}
	}
	p.M.OlFlags = 0
}

const protoUDP = 17

// drop frees a packet and counts why.
func (w *Worker) drop(p *packet.Packet, why shm.Counter) {
	w.n[why]++
	w.cache.Free(p.M)
}
