// Command scaling measures what a second core brings (package packetpath): one worker, and workers on several cores, each with queues of
// its own or all at one queue with a spreader (package spread). `make bench-scaling` runs it.
//
// The cores named do everything: there is no further one for spreading, and the harness writes packets while the clock stands.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"text/tabwriter"

	"linecrypt/bench/cores"
	"linecrypt/bench/packetpath"
	"linecrypt/bench/turns"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "scaling:", err)
		os.Exit(1)
	}
}

// mostCore is the largest number of a core.
const mostCore = 1023

// way is an arrangement of workers.
type way struct {
	name   string
	worlds []*packetpath.World
	cores  []int // of the worlds' threads
	mpps   []float64
}

func run() error {
	cores, flows, runs, packets := []int{0, 1}, 1024, 5, 2_000_000
	// A worker that is off its core finds a batch in its rings, and takes as much from one port as from the other: acknowledgements must come
	// so late, and batches be so short, that none is handled before what it is for.
	load := packetpath.Load{Case: packetpath.Seal, Size: 64, Lag: 4096, Batch: 8192}
	flag.Func("cores", "`LIST` of cores (default 0,1)", packetpath.Numbers(&cores, 0, mostCore))
	flag.IntVar(&flows, "flows", flows, "`N` flows")
	flag.IntVar(&load.Size, "size", load.Size, "payload in `BYTES`")
	flag.Func("case", "`CASE`: seal (default), open or both", func(s string) error { load.Case = packetpath.Case(s); return nil })
	flag.IntVar(&runs, "runs", runs, "measure `N` times each, in turns")
	flag.IntVar(&packets, "packets", packets, "handle at least `N` packets each time")
	flag.Parse()
	if flag.NArg() > 0 || runs < 1 || packets < 1 || load.Case == packetpath.Pass {
		return errors.New("--runs and --packets are at least 1, pass is not measured, and there is nothing behind the flags")
	}
	if err := allowed(cores); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	runtime.GOMAXPROCS(max(runtime.GOMAXPROCS(0), len(cores)+2))
	ways, err := arrange(cores, flows)
	defer func() {
		for _, w := range ways {
			for _, world := range w.worlds {
				_ = world.Close()
			}
		}
	}()
	for range runs {
		for _, w := range ways {
			if err == nil {
				err = ctx.Err()
			}
			if err == nil {
				err = w.measure(load, packets)
			}
		}
	}
	return errors.Join(err, report(ways, load, flows))
}

// allowed refuses cores that this process may not use, and one that is named twice.
func allowed(list []int) error {
	for i, core := range list {
		if slices.Contains(list[:i], core) {
			return fmt.Errorf("--cores: %d is there twice", core)
		}
	}
	if err := cores.Check(list); err != nil {
		return fmt.Errorf("--cores: %w", err)
	}
	return nil
}

// arrange makes the worlds.
func arrange(cores []int, flows int) (ways []*way, err error) {
	add := func(name string, on []int, o packetpath.Options, n int) {
		w := &way{name: name, cores: on}
		for range n {
			var world *packetpath.World
			if err == nil {
				if world, err = packetpath.New(o); err == nil {
					w.worlds = append(w.worlds, world)
				}
			}
		}
		ways = append(ways, w)
	}
	own := packetpath.Options{Flows: flows}
	add("1 core, queues of its own", cores[:1], own, 1)
	add("1 core, through the spreader", cores[:1], packetpath.Options{Flows: flows, Cores: cores[:1]}, 1)
	add(fmt.Sprintf("%d cores, queues of their own", len(cores)), cores, own, len(cores))
	add(fmt.Sprintf("%d cores at one queue, with the spreader", len(cores)), cores[:1], packetpath.Options{Flows: flows, Cores: cores}, 1)
	return ways, err
}

// measure measures all worlds at once and adds up what they carry.
func (w *way) measure(l packetpath.Load, packets int) error {
	mpps, errs := make([]float64, len(w.worlds)), make([]error, len(w.worlds))
	var running sync.WaitGroup
	for i, world := range w.worlds {
		running.Go(func() {
			undo, err := cores.Pin(w.cores[i])
			if err != nil {
				errs[i] = err
				return
			}
			defer undo()
			r, err := world.Measure(l, packets)
			mpps[i], errs[i] = r.Mpps, err
		})
	}
	running.Wait()
	sum := 0.0
	for _, n := range mpps {
		sum += n
	}
	w.mpps = append(w.mpps, sum)
	return errors.Join(errs...)
}

// report prints what each way carries, and beside it the median of what that is of the first one's and of the way's on one core in the same
// turn: the machine may have another speed in the next one.
func report(ways []*way, l packetpath.Load, flows int) error {
	fmt.Printf("%s, %d flows, %d bytes, 2 data segments to an acknowledgement; medians of turns\n", l.Case, flows, l.Size)
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "workers\tMpps\tof one core\tlowest\thighest\tof one there\t")
	for i, w := range ways {
		if len(w.mpps) == 0 {
			continue
		}
		of := turns.Ratios(w.mpps, ways[0].mpps)
		there := turns.Ratios(w.mpps, ways[i%ofOneCore].mpps)
		fmt.Fprintf(t, "%s\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t\n", w.name, turns.Median(w.mpps), turns.Median(of), slices.Min(of), slices.Max(of), turns.Median(there))
	}
	return t.Flush()
}

// ofOneCore is how many ways there are on one core: those on several follow in the same order.
const ofOneCore = 2
