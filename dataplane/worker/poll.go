package worker

import (
	"unsafe"

	"linecrypt/ctrlplane/shm"
	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/packet"
	"linecrypt/dataplane/tsc"
	"linecrypt/flowtable"
)

// spend adds the cycles since t0 to a stage and returns the time.
func (w *Worker) spend(s shm.Stage, t0 uint64, packets int) uint64 {
	t1 := tsc.Now()
	w.n[s.Cycles()] += t1 - t0
	w.n[s.Packets()] += uint64(packets)
	return t1
}

// receive takes a burst from a port.
func (w *Worker) receive(s flowtable.Side) int {
	t := tsc.Now()
	n := w.rx[s].RxBurst(w.ms[s][:w.asks[s]])
	if n > 0 {
		w.spend(shm.StageRx, t, n)
	}
	return n
}

// receiveAhead takes the bursts of the next poll, so that their lines come from memory while the crypto and the sending of this one are
// done. The next poll follows at once, and does not ask these ports again: so packets that come meanwhile would wait for a poll more than they
// need to, and the worker does this only behind a full burst, when as many wait as it can take.
func (w *Worker) receiveAhead() {
	for s := range w.got {
		w.got[s] = w.receive(flowtable.Side(s))
	}
	for s, n := range w.got {
		mbuf.PrefetchHeaders(w.ms[s][:n])
	}
}

// dropAhead drops what was received ahead, by who polls no more.
func (w *Worker) dropAhead() {
	for s, n := range w.got {
		w.cache.FreeBurst(w.ms[s][:n])
		w.got[s] = 0
	}
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
	t := tsc.Now()
	if w.trace.on {
		w.workTraced(s, n, now)
		w.spend(shm.StageStream, t, n)
		return n
	}
	segments := w.parse(s, n)
	t = w.spend(shm.StageParse, t, n)
	w.lookup(s, segments)
	t = w.spend(shm.StageLookup, t, segments)
	w.work(s, n, segments, now)
	w.spend(shm.StageStream, t, n)
	return n
}

// parse reads the headers of the burst and returns the number of TCP segments in it.
func (w *Worker) parse(s flowtable.Side, n int) int {
	bytes, segments := packet.ParseBurst(w.ms[s][:n], w.pkts[:n])
	if s == inside {
		w.n[shm.RxInsidePackets] += uint64(n)
		w.n[shm.RxInsideBytes] += bytes
	} else {
		w.n[shm.RxOutsidePackets] += uint64(n)
		w.n[shm.RxOutsideBytes] += bytes
	}
	if w.allTCP = segments == n; !w.allTCP {
		w.findTCP(n)
	}
	return segments
}

// findTCP lists the TCP segments of the burst.
func (w *Worker) findTCP(n int) {
	segments := 0
	for i := range w.pkts[:n] {
		if w.pkts[i].Class == packet.TCP {
			w.tcp[segments] = uint8(i)
			segments++
		}
	}
}

// segmentAt returns which packet of the burst TCP segment j is.
func (w *Worker) segmentAt(j int) int {
	if w.allTCP {
		return j
	}
	return int(w.tcp[j%len(w.tcp)])
}

// recordsAhead is for how many runs of segments work has the lines of records on their way from memory, and ledgerAhead for how many what
// those lines tell the place of.
const (
	recordsAhead = 6
	ledgerAhead  = 2
)

// lookup finds the records of the burst's TCP segments, once for segments of one connection in a row.
func (w *Worker) lookup(s flowtable.Side, segments int) {
	runs := 0
	var before *packet.Packet
	for j := range w.run[:segments] {
		p := &w.pkts[w.segmentAt(j)%len(w.pkts)]
		if !p.FollowsClosely() && (runs == 0 || !p.Follows(before)) {
			k := &w.keys[runs]
			flowKey(k, p, s)
			if runs == 0 || p.SrcPort != before.SrcPort || !k.Equal(&w.keys[runs-1]) {
				w.hashes[runs] = w.table.Hash(k)
				runs++
			}
		}
		w.run[j] = uint8(runs - 1)
		before = p
	}
	w.runs = runs
	w.table.LookupBurst(w.keys[:runs], w.hashes[:runs], w.found[:runs])
	for i, found := range w.found[:runs] {
		w.records[i] = w.table.Record(found)
	}
	w.changed = false
}

// prefetchRecord asks for what the translator touches of the record of a run's connection.
func (w *Worker) prefetchRecord(s flowtable.Side, run int, now int64) {
	if run >= w.runs {
		return
	}
	if r := w.records[run]; r != nil && r.State == flowtable.Encrypted {
		row, local := r.Hot()
		mbuf.PrefetchMemory(row, flowtable.HotLines)
		mbuf.PrefetchMemory(local, 1)
		if aged(r, now) {
			mbuf.PrefetchMemory(unsafe.Pointer(w.templateFrom(s, r)), 2)
		}
	}
}

// prefetchLedger asks for the frame that the first segment of a run will acknowledge, or begin, if its connection is in its common state.
func (w *Worker) prefetchLedger(run int) {
	if run >= w.runs {
		return
	}
	if r := w.records[run]; r != nil && r.Local.Common {
		w.core.Ahead(r)
	}
}

// flowKey writes the key of the connection that a TCP segment received on side s belongs to.
func flowKey(k *flowtable.Key, p *packet.Packet, s flowtable.Side) {
	k.VLAN = p.VLAN
	if s == inside {
		p.SrcAddr16(&k.Inside)
		p.DstAddr16(&k.Outside)
		k.InsidePort, k.OutsidePort = p.SrcPort, p.DstPort
		return
	}
	p.DstAddr16(&k.Inside)
	p.SrcAddr16(&k.Outside)
	k.InsidePort, k.OutsidePort = p.DstPort, p.SrcPort
}

// work gives every packet of the burst to what its flow's state wants, in the order of arrival.
func (w *Worker) work(s flowtable.Side, n, segments int, now int64) {
	next, run := 0, -1
	for j := range recordsAhead {
		w.prefetchRecord(s, j, now)
	}
	spare := 0    // segments for which the output certainly has room
	fast := false // the fast path is taking the run
	for i := 0; i < n; i++ {
		p := &w.pkts[i]
		if next == segments || w.segmentAt(next) != i {
			w.fastEnd(now)
			fast, run = false, -1
			w.other(s, p, now)
			continue
		}
		j := int(w.run[next])
		next++
		if spare == 0 {
			if spare = w.out.Spare(); spare == 0 {
				w.fastEnd(now)
				fast, run = false, -1
				w.finish(now)
				spare = w.out.Spare()
			}
		}
		spare--
		if run != j {
			if run < j {
				w.prefetchRecord(s, j+recordsAhead, now)
				w.prefetchLedger(j + ledgerAhead)
			}
			w.fastEnd(now)
			run = j
			if w.changed {
				w.found[j] = w.table.Lookup(&w.keys[j], w.hashes[j])
				w.records[j] = w.table.Record(w.found[j])
			}
			fast = w.fastBegin(s, p, w.found[j], w.records[j], now)
		}
		if fast {
			if taken := w.fastTrain(w.pkts[i:min(n, i+1+spare)]); taken > 0 {
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
		w.segment(s, p, &w.keys[j], w.hashes[j], w.found[j], now)
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
