package pktgen

import (
	"context"
	"errors"
	"sync"
	"time"

	"linecrypt/bench/pktgen/ends"
	"linecrypt/bench/pktgen/scenario"
	"linecrypt/bench/pktgen/wire"
	"linecrypt/ctrlplane/shm"
	"linecrypt/dataplane/gateway"
	"linecrypt/dataplane/port"
)

// realTime drives ends in real time, beside a worker that runs on a core of its own, or with a gateway that is elsewhere. The clock is
// in ns.
type realTime struct {
	sc    *scenario.Scenario
	ends  *ends.Ends
	sub   subject // nil for a gateway elsewhere
	ports []port.Port
	set   setting
	clock func() int64
	done  []func() error
	runs  goRuntime

	stop    context.CancelFunc
	running sync.WaitGroup
	failed  error
}

func (d *realTime) load() *ends.Ends { return d.ends }
func (d *realTime) about() setting   { return d.set }

// wireOf returns a wire over a queue of the generator's.
func (d *realTime) wireOf(p port.Port, q int) *wire.Queue {
	if d.clock == nil {
		d.clock = gateway.Monotonic()
	}
	return &wire.Queue{Queue: p.Queue(q), Clock: d.clock}
}

// start runs what is measured, where it is in this process.
func (d *realTime) start() {
	if d.sub == nil {
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	d.stop = stop
	ready := make(chan struct{})
	begun := sync.OnceFunc(func() { close(ready) })
	d.running.Go(func() {
		defer begun() // where it cannot run
		d.failed = d.sub.run(ctx, begun)
	})
	<-ready
}

// round is what is done between two offers.
func (d *realTime) round() int64 {
	now := d.clock()
	d.ends.Tell(now)
	d.ends.Collect()
	if d.sub != nil {
		d.sub.tend(now, false)
	}
	d.ends.Watch()
	return now
}

// besidePackets is how many packets are offered at a time: few, so that what comes back is looked at soon.
const besidePackets = 64

func (d *realTime) open(ctx context.Context, tell func(int)) error {
	o := opens{total: d.sc.Traffic.Flows}
	d.ends.Quiet(true)
	defer d.ends.Quiet(false)
	for ctx.Err() == nil {
		now := d.round()
		_, left := d.ends.Open(besidePackets)
		d.ends.Offer(besidePackets, float64(now), 0)
		if left == 0 {
			return nil
		}
		if err := o.look(d.ends, left, tell); err != nil {
			return errors.Join(err, d.silent())
		}
	}
	return ctx.Err()
}

// silent says what to look at where nothing comes back at all.
func (d *realTime) silent() error {
	if d.sub == nil && d.ends.Received[inside]+d.ends.Received[outside] == 0 {
		return errors.New("nothing came out of either port: is a gateway between them, is it ready, and are the ports not exchanged?")
	}
	return nil
}

func (d *realTime) settle(ctx context.Context) bool {
	d.ends.Quiet(true)
	defer d.ends.Quiet(false)
	pause := settlePause
	if d.sub == nil {
		pause = residualPause
	}
	for end := time.Now().Add(settleTime(d.sc)); ctx.Err() == nil && time.Now().Before(end); {
		made := 0
		for until := time.Now().Add(pause); time.Now().Before(until); {
			made += d.ends.Offer(besidePackets, float64(d.round()), 0)
		}
		if d.ends.InFlight() == 0 && made == 0 {
			return true // what was sent before the pause has come
		}
		d.ends.AcknowledgeAll()
	}
	return false
}

// settlePause lies between two looks at all connections; residualPause where a gateway is elsewhere: what has not come by then is lost.
// RFC 2544 section 23 waits two seconds, for slower devices than there are now.
const (
	settlePause   = 5 * time.Millisecond
	residualPause = 50 * time.Millisecond
)

// backlogTime is by how much the generator may be behind its rate before it is taken not to keep it up.
const backlogTime = 10 * time.Millisecond

func (d *realTime) trial(ctx context.Context, rate float64, length time.Duration, tell func(*sample, time.Duration)) sample {
	before := d.take()
	d.ends.Latency.Reset()
	start := d.clock()
	offered, churned, unsent := 0.0, 0.0, false
	told := time.Now()
	now := start
	finish := func() sample {
		s := d.take()
		s.since(&before)
		s.seconds, s.unsent = float64(now-start)/1e9, unsent
		s.latency = quantiles(&d.ends.Latency, 1e3)
		return s
	}
	for ctx.Err() == nil && now-start < int64(length) {
		now = d.round()
		elapsed := float64(now-start) / 1e9
		if n := int(elapsed*float64(d.sc.Disturb.Churn) - churned); n > 0 {
			d.ends.CloseSome(n)
			churned += float64(n)
		}
		if rate == 0 {
			d.ends.Offer(besidePackets, float64(now), 0)
		} else if due := elapsed*rate - offered; due >= 1 {
			offered += float64(d.ends.Offer(min(int(due), turnPackets), float64(now), 0))
			unsent = unsent || due > rate*backlogTime.Seconds()+turnPackets
		}
		if tell != nil && time.Since(told) >= liveEvery {
			told = time.Now()
			mallocs, gcs := d.runs.read()
			s := finish()
			tell(&s, length-time.Duration(now-start))
			after, gcsAfter := d.runs.read() // telling is not measured
			before.allocs, before.gcs = before.allocs+after-mallocs, before.gcs+gcsAfter-gcs
		}
	}
	return finish()
}

// take reads all counters. Those of the worker may be a moment old.
func (d *realTime) take() sample {
	s := sample{ends: d.ends.Counts}
	for _, p := range d.ports {
		for q := range p.Queues() {
			s.ports.Add(p.Queue(q).Stats())
		}
	}
	if d.sub != nil {
		d.sub.read(&s)
		// The gateway brings what its ports count into the worker's counters, and more seldom.
		for _, c := range portDrops {
			s.block[c] = 0
		}
	}
	s.allocs, s.gcs = d.runs.read()
	return s
}

// portDrops are the counters of the workers that are those of their ports.
var portDrops = [...]shm.Counter{shm.DropRxNoBuffer, shm.DropRxMissed, shm.DropRxTruncated, shm.DropSpreadFull}

// leaveTime bounds how long it takes to reset the connections of a gateway elsewhere.
const leaveTime = 5 * time.Second

// leave resets what a gateway elsewhere would otherwise keep.
func (d *realTime) leave() {
	for end := time.Now().Add(leaveTime); d.ends.GiveUp(besidePackets)+d.ends.Opening() > 0 && time.Now().Before(end); {
		for until := d.clock() + int64(time.Millisecond); d.clock() < until; {
			d.ends.Tell(d.clock())
			d.ends.Flush()
			d.ends.Collect()
		}
	}
}

func (d *realTime) close() error {
	if d.stop != nil {
		d.stop()
		d.running.Wait()
	}
	if d.ends != nil {
		if d.sub == nil {
			d.leave()
		}
		d.ends.Close()
	}
	return errors.Join(d.failed, undoAll(d.done))
}
