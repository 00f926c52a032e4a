// Command peers measures the packet path of one worker (package packetpath) in the same run as DPDK's programs that forward or
// encrypt on one core: dpdk-testpmd, and ipsec-secgw where the environment variable IPSEC_SECGW names one. All take turns, on the
// same mix of packets, and what counts are medians of figures, and of the ratios of each turn. `make bench-peers` runs it.
//
// The peers' source is net_pcap, which copies each burst out of memory into buffers that were just free, so that they find it in the
// first-level cache; that copy is counted as theirs. Linecrypt's packets were written some four thousand packets earlier, and are
// handed over; linecrypt-warm is the same with a few hundred instead, which is nearest to what the peers have. ipsec-secgw seals the
// acknowledgements too, because to it they are packets like others; Linecrypt translates them.
//
// Figures are for a second in which the program has its core. How much of the time it had stands beside: where that is less than
// nearly all, others were at work there, and caches tell of them.
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

	"linecrypt/bench/cores"
	"linecrypt/bench/crypto"
	"linecrypt/bench/packetpath"
	"linecrypt/bench/topology"
)

type options struct {
	runs, seconds, packets int
	sizes, many            []int
	core, beside           int
	json, noHuge           bool
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

func run() error {
	o := options{sizes: []int{64, 1380}, many: []int{1000, 100_000, 1_000_000}}
	flag.IntVar(&o.runs, "runs", 5, "measure `N` times each, in turns")
	flag.IntVar(&o.seconds, "seconds", 4, "a peer runs for `S` seconds each time")
	flag.IntVar(&o.packets, "packets", 1_000_000, "Linecrypt handles at least `N` packets each time")
	flag.Func("size", "`LIST` of payloads in bytes (default 64,1380)", packetpath.Numbers(&o.sizes, 1, packetpath.MaxSize))
	flag.Func("flows", "`LIST` of numbers of flows besides one (default 1000,100000,1000000)", packetpath.Numbers(&o.many, 1, packetpath.MaxFlows))
	flag.BoolVar(&o.json, "json", false, "print one object")
	flag.Parse()
	if flag.NArg() > 0 || o.runs < 1 || o.seconds < 3 || o.packets < 1 {
		return errors.New("--runs and --packets are at least 1, --seconds at least 3, and there is nothing behind the flags")
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	r, err := o.measure(ctx)
	if err != nil {
		return err
	}
	write := r.writeText
	if o.json {
		write = r.writeJSON
	}
	return errors.Join(write(os.Stdout), r.failed())
}

// flows are the numbers of flows, one being the first.
func (o *options) flows() []int {
	return append([]int{1}, slices.DeleteFunc(slices.Clone(o.many), func(n int) bool { return n == 1 })...)
}

func (o *options) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
}

// measure lets everything have its turn, as often as asked for. What is interrupted is reported as far as it came.
func (o *options) measure(ctx context.Context) (r report, err error) {
	if o.core, o.beside, err = cores.Choose(); err != nil {
		return r, err
	}
	dir, err := os.MkdirTemp("", "linecrypt-peers-")
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if os.Geteuid() == 0 {
		bytes := uint64(peerMB << 20)
		for _, flows := range o.flows() {
			bytes += packetpath.Memory(flows)
		}
		huge := topology.ReserveHugepages(bytes)
		defer func() { err = errors.Join(err, huge.Restore()) }()
		o.say("memory: %s", huge.Text)
		o.noHuge = !huge.Huge // what there is is the peers'
	}
	jobs, left, worlds, err := o.jobs(dir)
	defer func() {
		for _, w := range worlds {
			err = errors.Join(err, w.Close())
		}
	}()
	if err != nil {
		return r, err
	}
	for _, m := range left {
		o.say("left out: %s: %s", m.Name, m.Why)
	}
	start := time.Now()
	for run := range o.runs {
		for i, j := range jobs {
			if ctx.Err() != nil {
				o.say("interrupted: what follows are medians of %d runs or one more", run)
				return newReport(crypto.ThisMachine(context.Background()).String(), run, jobs, left), nil
			}
			j.run(ctx)
			switch {
			case j.failed != nil && ctx.Err() == nil:
				o.say("run %d, %d of %d: %v: failed: %v", run+1, i+1, len(jobs), j.what, j.failed)
			case len(j.rates) > run:
				o.say("run %d, %d of %d: %v: %.2f million a second", run+1, i+1, len(jobs), j.what, j.rates[run])
			}
		}
		o.say("%d of %d runs in %.0f s", run+1, o.runs, time.Since(start).Seconds())
	}
	return newReport(crypto.ThisMachine(ctx).String(), o.runs, jobs, left), nil
}
