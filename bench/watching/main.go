// Command watching measures what it costs to look at a gateway. One TCP stream goes through two gateways with packet ports, all offloads on,
// while at one of them nobody looks, or somebody does: `linecrypt top` in a terminal, or a browser's stream of events from the page. They
// take turns of a second, and each is set against the turns before and after it, in which nobody looks. A trace that is off is measured at
// the packet path itself, beside one that there is no place for. `make bench-watching` builds and runs it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"linecrypt/bench/topology"
)

// allowed is what looking may cost: of the throughput, and of a packet's time.
const allowed = 0.01

func main() {
	rounds := flag.Int("rounds", 12, "each takes its turn `N` times")
	only := flag.String("only", "", "measure `WHAT` alone: live (top and the page), or trace")
	flag.Parse()
	ok, err := run(*rounds, *only)
	if err != nil {
		fmt.Fprintln(os.Stderr, "watching:", err)
	}
	if !ok || err != nil {
		os.Exit(1)
	}
}

func run(rounds int, only string) (ok bool, err error) {
	switch {
	case flag.NArg() != 0 || rounds < 1 || rounds > 1000:
		return false, errors.New("--rounds is 1 to 1000, and there is nothing behind the flags")
	case !slices.Contains([]string{"", "live", "trace"}, only):
		return false, fmt.Errorf("--only %s: want live or trace", only)
	case only != "trace" && os.Geteuid() != 0:
		return false, errors.New("needs root")
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	ok = true
	if only != "trace" {
		if err := topology.Tools("script"); err != nil {
			return false, err
		}
		ok, err = live(ctx, rounds)
	}
	if only != "live" && err == nil {
		fine, failed := traceOff(ctx, rounds)
		ok, err = ok && fine, failed
	}
	return ok, err
}

// spread is a median with what lies around it: the first and the third quarter.
type spread struct{ low, median, high float64 }

func spreadOf(x []float64) spread {
	x = slices.Sorted(slices.Values(x))
	at := func(part float64) float64 {
		i := part * float64(len(x)-1)
		n := int(i)
		return x[n] + (i-float64(n))*(x[min(n+1, len(x)-1)]-x[n])
	}
	return spread{at(0.25), at(0.5), at(0.75)}
}

// cost prints what something costs, of ratios of what there is with it to what there is without, and reports whether that is no more than most.
func cost(what string, ratios []float64, most float64, beside string) bool {
	s := spreadOf(ratios)
	fmt.Printf("%-44s %+.2f %% (%+.2f to %+.2f)%s\n", what, 100*(s.median-1), 100*(s.low-1), 100*(s.high-1), beside)
	return s.median >= 1-most
}
