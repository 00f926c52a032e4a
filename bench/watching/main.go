// Command watching measures what it costs to look at a gateway. The data plane is a worker as the gateway's, in shared memory that the
// gateway's own programs look at: its control plane, `linecrypt top` in a terminal, and a browser's stream of events from the page. Its
// packets come from the harness of package packetpath, in its own thread, so that no kernel's TCP and no second thread is part of what is
// measured. The worker has one core for itself; all else shares another. A virtual machine's speed changes by several per cent from second to
// second, and less within one, so turns are a tenth of a second: in one somebody looks once, all of a refresh, and in those before and after
// it nobody does. There is one refresh in a second, so it costs a tenth of what it does in its turn. It goes on until that is known well enough.
// A trace that is off is set against one that there is no place for, batch by batch, in worlds made anew. `make bench-watching` builds and runs it.
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
	"time"
)

const (
	allowed  = 0.01  // of a packet's time is what looking may cost
	resolved = 0.002 // to both sides: as narrow as an interval is to be
)

func main() {
	limit := flag.Duration("limit", 5*time.Minute, "go on for `TIME` where intervals stay wide")
	only := flag.String("only", "", "measure `WHAT` alone: live (top and the page), or trace")
	flag.Parse()
	ok, err := run(*limit, *only)
	if err != nil {
		fmt.Fprintln(os.Stderr, "watching:", err)
	}
	if !ok || err != nil {
		os.Exit(1)
	}
}

// liveShare is the part of the time that those who look get, who share their turns.
const liveShare = 0.6

func run(limit time.Duration, only string) (ok bool, err error) {
	switch {
	case flag.NArg() != 0 || limit < time.Second || limit > 24*time.Hour:
		return false, errors.New("--limit is 1s to 24h, and there is nothing behind the flags")
	case !slices.Contains([]string{"", "live", "trace"}, only):
		return false, fmt.Errorf("--only %s: want live or trace", only)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	worker, err := divideCores()
	if err != nil {
		return false, err
	}
	end := time.Now().Add(limit)
	ok = true
	if only != "trace" {
		until := end
		if only == "" {
			until = time.Now().Add(time.Duration(liveShare * float64(limit)))
		}
		ok, err = live(ctx, worker, until)
	}
	if only != "live" && err == nil {
		fine, failed := traceOff(ctx, worker, end)
		ok, err = ok && fine, failed
	}
	return ok, err
}
