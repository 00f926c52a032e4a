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

// fastBegin begins a run with a segment from side s, and reports whether its connection is one for the fast path; r is nil where it is of
// no connection.
func (w *Worker) fastBegin(s flowtable.Side, p *packet.Packet, i flowtable.Index, r *flowtable.Record, now int64) bool {
	if r == nil || !r.Local.Common || r.State != flowtable.Encrypted || !w.params.FastPath || r.Local.PathGen != w.paths.gen {
		return false
	}
	from, to, path, grows := &r.Host, &r.Peer, r.Local.PeerPath, overhead
	if s == outside {
		from, to, path, grows = &r.Peer, &r.Host, r.Local.HostPath, -overhead
	}
	room := max(to.MSS, minMSS)
	if path != 0 {
		room = min(room, path)
	}
	f := &w.fastRun
	f.i, f.r, f.side, f.taken = i, r, s, 0
	f.ts = r.Flags&flowtable.FlagTimestamps != 0
	f.aged = aged(r, now)
	f.stale = f.aged || from.Flags&endpointFresh == 0
	f.limit = int(room) + int(headers(p.Ver == 4)) - grows
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

// fastTake gives the fast path segments of the run and returns how many it took, from the first on.
func (w *Worker) fastTake(burst []packet.Packet, count int) (taken int) {
	for taken < count {
		n := w.fastTrain(burst[taken:], count-taken)
		if n == 0 {
			w.out.Ahead(burst[taken:], w.fastRun.side == inside)
			if !w.fastSegment(&burst[taken]) {
				break
			}
			n = 1
		}
		taken += n
	}
	return taken
}

// fastTrain gives the fast path the segments of the run that are in plain packets, from the first on, and returns how many it took: none
// while the first one is to tell its template.
func (w *Worker) fastTrain(burst []packet.Packet, n int) int {
	f := &w.fastRun
	first := &burst[0]
	if f.stale || !first.Plain(f.ts) {
		return 0
	}
	taken := f.run.Train(burst, n, f.side == inside, f.ts, f.limit-first.IPLen()+int(first.PayloadLen))
	f.taken += uint64(taken)
	f.trains += uint64(taken)
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
