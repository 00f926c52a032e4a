package worker

import (
	"unsafe"

	"linecrypt/ctrlplane/shm"
	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/packet"
	"linecrypt/dataplane/tsc"
	"linecrypt/flowtable"
)

// spend adds the cycles since the last call in the poll to a stage. The clock of the processor is read once between two stages: that takes
// as long as parsing a packet does.
func (w *Worker) spend(s shm.Stage, packets int) {
	t := tsc.Now()
	w.n[s.Cycles()] += t - w.mark
	w.n[s.Packets()] += uint64(packets)
	w.mark = t
}

// pollPort takes a burst from a port as far as the translator.
func (w *Worker) pollPort(s flowtable.Side, now int64) int {
	n := w.got[s]
	if n == 0 {
		if n = w.receive(s); n == 0 {
			return 0
		}
	}
	w.got[s] = 0
	if w.trace.on {
		w.workTraced(s, n, now)
		w.spend(shm.StageStream, n)
		return n
	}
	w.parse(s, n)
	w.spend(shm.StageParse, n)
	w.name(s)
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
	heldAhead    = 1
)

// prefetchRecord asks for what the translator touches of the record of a run's connection.
func (w *Worker) prefetchRecord(s flowtable.Side, b *burst, run int, now int64) {
	if run >= b.runs {
		return
	}
	if r := b.records[run]; r != nil && r.State == flowtable.Encrypted {
		row, local := r.Hot()
		mbuf.PrefetchMemory(row, flowtable.HotLines)
		mbuf.PrefetchMemory(local, 1)
		if aged(r, now) {
			mbuf.PrefetchMemory(unsafe.Pointer(w.templateFrom(s, r)), 2)
		}
	}
}

// prefetchLedger asks for the frames that the first segment of a run will acknowledge, or begin, if its connection is in its common state.
func (w *Worker) prefetchLedger(s flowtable.Side, b *burst, run int) {
	if run >= b.runs {
		return
	}
	if r := b.records[run]; r != nil && r.Local.Common {
		w.core.Ahead(r, s == inside, b.pkts[b.first[run]].PayloadLen > 0)
	}
}

// prefetchHeld asks for what the far end's segments of a run let go.
func (w *Worker) prefetchHeld(s flowtable.Side, b *burst, run int) {
	if s == inside || run >= b.runs {
		return
	}
	if r := b.records[run]; r != nil && r.Local.Common {
		w.core.AheadHeld(r)
	}
}

// work gives every packet of the burst to what its flow's state wants, in the order of arrival.
func (w *Worker) work(s flowtable.Side, n int, now int64) {
	b := &w.burst
	next, run := 0, -1
	for j := range recordsAhead {
		w.prefetchRecord(s, b, j, now)
	}
	spare := 0    // segments for which the output certainly has room
	fast := false // the fast path is taking the run
	for i := 0; i < n; i++ {
		p := &b.pkts[i]
		if next == b.segments || b.segmentAt(next) != i {
			w.fastEnd(now)
			fast, run = false, -1
			w.other(s, p, now)
			continue
		}
		j := int(b.run[next])
		next++
		if spare == 0 {
			if spare = w.out.Spare(); spare == 0 {
				w.fastEnd(now)
				fast, run = false, -1
				w.spend(shm.StageStream, 0)
				w.finish(now)
				spare = w.out.Spare()
			}
		}
		spare--
		if run != j {
			if run < j {
				w.prefetchRecord(s, b, j+recordsAhead, now)
				w.prefetchLedger(s, b, j+ledgerAhead)
				w.prefetchHeld(s, b, j+heldAhead)
			}
			w.fastEnd(now)
			run = j
			if w.changed {
				b.found[j] = w.table.Lookup(&b.keys[j], b.hashes[j])
				b.records[j] = w.table.Record(b.found[j])
			}
			fast = w.fastBegin(s, p, b.found[j], b.records[j], now)
		}
		if fast {
			if taken := w.fastTrain(b.pkts[i:min(n, i+1+spare)]); taken > 0 {
				i += taken - 1
				next += taken - 1
				spare -= taken - 1
				continue
			}
			if w.fastSegment(p) {
				continue
			}
		}
		w.fastEnd(now)
		fast, run = false, -1
		w.segment(s, p, &b.keys[j], b.hashes[j], b.found[j], now)
	}
	w.fastEnd(now)
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
