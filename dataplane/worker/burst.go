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
	n        int                            // of them
	segments int                            // TCP segments among them
	runs     int                            // of segments of one connection behind each other
	first    [port.LargeBurst]uint8         // by run: position in pkts of its first segment,
	end      [port.LargeBurst]uint8         // and behind its last one
	keys     [port.LargeBurst]flowtable.Key // by run, as what follows
	hashes   [port.LargeBurst]uint32
	found    [port.LargeBurst]flowtable.Index
	records  [port.LargeBurst + recordsAhead]*flowtable.Record // of found, and none behind the last one
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
		mbuf.PrefetchHeaders(w.ms[s][:min(n, headersAhead)])
		w.ahead = w.ahead || n > 0
	}
}

// headersAhead is how many packets that were received ahead have their headers on their way from memory: as many lines as a core waits for at
// a time. Those of the others are asked for as the first are parsed.
const headersAhead = 12

// dropAhead drops what was received ahead, by who polls no more.
func (w *Worker) dropAhead() {
	for s, n := range w.got {
		w.cache.FreeBurst(w.ms[s][:n])
		w.got[s] = 0
	}
	w.ahead = false
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
	b.n, b.segments = n, segments
}

// name finds which connections the TCP segments among n packets are of, once for segments of one behind each other.
func (w *Worker) name(s flowtable.Side, n int) {
	b, runs, open := &w.burst, 0, false // whether the last run may go on
	for i := range b.pkts[:n] {
		p := &b.pkts[i]
		switch p.Behind() {
		case packet.Same:
			continue // the segment in front is of the run
		case packet.Other:
			in, out := p.UsualEnds()
			inPort, outPort := p.SrcPort, p.DstPort
			if s == outside {
				in, out, inPort, outPort = out, in, outPort, inPort
			}
			b.hashes[runs] = w.table.SetMapped(&b.keys[runs], in, out, inPort, outPort)
		default:
			if p.Class != packet.TCP {
				if open {
					b.end[runs-1], open = uint8(i), false
				}
				continue
			}
			b.hashes[runs] = w.key(&b.keys[runs], p, s)
			if open && b.keys[runs].Equal(&b.keys[runs-1]) {
				continue
			}
		}
		if open {
			b.end[runs-1] = uint8(i)
		}
		b.first[runs] = uint8(i)
		runs++
		open = true
	}
	if open {
		b.end[runs-1] = uint8(n)
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
	clear(b.records[b.runs : b.runs+recordsAhead])
	w.changed = false
}

// key writes the key of the connection that a TCP segment received on side s belongs to, and returns its hash.
func (w *Worker) key(k *flowtable.Key, p *packet.Packet, s flowtable.Side) (hash uint32) {
	if src, dst, ok := p.MappedEnds(); ok {
		if s == inside {
			return w.table.SetMapped(k, src, dst, p.SrcPort, p.DstPort)
		}
		return w.table.SetMapped(k, dst, src, p.DstPort, p.SrcPort)
	}
	flowKey(k, p, s)
	return w.table.Hash(k)
}

// flowKey writes the key of the connection that a TCP segment received on side s belongs to.
func flowKey(k *flowtable.Key, p *packet.Packet, s flowtable.Side) {
	k.VLAN = p.VLAN
	if s == inside {
		p.Ends(&k.Inside, &k.Outside)
		k.InsidePort, k.OutsidePort = p.SrcPort, p.DstPort
		return
	}
	p.Ends(&k.Outside, &k.Inside)
	k.InsidePort, k.OutsidePort = p.DstPort, p.SrcPort
}
