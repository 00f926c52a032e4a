package worker

import (
	"linecrypt/ctrlplane/shm"
	"linecrypt/dataplane/packet"
	"linecrypt/dataplane/stream"
	"linecrypt/flowtable"
)

// fast gives a segment of an encrypted flow to the translator's fast path and reports whether that took it; r is nil where it is of no
// flow. What the full way does beside the translator (templates, paths, their MTU) must have nothing to do for this segment.
func (w *Worker) fast(s flowtable.Side, p *packet.Packet, i flowtable.Index, r *flowtable.Record, now int64) bool {
	if r == nil || !r.Local.Common || r.State != flowtable.Encrypted {
		return false
	}
	ts := r.Flags&flowtable.FlagTimestamps != 0
	if !w.params.FastPath || r.Local.PathGen != w.paths.gen || now>>freshTick != r.LastSeen>>freshTick ||
		p.Flags&^packet.FlagPSH != packet.FlagACK || !p.CommonOptions(ts) || !p.Verify() {
		return false
	}
	seg := &w.seg
	seg.M = p.M
	seg.Off, seg.Len = p.M.DataOff()+int(p.Payload), int(p.PayloadLen)
	seg.Seq, seg.Ack, seg.Win, seg.Urg, seg.Flags = p.Seq, p.Ack, p.Win, 0, p.Flags
	seg.HasTS, seg.TSVal, seg.TSEcr = ts, p.Opt.TSVal, p.Opt.TSEcr
	seg.NSACK = 0
	p.NoteHeaders() // without a look at what is there: that line of the buffer is cold
	taken := false
	if s == inside {
		taken = r.Host.Flags&endpointFresh != 0 && !w.exceeds(p, r) && w.core.FastEgress(i, r, seg, now, w.out)
	} else {
		taken = r.Peer.Flags&endpointFresh != 0 && w.core.FastIngress(i, r, seg, now, w.out)
	}
	if !taken {
		return false
	}
	w.n[shm.FastSegments]++
	w.scheduleCommon(i, r, now)
	return true
}

// exceeds reports whether a host's segment makes a longer frame than the path takes, so that the host is perhaps to be told.
func (w *Worker) exceeds(p *packet.Packet, r *flowtable.Record) bool {
	path := int(r.Local.PeerPath)
	return path != 0 && p.IPLen()+overhead > path+int(headers(p.Ver == 4))
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

// emitCommon sends a segment of the common kind, and reports false where it does not fit its way, or its headers are not as they
// were noted.
func (w *Worker) emitCommon(e *stream.Emit) bool {
	to, end, path := inside, &e.R.Host, e.R.Local.HostPath
	if e.Dir == stream.ToWire {
		to, end, path = outside, &e.R.Peer, e.R.Local.PeerPath
	}
	h, t := &w.common, &w.translation
	if !h.Read(e.M) || e.M.DataOff()+h.Payload != e.Off || e.R.Local.PathGen != w.paths.gen {
		return false
	}
	if e.Len > 0 {
		room := max(end.MSS, minMSS)
		if path != 0 {
			room = min(room, path)
		}
		if e.Len > int(room)+int(headers(h.IPv4))-(h.Payload-h.L3) {
			return false
		}
	}
	t.Seq, t.Ack, t.Win, t.Flags, t.NewTS, t.TSVal, t.TSEcr = e.Seq, e.Ack, e.Win, e.Flags, e.NewTS, e.TSVal, e.TSEcr
	h.Translate(e.M, t, w.tx[to].offload)
	w.tx[to].push(e.M)
	return true
}
