// Command report measures the packet path of one worker (package packetpath) in all cases, with numbers of flows and sizes as asked
// for, and prints medians. `make bench-packet` runs it.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime/pprof"
	"slices"
	"strings"
	"syscall"

	"linecrypt/bench/cores"
	"linecrypt/bench/packetpath"
	"linecrypt/bench/ram"
	"linecrypt/bench/topology"
)

type options struct {
	flows, sizes  []int
	cases         []packetpath.Case
	runs, packets int
	load          packetpath.Load
	core          int
	full, noHuge  bool
	json          bool
	profile       string
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "report:", err)
		os.Exit(1)
	}
}

func run() error {
	o := options{flows: []int{1, 1000, 100_000, 1_000_000}, sizes: []int{64, 1380}, cases: packetpath.Cases()}
	flag.Func("flows", "`LIST` of numbers of flows (default 1,1000,100000,1000000)", packetpath.Numbers(&o.flows, 1, packetpath.MaxFlows))
	flag.Func("size", "`LIST` of payloads in bytes (default 64,1380)", packetpath.Numbers(&o.sizes, 1, packetpath.MaxSize))
	flag.Func("case", "`LIST` of seal, open, both, pass (default all)", func(s string) error {
		o.cases = nil
		for c := range strings.SplitSeq(s, ",") {
			if !slices.Contains(packetpath.Cases(), packetpath.Case(c)) {
				return errors.New("want a list of seal, open, both, pass")
			}
			o.cases = append(o.cases, packetpath.Case(c))
		}
		return nil
	})
	flag.IntVar(&o.runs, "runs", 5, "measure `N` times each, in turns")
	flag.IntVar(&o.packets, "packets", 500_000, "handle at least `N` packets each time")
	flag.IntVar(&o.load.DataPerAck, "data-per-ack", 2, "`N` data segments to one acknowledgement")
	flag.IntVar(&o.load.Apart, "apart", 64, "`N` flows take turns in one another")
	flag.IntVar(&o.load.Lag, "lag", 1024, "`N` data segments between a flow's turn and its acknowledgement")
	flag.IntVar(&o.load.Batch, "batch", 4096, "`N` packets are written before the clock runs")
	flag.IntVar(&o.core, "core", -1, "run on core `N` (default: where this process may)")
	flag.BoolVar(&o.full, "full", false, "measure the full translator without the fast path too, in turns")
	flag.BoolVar(&o.noHuge, "no-huge", false, "measure with all tables in ordinary pages too, in turns; without root, huge pages must be reserved for the others")
	flag.BoolVar(&o.json, "json", false, "print one array of objects")
	flag.StringVar(&o.profile, "cpuprofile", "", "write a CPU profile to `FILE`, as go tool pprof and go build -pgo read it")
	flag.Parse()
	if flag.NArg() > 0 || o.runs < 1 || o.packets < 1 {
		return errors.New("--runs and --packets are at least 1, and there is nothing behind the flags")
	}
	if o.load.DataPerAck == 0 || o.load.Apart == 0 || o.load.Lag == 0 || o.load.Batch == 0 {
		return errors.New("--data-per-ack, --apart, --lag and --batch are at least 1") // of a Load, 0 is the default
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	end, err := profile(o.profile)
	if err != nil {
		return err
	}
	give := o.reserve()
	results, err := o.measure(ctx)
	err = errors.Join(err, end(), give())
	if o.json {
		return errors.Join(err, json.NewEncoder(os.Stdout).Encode(results))
	}
	return errors.Join(err, packetpath.WriteText(os.Stdout, results))
}

// profile begins a CPU profile that goes to a file, if one is named, and returns what ends it.
func profile(name string) (end func() error, err error) {
	if name == "" {
		return func() error { return nil }, nil
	}
	f, err := os.Create(name)
	if err != nil {
		return nil, fmt.Errorf("CPU profile: %w", err)
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(fmt.Errorf("CPU profile: %w", err), f.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		if err := f.Close(); err != nil {
			return fmt.Errorf("CPU profile: %w", err)
		}
		return nil
	}, nil
}

// reserve reserves huge pages for the largest number of flows that half of the memory is enough for, as a machine that runs a gateway has
// them, if this process may, and returns what gives them back.
func (o *options) reserve() (give func() error) {
	if os.Geteuid() != 0 {
		return func() error { return nil }
	}
	bytes := uint64(0)
	for _, flows := range o.flows {
		if n := packetpath.Memory(flows) * uint64(len(o.worlds(flows, false))); 2*n <= ram.Available() {
			bytes = max(bytes, n)
		}
	}
	huge := topology.ReserveHugepages(bytes)
	fmt.Fprintln(os.Stderr, "memory:", huge.Text)
	return huge.Restore
}

// measure returns medians of what was measured until ctx was done.
func (o *options) measure(ctx context.Context) ([]packetpath.Result, error) {
	if o.core >= 0 {
		unpin, err := cores.Pin(o.core)
		if err != nil {
			return nil, err
		}
		defer unpin()
	}
	var results []packetpath.Result
	for _, flows := range o.flows {
		for _, plain := range []bool{false, true} {
			some, err := o.world(ctx, flows, plain)
			if errors.Is(err, packetpath.ErrMemory) {
				fmt.Fprintln(os.Stderr, "left out:", err)
				err = nil
			}
			results = append(results, some...)
			if err != nil {
				return results, err
			}
		}
	}
	return results, nil
}

// world measures those cases that run with plain flows, or with others.
func (o *options) world(ctx context.Context, flows int, plain bool) (results []packetpath.Result, err error) {
	var loads []packetpath.Load
	for _, c := range o.cases {
		for _, size := range o.sizes {
			if (c == packetpath.Pass) == plain {
				l := o.load
				l.Case, l.Size = c, size
				loads = append(loads, l)
			}
		}
	}
	if len(loads) == 0 {
		return nil, nil
	}
	fmt.Fprintf(os.Stderr, "%d flows, encrypted: %v\n", flows, !plain)
	var worlds []*packetpath.World
	for _, opt := range o.worlds(flows, plain) {
		w, failed := packetpath.New(opt)
		if failed != nil {
			return nil, failed
		}
		defer func() { err = errors.Join(err, w.Close()) }()
		if o.noHuge && !opt.NoHuge && !w.HugePages() {
			return nil, fmt.Errorf("the tables of %d flows do not fit in the huge pages that are free: memory is short, or reserve more (linecrypt setup hugepages)", flows)
		}
		worlds = append(worlds, w)
	}
	runs := make([][]packetpath.Result, len(loads)*len(worlds))
	for range o.runs {
		for i, l := range loads {
			for j, w := range worlds {
				if ctx.Err() != nil {
					return medians(runs, len(worlds)), fmt.Errorf("stopped: %w", ctx.Err())
				}
				r, err := w.Measure(l, o.packets)
				if err != nil {
					return medians(runs, len(worlds)), err
				}
				at := i*len(worlds) + j
				runs[at] = append(runs[at], r)
			}
		}
	}
	return medians(runs, len(worlds)), nil
}

// worlds are those that are measured in turns. Flows that are not encrypted take neither way through the translator.
func (o *options) worlds(flows int, plain bool) []packetpath.Options {
	all := []packetpath.Options{{Flows: flows, Plain: plain}}
	if o.full && !plain {
		all = append(all, packetpath.Options{Flows: flows, Full: true})
	}
	if o.noHuge {
		all = append(all, packetpath.Options{Flows: flows, Plain: plain, NoHuge: true})
	}
	return all
}

// medians are those of what was measured at all. Worlds that were measured in turns lie beside each other, the one that has all as it comes first.
func medians(runs [][]packetpath.Result, worlds int) (results []packetpath.Result) {
	for i, r := range runs {
		if len(r) == 0 {
			continue
		}
		m := packetpath.Median(r)
		if r[0].Path == "full" {
			m.OverFast = packetpath.OutsideAEAD(r, runs[i-i%worlds])
		}
		results = append(results, m)
	}
	return results
}
