package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"linecrypt/bench/cores"
	"linecrypt/bench/packetpath"
)

// traceOff measures one worker while a trace is off, and while nobody could trace, in turns until a time. Tables of two worlds do not lie
// alike, which shows in the time of a packet, so both are of one world, and there are many worlds.
func traceOff(ctx context.Context, core int, until time.Time) (bool, error) {
	undo, err := cores.Pin(core)
	if err != nil {
		return false, err
	}
	defer undo()
	cases := []packetpath.Case{packetpath.Seal, packetpath.Open}
	ratios, worlds := make([][]float64, len(cases)), 0
	for known := false; !known && time.Now().Before(until); worlds++ {
		known = worlds%10 == 9 // it takes long to look
		for i, c := range cases {
			some, err := traceWorld(ctx, c)
			if err != nil {
				return false, err
			}
			ratios[i] = append(ratios[i], some...)
			known = known && intervalOf(ratios[i]).narrow()
		}
	}
	fine := true
	for i, c := range cases {
		fine = verdict(fmt.Sprintf("a trace that is off, %s, 64 bytes", c), intervalOf(ratios[i]), fmt.Sprintf("; %d turns in %d worlds", len(ratios[i]), worlds)) && fine
	}
	return fine, nil
}

// traceWorld returns the times of a packet where somebody could trace over those where nobody could, of one world.
func traceWorld(ctx context.Context, c packetpath.Case) (ratios []float64, err error) {
	const flows, some = 100, 20
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	w, err := packetpath.New(packetpath.Options{Flows: flows})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	return w.Compare(packetpath.Load{Case: c, Size: 64}, some, w.Traceable)
}
