package worker

import (
	"linecrypt/ctrlplane/shm"
	"linecrypt/dataplane/packet"
	"linecrypt/dataplane/stream"
	"linecrypt/flowtable"
)

// enoACK is the non-SYN form of the ENO option (RFC 8547 section 4.1), with no contents because tcpcrypt gives it none.
var enoACK = []byte{packet.KindENO, 2}

// emit sends a segment of the translator's: one that was received with new fields, or one of its own.
func (w *Worker) emit(e *stream.Emit) {
	switch e.Kind {
	case stream.EmitNone:
		return
	case stream.EmitReady:
		w.emitReady(e)
		return
	case stream.EmitCommon: // a frame that was opened
		if h := &w.fastRun.common; h.Read(e.M) {
			h.Translate(e.M, e.Off, e.Len, &e.Translation)
			w.emitReady(e)
			return
		}
		w.n[shm.DropInternal]++
		w.cache.Free(e.M)
		return
	}
	to, tpl := inside, &e.R.Rare.ToHost
	if e.Dir == stream.ToWire {
		to, tpl = outside, &e.R.Rare.ToWire
	}
	p := &w.scratch
	ok := false
	if e.Kind == stream.EmitBuild {
		ok = w.build(p, e, tpl)
	} else {
		ok = w.forward(p, e)
	}
	if !ok {
		w.n[shm.DropInternal]++
		w.cache.Free(e.M)
		return
	}
	if e.Len > 0 {
		if limit := w.room(e.R, to, p); e.Len > limit {
			w.sendPieces(to, p, limit)
			return
		}
	}
	p.Finish(w.tx[to].offload)
	w.tx[to].push(e.M)
}

// forward writes the emit's fields into the headers in front of its payload.
func (w *Worker) forward(p *packet.Packet, e *stream.Emit) bool {
	if !p.Resume(e.M, e.Len) || e.M.DataOff()+int(p.Payload) != e.Off {
		return false
	}
	if e.NewTS {
		p.SetTimestamps(e.TSVal, e.TSEcr)
	}
	if e.NSACK > 0 || p.Opt.Has(packet.OptSACK) {
		// The payload with its overhead fills a segment as the MSS allows, so the header may grow only where there is none.
		grow := 0
		if e.Len == 0 {
			grow = packet.MaxOptions
		}
		p.SetSACK(e.SACK[:e.NSACK], grow)
	}
	if e.Dir == stream.ToWire && e.R.Flags&flowtable.FlagSendENO != 0 && !w.addENO(p) {
		return false
	}
	p.SetTCP(e.Seq, e.Ack, e.Win, e.Flags, e.Urg)
	return true
}

// addENO puts ENO on a segment of a host's: all segments have it until the far end's first without SYN (RFC 8547 section 4.6). SACK
// blocks, which are the gateway's own, give way.
func (w *Worker) addENO(p *packet.Packet) bool {
	return p.InsertENO(enoACK) || p.SetSACK(nil, 0) == 0 && p.InsertENO(enoACK)
}

// build makes headers from the flow's template in front of the emit's payload.
func (w *Worker) build(p *packet.Packet, e *stream.Emit, tpl *flowtable.Template) bool {
	seg := &w.own
	*seg = packet.Seg{
		Seq: e.Seq, Ack: e.Ack, Win: e.Win, Urg: e.Urg, Flags: e.Flags, NSACK: e.NSACK, SACK: e.SACK,
		HasTS: e.HasTS, CE: e.CE, TSVal: e.TSVal, TSEcr: e.TSEcr, ID: w.nextID(),
	}
	if e.Dir == stream.ToWire && e.R.Flags&flowtable.FlagSendENO != 0 {
		seg.ENO = enoACK
	}
	e.M.SetBounds(e.Off, e.Len)
	return p.Prepend(e.M, template(tpl), seg)
}

// send builds and sends a segment without payload.
func (w *Worker) send(to flowtable.Side, t *packet.Template, seg *packet.Seg) {
	m := w.cache.Alloc()
	if m == nil {
		w.n[shm.DropNoBuffer]++
		return
	}
	p := &w.made
	seg.ID = w.nextID()
	if !p.Build(m, t, seg, 0) {
		w.n[shm.DropInternal]++
		w.cache.Free(m)
		return
	}
	p.Finish(w.tx[to].offload)
	w.tx[to].push(m)
}
