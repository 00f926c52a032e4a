package worker

import (
	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/trace"
	"linecrypt/dataplane/stream"
	"linecrypt/dataplane/tsc"
	"linecrypt/flowtable"
)

// finish works what the translator has gathered: the crypto of all segments at once, then the packets, then the events.
func (w *Worker) finish(now int64) {
	if w.out.Pending() || len(w.out.Emits)+len(w.out.Events) > 0 {
		w.mark = tsc.Now()
		w.finishStage(now)
	}
}

// finishStage is finish for the stages' account: it begins where the stage before it ended.
func (w *Worker) finishStage(now int64) {
	if w.out.Pending() {
		w.crypt(now)
	}
	if len(w.out.Emits) > 0 {
		w.emitAll()
	}
	if len(w.out.Events) > 0 {
		w.tellAll(now)
		return
	}
	w.out.Reset()
}

// crypt seals and opens what the translator has gathered, and what comes of that.
func (w *Worker) crypt(now int64) {
	for w.out.Pending() {
		n := len(w.out.Seals) + len(w.out.Opens)
		w.batch.Seal(w.out.Seals)
		if w.trace.on {
			w.traceFrames(trace.Seal, w.out.Seals)
		}
		if len(w.out.Seals) > 0 {
			w.spend(shm.StageCrypto, n)
			n = 0
			w.core.Sealed(w.out, now)
			w.spend(shm.StageStream, 0)
		}
		w.batch.Open(w.out.Opens)
		if w.trace.on {
			w.traceFrames(trace.Open, w.out.Opens)
		}
		if len(w.out.Opens) > 0 {
			w.spend(shm.StageCrypto, n)
			w.core.Opened(w.out, now)
			w.spend(shm.StageStream, 0)
		}
	}
}

// emitAll sends the packets that the translator has gathered.
func (w *Worker) emitAll() {
	if w.trace.on {
		w.traceEmits()
	}
	for emits := w.out.Emits; len(emits) > 0; {
		n := w.pushReady(emits)
		if n == 0 {
			w.emit(&emits[0])
			n = 1
		}
		emits = emits[n:]
	}
	w.spend(shm.StageRewrite, len(w.out.Emits))
}

// pushReady gathers the first of some emits, those that are ready for one port which completes their checksums, as far as there is room, and
// returns how many.
func (w *Worker) pushReady(emits []stream.Emit) (n int) {
	dir := emits[0].Dir
	t := &w.tx[inside]
	if dir == stream.ToWire {
		t = &w.tx[outside]
	}
	if !t.offload {
		return 0
	}
	room, bytes := t.ms[t.n:t.most], uint64(0)
	for ; n < len(emits) && n < len(room); n++ {
		e := &emits[n]
		if e.Kind != stream.EmitReady || e.Dir != dir {
			break
		}
		room[n] = e.M
		bytes += uint64(e.M.PktLen)
	}
	t.n += n
	*t.bytes += bytes
	return n
}

// tellAll empties the output, and acts on the events that were in it. One may make the worker forget a connection, which finishes what is gathered
// first: such a call in a call has a list of its own.
func (w *Worker) tellAll(now int64) {
	events := append(w.events[w.depth][:0], w.out.Events...)
	w.out.Reset()
	w.depth++
	for e := range events {
		w.event(&events[e], now)
	}
	w.depth--
}

// flush sends what is gathered for the ports.
func (w *Worker) flush() {
	if w.tx[inside].n+w.tx[outside].n == 0 {
		return
	}
	n := w.tx[outside].flush() + w.tx[inside].flush()
	w.spend(shm.StageTx, n)
}

// event acts on what the translator tells.
func (w *Worker) event(e *stream.Event, now int64) {
	r := e.R
	if r.State == flowtable.Free {
		return
	}
	switch e.Kind {
	case stream.EventInit:
		w.initReady(e.Flow, r, e.Data, now)
	case stream.EventAbort:
		w.over(e.Flow, r, abortReason(e.Reason), flowtable.Unaware)
	case stream.EventReset:
		w.over(e.Flow, r, shm.ReasonReset, flowtable.Unaware)
	case stream.EventClosed:
		// The translator goes on answering retransmissions until EventRelease.
		w.over(e.Flow, r, shm.ReasonFinished, 0)
	case stream.EventRelease:
		w.lingered(e.Flow, r, now)
		return
	}
	w.schedule(e.Flow, r)
}

// abortReason tells the control plane, in its own terms, why the translator aborted.
func abortReason(c shm.Counter) shm.Reason {
	switch c {
	case shm.AbortAuth:
		return shm.ReasonAuthentication
	case shm.AbortFinWithoutFinp:
		return shm.ReasonTruncated
	case shm.AbortOwnTimeout, shm.AbortDelivery, shm.AbortReassembly, shm.AbortFarEndTimeout:
		return shm.ReasonTimeout
	case shm.AbortKeepAlive:
		return shm.ReasonKeepAlive
	case shm.AbortKeyLimit:
		return shm.ReasonKeyLimit
	case shm.AbortInit:
		return shm.ReasonBadInit
	case shm.AbortCaller:
		return shm.ReasonReset
	}
	return shm.ReasonProtocol
}
