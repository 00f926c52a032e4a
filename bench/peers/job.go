package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"linecrypt/bench/cores"
	"linecrypt/bench/packetpath"
)

// Names of what is measured.
const (
	linecrypt   = "linecrypt"
	warm        = "linecrypt-warm"
	testpmdName = "dpdk-testpmd"
	secgwName   = "ipsec-secgw"
	aeadName    = "cryptobatch"

	coldAEADName = "cryptobatch-cold" // on frames that come from the third-level cache, as linecrypt's do
)

// warmBatch is how many packets are written before the clock runs where they are to be in the caches still: a few bursts, which is
// nearest to the peers' source, which copies each burst into buffers just before it is forwarded.
const warmBatch = 256

// what says what a figure is of. Cryptobatch's has the number of keys in Flows.
type what struct {
	Name  string          `json:"name"`
	Case  packetpath.Case `json:"case,omitempty"`
	Flows int             `json:"flows"`
	Size  int             `json:"size"` // bytes of data in a data segment
}

// String is the description in a few words.
func (w what) String() string {
	return fmt.Sprintf("%s %s, %d flows, %d bytes", w.Name, w.Case, w.Flows, w.Size)
}

// figure is one measurement.
type figure struct {
	rate float64 // million packets a second, of cryptobatch million operations
	core float64 // how much of the time it had the core, 0 to 1
}

// figureOf makes one of packets in a second by the clock, of which a share was the program's: what it would have done in a whole second.
// On a core of its own the share is 1.
func figureOf(rate, share float64) (figure, error) {
	if share < leastShare {
		return figure{}, fmt.Errorf("it had its core for %.0f%% of the time", 100*share)
	}
	return figure{rate / 1e6 / share, share}, nil
}

// leastShare is what a figure can be made of.
const leastShare = 0.1

// job is one thing that is measured in its turn.
type job struct {
	what
	measure func(ctx context.Context) (figure, error)
	rates   []float64 // million a second
	core    float64   // the least of the figures'
	failed  error     // why there will be no more
}

// run measures once, unless it failed before.
func (j *job) run(ctx context.Context) {
	if j.failed != nil {
		return
	}
	f, err := j.measure(ctx)
	if err != nil {
		j.failed = err
		return
	}
	if len(j.rates) == 0 {
		j.core = f.core
	}
	j.rates, j.core = append(j.rates, f.rate), min(j.core, f.core)
}

// missing is a peer that is not measured at all, or numbers of flows that do not fit.
type missing struct {
	Name string `json:"name"`
	Why  string `json:"why"`
}

// jobs makes everything that is measured, in the order of turns: what is compared goes one soon behind the other. The caller closes the worlds.
func (o *options) jobs(dir string) (jobs []*job, left []missing, worlds []*packetpath.World, err error) {
	peers, err := findPeers()
	if err != nil {
		return nil, nil, nil, err
	}
	var many []int // flows of each world
	for _, flows := range o.flows() {
		o.say("%d flows are set up", flows)
		w, err := packetpath.New(packetpath.Options{Flows: flows, NoHuge: o.noHuge})
		if errors.Is(err, packetpath.ErrMemory) {
			left = append(left, missing{fmt.Sprintf("%s with %d flows", linecrypt, flows), err.Error()})
			continue
		}
		if err != nil {
			return nil, nil, worlds, err
		}
		worlds, many = append(worlds, w), append(many, flows)
	}
	for _, size := range o.sizes {
		ofPeers, err := o.peerJobs(peers, dir, size)
		if err != nil {
			return nil, nil, worlds, err
		}
		jobs = append(jobs, ofPeers...)
		for i, w := range worlds {
			jobs = append(jobs, o.pathJobs(w, many[i], size)...)
		}
		jobs = append(jobs, o.aeadJobs(size)...)
	}
	return jobs, append(peers.missing, left...), worlds, nil
}

// pathJobs makes those of Linecrypt itself at a size.
func (o *options) pathJobs(w *packetpath.World, flows, size int) (jobs []*job) {
	add := func(name string, l packetpath.Load) {
		jobs = append(jobs, &job{what: what{name, l.Case, flows, l.Size}, measure: func(context.Context) (figure, error) {
			unpin, err := cores.Pin(o.core)
			if err != nil {
				return figure{}, err
			}
			defer unpin()
			r, err := w.Measure(l, o.packets)
			return figure{r.Mpps, r.Core}, err
		}})
	}
	for _, c := range []packetpath.Case{packetpath.Seal, packetpath.Open, packetpath.Both} {
		l := packetpath.Load{Case: c, Size: size, DataPerAck: dataPerAck}
		switch {
		case flows == 1:
			add(linecrypt, l)
			l.Batch = warmBatch
			add(warm, l)
		case c != packetpath.Both:
			add(linecrypt, l)
		}
	}
	return jobs
}

// peers are the programs of others that are there.
type peers struct {
	testpmd bool
	secgw   string // the binary, empty without one
	missing []missing
}

// findPeers looks for them. One that the environment names must be there.
func findPeers() (p peers, err error) {
	err = findTestpmd()
	if p.testpmd = err == nil; err != nil {
		p.missing = append(p.missing, missing{testpmdName, err.Error()})
	}
	switch p.secgw, err = findSecgw(); {
	case err != nil && os.Getenv(secgwVariable) != "":
		return p, err
	case err != nil:
		p.missing = append(p.missing, missing{secgwName, err.Error()})
	}
	return p, nil
}

// peerJobs makes those of the peers at a size.
func (o *options) peerJobs(p peers, dir string, size int) (jobs []*job, err error) {
	d := time.Duration(o.seconds) * time.Second
	capture := filepath.Join(dir, fmt.Sprintf("%d.pcap", size))
	if err := writeCapture(capture, mix(size)); err != nil {
		return nil, err
	}
	if p.testpmd {
		jobs = append(jobs, &job{what: what{testpmdName, "forward", 1, size}, measure: func(ctx context.Context) (figure, error) {
			return testpmd(ctx, o.core, o.beside, capture, d)
		}})
	}
	if p.secgw != "" {
		jobs = append(jobs, &job{what: what{secgwName, packetpath.Seal, 1, size}, measure: func(ctx context.Context) (figure, error) {
			return secgw(ctx, p.secgw, o.core, dir, capture, d)
		}})
	}
	return jobs, nil
}
