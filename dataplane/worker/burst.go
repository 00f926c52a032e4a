package worker

import (
	"linecrypt/ctrlplane/shm"
	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/packet"
	"linecrypt/dataplane/port"
	"linecrypt/flowtable"
)

// burst is what is found out of the packets of a burst before any of them is worked.
type burst struct {
	pkts     [port.LargeBurst]packet.Packet
	segments int                            // TCP segments among pkts
	allTCP   bool                           // all of pkts are
	tcp      [port.LargeBurst]uint8         // else: positions in pkts of those that are
	run      [port.LargeBurst]uint8         // by TCP segment: the run of segments of one connection that it belongs to
	runs     int                            // in the burst
	first    [port.LargeBurst]uint8         // by run: position in pkts of its first segment
	keys     [port.LargeBurst]flowtable.Key // by run, as what follows
	hashes   [port.LargeBurst]uint32
	found    [port.LargeBurst]flowtable.Index
	records  [port.LargeBurst]*flowtable.Record // of found
}

// receive takes a burst from a port.
func (w *Worker) receive(s flowtable.Side) int {
	n := w.rx[s].RxBurst(w.ms[s][:w.asks[s]])
	if n > 0 {
		w.spend(shm.StageRx, n)
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

// parse reads the headers of n packets from a port.
func (w *Worker) parse(s flowtable.Side, n int) {
	b := &w.burst
	bytes, segments := packet.ParseBurst(w.ms[s][:n], b.pkts[:n])
	if s == inside {
		w.n[shm.RxInsidePackets] += uint64(n)
		w.n[shm.RxInsideBytes] += bytes
	} else {
		w.n[shm.RxOutsidePackets] += uint64(n)
		w.n[shm.RxOutsideBytes] += bytes
	}
	b.segments = segments
	if b.allTCP = segments == n; !b.allTCP {
		b.findTCP(n)
	}
}

// findTCP lists the TCP segments of the burst.
func (b *burst) findTCP(n int) {
	segments := 0
	for i := range b.pkts[:n] {
		if b.pkts[i].Class == packet.TCP {
			b.tcp[segments] = uint8(i)
			segments++
		}
	}
}

// segmentAt returns which packet of the burst TCP segment j is.
func (b *burst) segmentAt(j int) int {
	if b.allTCP {
		return j
	}
	return int(b.tcp[j%len(b.tcp)])
}

// name finds which connections the burst's TCP segments are of, once for segments of one in a row.
func (w *Worker) name(s flowtable.Side) {
	b, runs := &w.burst, 0
	var before *packet.Packet
	for j := range b.run[:b.segments] {
		i := b.segmentAt(j) % len(b.pkts)
		p := &b.pkts[i]
		if !p.FollowsClosely() && (runs == 0 || !p.Follows(before)) {
			k := &b.keys[runs]
			flowKey(k, p, s)
			if runs == 0 || p.SrcPort != before.SrcPort || !k.Equal(&b.keys[runs-1]) {
				b.hashes[runs] = w.table.Hash(k)
				b.first[runs] = uint8(i)
				runs++
			}
		}
		b.run[j] = uint8(runs - 1)
		before = p
	}
	b.runs = runs
}

// find finds the records of the burst's connections.
func (w *Worker) find() {
	b := &w.burst
	w.table.LookupBurst(b.keys[:b.runs], b.hashes[:b.runs], b.found[:b.runs])
	for i, found := range b.found[:b.runs] {
		b.records[i] = w.table.Record(found)
	}
	w.changed = false
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
