package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"linecrypt/bench/cores"
	"linecrypt/bench/packetpath"
	"linecrypt/dataplane/tsc"
)

const (
	refresh = time.Second            // top draws, and the page gets a point, once in that time
	slot    = 100 * time.Millisecond // a turn, which holds one such refresh or none
	slots   = int(refresh / slot)
	early   = 40 * time.Millisecond // before a point comes, its slot begins
	flows   = 1000                  // connections, which are listed
	size    = 512                   // bytes of plaintext in a segment
)

// watcher is somebody who looks, or nobody.
type watcher struct {
	name   string
	look   func()       // has what is done once in a refresh be done
	stop   func()       // ends what look began
	seen   func() sight // grows by what is done
	ratios []float64    // of a packet's time, to that in the turns before and after, of nobody at all
	missed int          // turns in which it was not done
}

// sight counts what somebody has seen, of two kinds.
type sight [2]int64

// all reports whether of both kinds there is more than there was.
func (s sight) all(before sight) bool { return s[0] > before[0] && s[1] > before[1] }

// live prints what watchers cost until a time, and reports whether it is little.
func live(ctx context.Context, core int, until time.Time) (ok bool, err error) {
	b, err := newBed(ctx)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	undo, err := cores.Pin(core)
	if err != nil {
		return false, err
	}
	defer undo()
	none, looked := func() {}, int64(0)
	nobody := &watcher{name: "nobody, who shows what this can tell", look: none, stop: none, seen: func() sight { looked++; return sight{looked, looked} }}
	top := &watcher{name: "linecrypt top", look: b.wakeTop, stop: b.stopTop, seen: b.drawn}
	page := &watcher{name: "the page: its events, and its list", look: b.askForList, stop: none, seen: b.shown}
	p := &plan{ctx: ctx, until: until, bed: b, nobody: nobody, top: top, page: page}
	if err := b.world.Batches(packetpath.Load{Case: packetpath.Both, Size: size}, p.batch); err != nil {
		return false, err
	}
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	s := spreadOf(p.quiet)
	hz := tsc.PerSecond(50*time.Millisecond) / 1e9
	fmt.Printf("one worker, %d connections, both directions, %d bytes; %d turns of %v; a packet while nobody looks: %.0f ns (%.0f to %.0f)\n",
		flows, size, p.turns, slot, s.median/hz, s.low/hz, s.high/hz)
	ok = true
	for _, w := range []*watcher{nobody, top, page} {
		if w.missed > len(w.ratios) {
			return false, fmt.Errorf("%s: nothing came of it in %d turns, and something in %d", w.name, w.missed, len(w.ratios))
		}
		fine := verdict(w.name, w.cost(), fmt.Sprintf("; %d turns", len(w.ratios)))
		ok = ok && (fine || w == nobody)
	}
	control, tops := b.used()
	fmt.Printf("of another core the control plane takes %.1f %%, with a page, and linecrypt top %.1f %%\n", 100*control, 100*tops)
	return ok, nil
}

// cost is what looking costs: a turn holds a refresh, of which there is one in a second.
func (w *watcher) cost() interval { return intervalOf(w.ratios).over(float64(slots)) }
