package worker

import (
	"linecrypt/cryptobatch"
	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/trace"
	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/packet"
	"linecrypt/dataplane/port"
	"linecrypt/dataplane/stream"
	"linecrypt/flowtable"
)

// tracer tells what the stations do with the packets that somebody looks for. While nobody does, Poll looks at one word for it, and
// nothing else of it is touched.
type tracer struct {
	tap    trace.Tap
	on     bool   // in the poll in progress
	packet uint32 // number of the packet that is being worked, 0 for none
	last   uint32 // number of the latest one
	event  trace.Event
	parsed packet.Packet               // of what is sent
	before shm.Block                   // the counters when the packet came
	burst  [port.LargeBurst]*mbuf.Mbuf // of which one packet at a time is worked
	src    [16]byte                    // of the packet at hand
	dst    [16]byte
}

// TraceIn has the worker look for what is to be traced in a region, or nowhere. It is for benches that set one against the other, and called
// between two polls.
func (w *Worker) TraceIn(r trace.Region) { w.trace.tap = trace.NewTap(r) }

// workTraced works a burst as as many bursts of one packet, so that what each led to can be told apart.
func (w *Worker) workTraced(s flowtable.Side, n int, now int64) {
	b := &w.burst
	copy(w.trace.burst[:n], w.ms[s][:n])
	for i := range n {
		w.ms[s][0] = w.trace.burst[i]
		w.parse(s, 1)
		traced := w.traceBegin(s, &b.pkts[0], now)
		w.name(s, 1)
		w.find()
		if traced && b.segments > 0 {
			w.traceVerdict(b.found[0])
		}
		w.work(s, 1, now)
		if traced {
			w.traceEnd(now)
		}
	}
}

// traceBegin begins the story of a packet that was received, and reports whether it is one that somebody looks for. What was gathered
// before it is finished first.
func (w *Worker) traceBegin(s flowtable.Side, p *packet.Packet, now int64) bool {
	t := &w.trace
	if !w.traceFits(p) || !t.tap.Take() {
		return false
	}
	w.finish(now)
	w.traceOwn()
	for side := range w.tx {
		w.tx[side].flush() // room for what the packet leads to
	}
	t.last = max(t.last+1, 1)
	t.packet = t.last
	t.before = *w.n
	w.tracePacket(trace.Rx, s, p)
	return true
}

// traceEnd finishes what the packet led to and tells it.
func (w *Worker) traceEnd(now int64) {
	t := &w.trace
	w.finish(now)
	w.traceSent(false)
	for c := shm.RxInsidePackets; c < shm.NumCounters; c++ {
		if grown := w.n[c] - t.before[c]; grown != 0 && !ofEveryPacket(c) {
			t.event = trace.Event{At: w.now, Packet: t.packet, Station: trace.Count, Counter: uint16(c), Number: grown}
			t.tap.Write(&t.event)
		}
	}
	t.packet = 0
}

// ofEveryPacket reports whether a counter says what the other events say anyway.
func ofEveryPacket(c shm.Counter) bool {
	switch c {
	case shm.RxInsidePackets, shm.RxInsideBytes, shm.RxOutsidePackets, shm.RxOutsideBytes,
		shm.TxInsidePackets, shm.TxInsideBytes, shm.TxOutsidePackets, shm.TxOutsideBytes, shm.PassedBytes:
		return true
	}
	return false
}

// traceVerdict tells what the table knows of the packet's connection.
func (w *Worker) traceVerdict(i flowtable.Index) {
	t := &w.trace
	if t.packet == 0 {
		return
	}
	t.event = trace.Event{At: w.now, Packet: t.packet, Station: trace.Verdict, Flow: uint32(i)}
	if r := w.table.Record(i); r != nil {
		t.event.State, t.event.Policy, t.event.Rule = uint8(r.State), uint8(r.Verdict), uint32(r.Rule)
	}
	t.tap.Write(&t.event)
}

// traceFrames tells what was sealed or opened for the packet at hand.
func (w *Worker) traceFrames(station trace.Station, ops []cryptobatch.Op) {
	t := &w.trace
	if t.packet == 0 {
		return
	}
	for i := range ops {
		n := len(ops[i].Src)
		if station == trace.Open {
			n -= cryptobatch.TagLen
		}
		t.event = trace.Event{At: w.now, Packet: t.packet, Station: station, OK: ops[i].Status == cryptobatch.StatusOK, Length: uint32(max(n, 0))}
		t.tap.Write(&t.event)
	}
}

// traceEmits tells what the translator made: of the packet at hand, else of the connections that somebody looks for.
func (w *Worker) traceEmits() {
	t := &w.trace
	for i := range w.out.Emits {
		e := &w.out.Emits[i]
		k := &e.R.Key
		if e.Kind == stream.EmitNone || t.packet == 0 && !t.tap.Fits(&k.Inside, &k.Outside, k.InsidePort, k.OutsidePort) {
			continue
		}
		to := inside
		if e.Dir == stream.ToWire {
			to = outside
		}
		t.event = trace.Event{
			At: w.now, Packet: t.packet, Station: trace.Translate, Side: uint8(to), Flow: uint32(e.Flow), Flags: e.Flags,
			Seq: e.Seq, Ack: e.Ack, Window: e.Win, Length: uint32(e.Len),
		}
		t.tap.Write(&t.event)
	}
}

// traceOwn tells what the gateway sends by itself on the connections that somebody looks for.
func (w *Worker) traceOwn() { w.traceSent(true) }

// traceSent tells what waits to be sent and was not told yet, all of it or what fits.
func (w *Worker) traceSent(fits bool) {
	t := &w.trace
	for side := range w.tx {
		q := &w.tx[side]
		for _, m := range q.ms[q.told:q.n] {
			t.parsed.Parse(m)
			if !fits || w.traceFits(&t.parsed) {
				w.tracePacket(trace.Tx, flowtable.Side(side), &t.parsed)
			}
		}
		q.told = q.n
	}
}

// traceFits reports whether a packet is between the ends that somebody looks for.
func (w *Worker) traceFits(p *packet.Packet) bool {
	if !addressed(p) {
		return false
	}
	src, dst := &w.trace.src, &w.trace.dst
	p.SrcAddr16(src)
	p.DstAddr16(dst)
	if p.Class != packet.TCP {
		return w.trace.tap.Fits(src, dst, 0, 0)
	}
	return w.trace.tap.Fits(src, dst, p.SrcPort, p.DstPort)
}

// addressed reports whether a packet has addresses that can be read.
func addressed(p *packet.Packet) bool {
	return p.Class == packet.TCP || p.Class == packet.NonTCP || p.Class == packet.Fragment
}

// tracePacket tells of a packet at a port.
func (w *Worker) tracePacket(station trace.Station, s flowtable.Side, p *packet.Packet) {
	e := &w.trace.event
	*e = trace.Event{
		At: w.now, Packet: w.trace.packet, Station: station, Side: uint8(s), IP: p.Ver, Proto: p.Proto, VLAN: p.VLAN, Size: p.M.PktLen,
	}
	if addressed(p) {
		p.SrcAddr16(&e.Src)
		p.DstAddr16(&e.Dst)
	}
	if p.Class == packet.TCP {
		e.SrcPort, e.DstPort, e.Seq, e.Ack, e.Window, e.Flags = p.SrcPort, p.DstPort, p.Seq, p.Ack, p.Win, p.Flags
		e.Length, e.Options = uint32(p.PayloadLen), optionsTold(&p.Opt)
	}
	w.trace.tap.Write(e)
}

func optionsTold(o *packet.Options) (told uint8) {
	for _, k := range [...]struct {
		has  packet.OptSet
		told uint8
	}{
		{packet.OptTimestamps, trace.OptionTimestamps}, {packet.OptSACK | packet.OptSACKPermitted, trace.OptionSACK}, {packet.OptENO, trace.OptionENO},
		{packet.OptMSS, trace.OptionMSS}, {packet.OptWScale, trace.OptionWindowScale}, {packet.OptTFO, trace.OptionFastOpen},
	} {
		if o.HasAny(k.has) {
			told |= k.told
		}
	}
	return told
}
