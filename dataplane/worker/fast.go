package worker

import (
	"unsafe"

	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/dataplane/packet"
	"linecrypt/dataplane/stream"
	"linecrypt/flowtable"
)

// fastRun is the run of one connection's segments that the translator's fast path is taking, with what the worker asks once for all of
// them. What the full way does beside the translator (templates, paths, their MTU) must have nothing to do for such segments.
type fastRun struct {
	run    *stream.Run
	i      flowtable.Index
	r      *flowtable.Record
	side   flowtable.Side
	ts     bool // segments carry timestamps
	stale  bool // the template of the segments' direction is to be captured anew,
	aged   bool // and that of the other one, when a segment comes from there
	limit  int  // longest IP packet that becomes one which fits its way
	taken  uint64
	trains uint64 // segments of all runs that were taken in trains: what shows that the twin tests play them
	common packet.Common
}

// frameHead is how many bytes a frame begins with that an emit of the common kind has.
const frameHead = tcpcrypt.HeaderLen + tcpcrypt.FlagsLen

// quick reports whether a connection is one for the fast path; r is nil where there is none.
func (w *Worker) quick(r *flowtable.Record) bool {
	return r != nil && r.Local.Common && r.State == flowtable.Encrypted && w.params.FastPath && r.Local.PathGen == w.paths.gen
}

// fastRoom is the largest TCP payload that becomes one which fits its way, to an end that announced that MSS over a path. Grows is what it becomes
// longer by.
func fastRoom(mss, path uint16, grows int) int {
	room := max(mss, minMSS)
	if path != 0 {
		room = min(room, path)
	}
	return int(room) - grows
}

// train gives the fast path the first segments of a burst, count at most, which are a connection's, from the first on as far as they are in plain
// packets, and returns how many it took: none while the first one is to tell its template.
func (w *Worker) train(s flowtable.Side, i flowtable.Index, r *flowtable.Record, burst []packet.Packet, count int, now int64) (taken int) {
	if !w.quick(r) || aged(r, now) {
		return 0
	}
	first, ts := &burst[0], r.Flags&flowtable.FlagTimestamps != 0
	if !first.Judged() {
		packet.VerifyFirst(burst, count) // once for all of them
	}
	if !first.Plain(ts) {
		return 0
	}
	if s == inside {
		if r.Host.Flags&endpointFresh == 0 {
			return 0
		}
		taken = w.core.HostTrain(i, r, burst, count, ts, fastRoom(r.Peer.MSS, r.Local.PeerPath, overhead)-first.OptionsLen())
	} else {
		if r.Peer.Flags&endpointFresh == 0 {
			return 0
		}
		taken = w.core.WireTrain(i, r, burst, count, ts, fastRoom(r.Host.MSS, r.Local.HostPath, -overhead)-first.OptionsLen())
	}
	if taken > 0 {
		w.fastRun.trains += uint64(taken)
		w.n[shm.FastSegments] += uint64(taken)
		w.scheduleCommon(i, r, now)
	}
	return taken
}

// fastBegin begins a run with a segment from side s, and reports whether its connection is one for the fast path; r is nil where it is of
// no connection.
func (w *Worker) fastBegin(s flowtable.Side, p *packet.Packet, i flowtable.Index, r *flowtable.Record, now int64) bool {
	if !w.quick(r) {
		return false
	}
	from, room := &r.Host, fastRoom(r.Peer.MSS, r.Local.PeerPath, overhead)
	if s == outside {
		from, room = &r.Peer, fastRoom(r.Host.MSS, r.Local.HostPath, -overhead)
	}
	f := &w.fastRun
	f.i, f.r, f.side, f.taken = i, r, s, 0
	f.ts = r.Flags&flowtable.FlagTimestamps != 0
	f.aged = aged(r, now)
	f.stale = f.aged || from.Flags&endpointFresh == 0
	f.limit = room + int(headers(p.Ver == 4))
	f.run = w.core.BeginRun(i, r, now, w.out)
	return true
}

// fastSegment gives the fast path another segment of the run and reports whether that took it.
func (w *Worker) fastSegment(p *packet.Packet) bool {
	f := &w.fastRun
	if p.Flags&^packet.FlagPSH != packet.FlagACK || !p.CommonOptions(f.ts) || !p.Verify() || p.PayloadLen > 0 && p.IPLen() > f.limit {
		return false
	}
	if f.stale {
		capture(&w.fresh, p)
	}
	seg := &w.seg
	seg.M = p.M
	seg.Off, seg.Len = p.M.DataOff()+int(p.Payload), int(p.PayloadLen)
	seg.Seq, seg.Ack, seg.Win, seg.Urg, seg.Flags = p.Seq, p.Ack, p.Win, 0, p.Flags
	seg.HasTS, seg.TSVal, seg.TSEcr = f.ts, p.Opt.TSVal, p.Opt.TSEcr
	seg.NSACK = 0
	var em *stream.Emit
	took := false
	if f.side == inside {
		em, took = f.run.FastEgress(seg)
	} else {
		if p.PayloadLen > 0 {
			p.NoteHeaders() // for when the frame is opened; without a look at what is there: that line of the buffer is cold
		}
		em, took = f.run.FastIngress(seg)
	}
	if !took {
		return false
	}
	f.taken++
	if f.stale {
		w.renew(f.side, f.r, f.aged)
		f.stale = false
	}
	if em != nil {
		p.Translate(em.Off, em.Len, &em.Translation)
		if f.side == inside && em.Len > 0 {
			*(*[frameHead]byte)(unsafe.Add(em.M.BufAddr, em.Off)) = em.FrameHead
		}
		em.Kind = stream.EmitReady
	}
	return true
}

// fastTake gives the fast path the first segments of the run [from, to) of the burst, up to one that train may take, and returns how many it took.
func (w *Worker) fastTake(s flowtable.Side, run, from, to int, now int64) (taken int) {
	b := &w.burst
	if !w.fastBegin(s, &b.pkts[from], b.found[run], b.records[run], now) {
		return 0
	}
	for i := from; i < to && (i == from || !b.pkts[i].Plain(w.fastRun.ts)); i++ {
		w.out.Ahead(b.pkts[i:b.n], s == inside)
		if !w.fastSegment(&b.pkts[i]) {
			break
		}
		taken++
	}
	w.fastEnd(now)
	return taken
}

// fastEnd ends the run that fastBegin began.
func (w *Worker) fastEnd(now int64) {
	f := &w.fastRun
	f.run.EndRun()
	if f.taken > 0 {
		w.n[shm.FastSegments] += f.taken
		w.scheduleCommon(f.i, f.r, now)
	}
}

// fast gives the fast path a segment as a run of its own and reports whether that took it.
func (w *Worker) fast(s flowtable.Side, p *packet.Packet, i flowtable.Index, r *flowtable.Record, now int64) bool {
	if !w.fastBegin(s, p, i, r, now) {
		return false
	}
	took := w.fastSegment(p)
	w.fastEnd(now)
	return took
}

// scheduleCommon is schedule for a flow in its common state, which waits for nothing but the far end's acknowledgements and an end of its
// own silence: in most cases its timer fires early enough for these.
func (w *Worker) scheduleCommon(i flowtable.Index, r *flowtable.Record, now int64) {
	t := &r.Local.Timer
	if t.Slot != 0 && t.Deadline <= now+w.params.FlowIdle && (r.Egress.Queue.Count == 0 || t.Deadline <= stream.LooksAt(r)) {
		return
	}
	w.schedule(i, r)
}

// emitReady sends a segment whose headers are made.
func (w *Worker) emitReady(e *stream.Emit) {
	to := inside
	if e.Dir == stream.ToWire {
		to = outside
	}
	t := &w.tx[to]
	if !t.offload {
		packet.CompleteSum(e.M)
	}
	t.push(e.M)
}
