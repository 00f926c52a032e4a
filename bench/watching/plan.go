package main

import (
	"context"
	"math/rand/v2"
	"time"

	"linecrypt/bench/packetpath"
)

// plan divides the time into turns. In each second, every other one belongs to somebody, and those between to nobody at all: first the page,
// whose turn is set so that the point of that second comes in it, then linecrypt top and the one who does nothing, twice each in any order.
type plan struct {
	ctx               context.Context
	until             time.Time
	bed               *bed
	nobody, top, page *watcher

	begun  time.Time // the second at hand; zero between two
	ended  time.Time // the one before
	order  [slots]*watcher
	number int     // of the turn in it
	turn   turning // at hand
	last   [2]done // the two turns before that, the older one first
	turns  int
	quiet  []float64 // ticks of a packet in turns of nobody at all
}

// turning is a turn in progress.
type turning struct {
	who            *watcher // nil for nobody at all
	seen           sight
	packets, ticks uint64 // of the batches in which the worker had its core
}

// done is a turn that is over.
type done struct {
	who  *watcher
	time float64 // ticks of a packet; 0 where that is not known
}

// batch is called after each batch.
func (p *plan) batch(t packetpath.Taken) bool {
	now := time.Now()
	if t.Whole {
		p.turn.packets, p.turn.ticks = p.turn.packets+t.Packets, p.turn.ticks+t.Ticks
	}
	if !p.begun.IsZero() {
		number := int(now.Sub(p.begun) / slot)
		if number == p.number {
			return true
		}
		if p.finish(number); number < slots {
			p.begin(number)
			return true
		}
		p.begun, p.ended = time.Time{}, now
	}
	if p.ctx.Err() != nil || !now.Before(p.until) || p.known() {
		return false
	}
	if p.due(now) {
		p.begun = now
		p.share()
		p.begin(0)
	}
	return true
}

// due reports whether it is time for a second to begin: shortly before its point comes.
func (p *plan) due(now time.Time) bool {
	if now.Sub(p.ended) > slot {
		p.last = [2]done{} // too long ago to compare with
	}
	begin := time.Unix(0, p.bed.point.Load()).Add(refresh - early)
	return !now.Before(begin) && now.Sub(begin) < early/2
}

// share says to whom the turns of a second belong.
func (p *plan) share() {
	some := []*watcher{p.top, p.nobody, p.top, p.nobody}
	rand.Shuffle(len(some), func(i, j int) { some[i], some[j] = some[j], some[i] })
	p.order = [slots]*watcher{0: p.page}
	for i, w := range some {
		p.order[2*(i+1)] = w
	}
}

// begin begins a turn.
func (p *plan) begin(number int) {
	p.number, p.turn = number, turning{who: p.order[number]}
	if w := p.turn.who; w != nil {
		w.look()
		p.turn.seen = w.seen()
	}
}

// finish ends the turn at hand; the next one has a number, which is not the next where the machine was busy for long.
func (p *plan) finish(next int) {
	t := &p.turn
	now := done{who: t.who}
	if t.packets > 0 && (next == p.number+1) {
		now.time = float64(t.ticks) / float64(t.packets)
	}
	if w := t.who; w != nil {
		if !w.seen().all(t.seen) {
			w.missed++
			now.time = 0
		}
		w.stop()
	} else if now.time != 0 {
		p.quiet = append(p.quiet, now.time)
	}
	if a, b := p.last[0], p.last[1]; b.who != nil && a.who == nil && now.who == nil && a.time != 0 && b.time != 0 && now.time != 0 {
		b.who.ratios = append(b.who.ratios, b.time/((a.time+now.time)/2))
	}
	p.last = [2]done{p.last[1], now}
	p.turns++
}

// known reports whether it is known what each costs. It looks now and then.
func (p *plan) known() bool {
	if p.turns%(10*slots) >= slots {
		return false
	}
	for _, w := range []*watcher{p.nobody, p.top, p.page} {
		if !w.cost().narrow() {
			return false
		}
	}
	return true
}
