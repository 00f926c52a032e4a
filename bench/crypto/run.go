package crypto

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"linecrypt/bench/cores"
	"linecrypt/bench/turns"
	"linecrypt/cryptobatch"
	"linecrypt/dataplane/tsc"
)

// engineTime is how long one measurement of an engine takes, with what it does not count.
const engineTime = 100 * time.Millisecond

// Options say what to measure.
type Options struct {
	Algorithms []string // as in the configuration key aeads
	Ops        []string // seal, open
	Sizes      []int    // bytes of plaintext
	Engines    []string // of cryptobatch
	Peers      []string // those that are missing are left out
	Keys       int      // different keys that engines use in turn
	ManyKeys   []int    // further numbers of keys, for the first engine
	Runs       int      // measurements of each engine and peer, of which the median counts
}

// Defaults measures everything, five times.
func Defaults() Options {
	return Options{
		Algorithms: algorithmNames(), Ops: opNames(), Sizes: slices.Clone(defaultSizes),
		Engines: cryptobatch.Names(), Peers: peerNames(), Keys: 1, Runs: 5,
	}
}

// runner is what measurements need.
type runner struct {
	ctx          context.Context
	core, beside int
	tscRate      float64 // per second
	engineTicks  uint64  // that engineTime is
}

// Run measures what the options say, on one core, and tells on progress what it is at. For each algorithm, operation and
// size, engines and peers are measured in turn, so that what disturbs the machine disturbs all of them. Peers that are
// missing are left out. The error wraps ctx's when that ended the run.
func Run(ctx context.Context, o Options, progress io.Writer) ([]Result, error) {
	r := &runner{ctx: ctx, tscRate: tsc.PerSecond(50 * time.Millisecond)}
	r.engineTicks = uint64(r.tscRate * engineTime.Seconds())
	jobs, err := plan(o)
	if err != nil {
		return nil, err
	}
	if r.core, r.beside, err = cores.Choose(); err != nil {
		return nil, err
	}
	all, err := contenders(r, o, progress)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(progress, "measuring on core %d, %d runs each: %s\n", r.core, o.Runs, strings.Join(namesOf(all), ", "))
	var results []Result
	for i, j := range jobs {
		if i > 0 && j.alg != jobs[i-1].alg {
			dropKeys(all)
		}
		fmt.Fprintf(progress, "%*d of %d: %s %s %d:", len(fmt.Sprint(len(jobs))), i+1, len(jobs), j.alg.name, j.op, j.size)
		cell, err := r.measureAll(all, j, o.Runs)
		if err != nil {
			fmt.Fprintln(progress)
			return nil, err
		}
		for _, c := range cell {
			fmt.Fprintf(progress, " %s %.2f", c.contender(), c.Mops)
		}
		fmt.Fprintln(progress, " million a second")
		results = append(results, cell...)
	}
	dropKeys(all)
	return results, nil
}

// plan lists the jobs in the order in which they are measured.
func plan(o Options) ([]job, error) {
	var jobs []job
	for _, name := range o.Algorithms {
		alg, ok := algorithmNamed(name)
		if !ok {
			return nil, fmt.Errorf("no algorithm %q (there are %s)", name, strings.Join(algorithmNames(), ", "))
		}
		for _, op := range o.Ops {
			for _, size := range o.Sizes {
				jobs = append(jobs, job{alg, op, size})
			}
		}
	}
	return jobs, nil
}

// contenders makes the engines, and those peers that are there and do any of the algorithms.
func contenders(r *runner, o Options, progress io.Writer) ([]contender, error) {
	var all []contender
	for i, name := range o.Engines {
		keys := []int{o.Keys}
		if i == 0 {
			keys = append(keys, o.ManyKeys...)
		}
		for _, n := range keys {
			s, err := newSubject(name, n)
			if err != nil {
				return nil, err
			}
			all = append(all, s)
		}
	}
	for _, name := range o.Peers {
		p, err := newPeer(r, name)
		if err != nil {
			fmt.Fprintf(progress, "peer %s is left out: %v\n", name, err)
			continue
		}
		all = append(all, p)
	}
	return all, nil
}

func namesOf(all []contender) []string {
	var names []string
	for _, c := range all {
		_, keys := c.shape()
		names = append(names, Result{Engine: c.name(), Keys: keys}.contender())
	}
	return names
}

func dropKeys(all []contender) {
	for _, c := range all {
		c.drop()
	}
}

// measureAll measures one job: each contender once a run. openssl, which takes a second each time, is left out of every
// second run.
func (r *runner) measureAll(all []contender, j job, runs int) ([]Result, error) {
	rates := make([][]float64, len(all))
	for run := range runs {
		for i, c := range all {
			if !c.does(j.alg) || c.name() == peerOpenSSL && run%2 == 1 {
				continue
			}
			if err := r.ctx.Err(); err != nil {
				return nil, fmt.Errorf("stopped: %w", err)
			}
			rate, err := c.measure(r, j)
			if err != nil {
				return nil, fmt.Errorf("%s, %s %s of %d bytes: %w", c.name(), j.alg.name, j.op, j.size, err)
			}
			rates[i] = append(rates[i], rate)
		}
	}
	var results []Result
	for i, c := range all {
		if len(rates[i]) > 0 {
			burst, keys := c.shape()
			results = append(results, newResult(c.name(), j, burst, keys, turns.Median(rates[i]), r.tscRate))
		}
	}
	return results, nil
}
