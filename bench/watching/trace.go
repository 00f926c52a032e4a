package main

import (
	"context"
	"errors"
	"fmt"

	"linecrypt/bench/packetpath"
)

// traceOff measures one worker with a trace that is off, and one that nobody could trace, in turns. Tables of two workers do not lie alike,
// which shows in the time of a packet, so each turn has new ones.
func traceOff(ctx context.Context, rounds int) (bool, error) {
	const flows, packets, parts = 1000, 100_000, 3
	fine := true
	for _, c := range []packetpath.Case{packetpath.Seal, packetpath.Open} {
		var ratios []float64
		for range rounds {
			var mpps [2]float64
			for i, trace := range []bool{false, true} {
				if ctx.Err() != nil {
					return false, ctx.Err()
				}
				w, err := packetpath.New(packetpath.Options{Flows: flows, Trace: trace})
				if err != nil {
					return false, err
				}
				for range parts {
					r, failed := w.Measure(packetpath.Load{Case: c, Size: 64}, packets)
					if err = failed; err != nil {
						break
					}
					mpps[i] = max(mpps[i], r.Mpps)
				}
				if err := errors.Join(err, w.Close()); err != nil {
					return false, err
				}
			}
			ratios = append(ratios, mpps[1]/mpps[0])
		}
		fine = cost(fmt.Sprintf("a trace that is off, %s, 64 bytes", c), ratios, allowed, "") && fine
	}
	return fine, nil
}
