package packetpath

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"time"

	"linecrypt/ctrlplane/shm"
	"linecrypt/dataplane/tsc"
	"linecrypt/flowtable"
)

// proofBatches is how many small batches are looked at packet by packet before the clock runs.
const proofBatches = 8

// warmth is how many batches run before those that count: stocks have then come to the size that they keep.
const warmth = 3

// Measure runs a load until at least so many packets have been handled, acknowledgements included, and says what that took. The caller
// may have pinned its thread. The error wraps ErrWrong where what came out is not what should.
func (w *World) Measure(l Load, packets int) (r Result, err error) {
	err = w.under(l, func(l Load) error {
		share, t := Share(), totals{}
		for t.packets < uint64(packets) {
			if err := w.run(&t, l, uint64(l.Batch), false); err != nil {
				return err
			}
		}
		r = t.result(w, l)
		r.Core = share()
		return nil
	})
	return r, err
}

// under calls f with a load, defaults filled in, that has run for a while.
func (w *World) under(l Load, f func(Load) error) error {
	l = l.withDefaults()
	if err := l.check(); err != nil {
		return err
	}
	if (l.Case == Pass) != w.opt.Plain {
		return fmt.Errorf("case %s needs other flows", l.Case)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	// The data plane collects no garbage while it runs (a test of its own shows that it makes none).
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	w.begin(l)
	err := w.warm(l)
	if err == nil {
		err = f(l)
	}
	return errors.Join(err, w.end(l, err))
}

// warm looks at all that comes out, and lets stocks come to their size.
func (w *World) warm(l Load) error {
	for range proofBatches {
		if err := w.run(nil, l, txRing/2, true); err != nil {
			return err
		}
	}
	for n := 0; n < warmth*l.Batch+2*l.Lag; n += l.Batch {
		if err := w.run(nil, l, uint64(l.Batch), false); err != nil {
			return err
		}
	}
	return nil
}

// begin makes a load's first segments follow what the last load sent.
func (w *World) begin(l Load) {
	for s := range w.ways {
		y := &w.ways[s]
		n := int64(0)
		if y.flows > 0 {
			n = y.sent / y.flows
		}
		side := flowtable.Side(s)
		shift := 0
		if side == flowtable.Outside {
			shift = w.opt.Flows / 2 // what goes the other way belongs to other flows
		}
		next := way{
			order: newOrder(w.opt.Flows, l.DataPerAck, l.Apart, shift), p: y.at(flowtable.Inside, n), w: y.at(flowtable.Outside, n),
			size: uint64(l.Size), frame: uint64(l.Size + frameOverhead),
		}
		if l.Case == Both || (l.Case == Open) == (side == flowtable.Outside) {
			next.until = 1 << 62
		}
		if w.opt.Plain {
			next.frame = next.size
		}
		*y = next
	}
}

// end lets every flow send as much as the others and waits for all acknowledgements, unless the load has failed.
func (w *World) end(l Load, failed error) error {
	if failed != nil {
		return nil
	}
	inside, outside := &w.ways[flowtable.Inside], &w.ways[flowtable.Outside]
	inside.levelOut()
	outside.levelOut()
	for !inside.idle() || !outside.idle() {
		for _, y := range []*way{inside, outside} {
			if !y.sends() {
				y.drain()
			}
		}
		if err := w.run(nil, l, uint64(l.Batch), false); err != nil {
			return err
		}
	}
	return nil
}

// run writes a batch, polls it with the clock running, and looks at what came out. What it took is added to t, if that is not nil.
func (w *World) run(t *totals, l Load, n uint64, all bool) error {
	var b batch
	if err := w.fill(&b, l, n); err != nil {
		return err
	}
	before := *w.n
	var mem runtime.MemStats
	if t != nil {
		runtime.ReadMemStats(&mem)
	}
	allocs := mem.Mallocs
	w.start()
	ticks, used, err := w.handle(&b)
	w.stop()
	if w.crew != nil {
		w.crew.sum(&w.total)
	}
	if err != nil {
		return err
	}
	if t != nil {
		runtime.ReadMemStats(&mem)
		if t.counts(ticks, used) {
			t.add(w, &b, &before, ticks)
		}
		t.allocs += mem.Mallocs - allocs
	}
	for w.poll() > 0 { // timers that became due at the very end
	}
	if err := w.count(&b, &before); err != nil {
		return err
	}
	return w.look(&b, all)
}

// handle polls a batch, and returns the ticks that took and how long the thread had a core meanwhile; of several, the one that had its core least.
func (w *World) handle(b *batch) (ticks uint64, used time.Duration, err error) {
	if w.crew != nil {
		return w.crew.run(b.total())
	}
	used, from := threadTime(), tsc.Now()
	for range b.bursts {
		w.worker.Poll(w.now())
	}
	return tsc.Now() - from, threadTime() - used, nil
}

// totals are sums over batches.
type totals struct {
	packets, segments, polls, ticks, allocs uint64
	polled, lost                            uint64 // batches that count, and others
	stages                                  [shm.NumStages]uint64
}

// counts reports whether a batch is one that counts: the thread had its core all the time. What is left of a batch that it lost the core
// in tells of the other process. Where that is nearly always so, all batches count.
func (t *totals) counts(ticks uint64, used time.Duration) bool {
	const lost = 0.03 // of the time
	if float64(used) >= (1-lost)*float64(ticks)/tscRate() || t.lost > patience*(t.polled+1) {
		t.polled++
		return true
	}
	t.lost++
	return false
}

// patience is how many batches may be lost for each one that counts.
const patience = 4

func (t *totals) add(w *World, b *batch, before *shm.Block, ticks uint64) {
	t.packets += b.total()
	for s := range w.ways {
		t.segments += uint64(w.ways[s].sent - b.from[s].sent)
	}
	t.polls += uint64(b.bursts)
	t.ticks += ticks
	for s := range t.stages {
		c := shm.Stage(s).Cycles()
		t.stages[s] += w.n[c] - before[c]
	}
}
