package pktgen

import (
	"context"
	"errors"
	"fmt"
	"time"

	"linecrypt/bench/cores"
	"linecrypt/bench/pktgen/ends"
	"linecrypt/bench/pktgen/scenario"
	"linecrypt/ctrlplane/shm"
	"linecrypt/dataplane/garbage"
)

// Run runs a scenario and returns what it has measured; progress is told on live. What cannot run is refused with what to change,
// before anything is started. Where ctx ends it, the result is what there is, and says so.
func Run(ctx context.Context, sc *scenario.Scenario, l *live) (*Result, error) {
	p, err := newPlan(sc)
	if err != nil {
		return nil, err
	}
	if sc.Measure == scenario.Scaling {
		return p.scale(ctx, l)
	}
	d, err := p.driver()
	if err != nil {
		return nil, err
	}
	res, err := driveAll(ctx, sc, d, l)
	if err == nil && sc.Search.Forwarder && p.kind != scenario.PortsDevice && len(res.Loads) > 0 && !res.Incomplete {
		err = p.compareWithForwarder(ctx, res, l)
	}
	return res, err
}

// drive does something by a driver, which it closes.
func drive(ctx context.Context, sc *scenario.Scenario, d driver, l *live, what func(r *run) error) error {
	undo, err := cores.Pin(d.about().genCore)
	if err != nil {
		return errors.Join(err, d.close())
	}
	err = what(&run{ctx: ctx, sc: sc, d: d, live: l})
	l.clear()
	undo()
	if closed := d.close(); err == nil {
		err = closed
	}
	return err
}

// driveAll runs a whole scenario by a driver, which it closes.
func driveAll(ctx context.Context, sc *scenario.Scenario, d driver, l *live) (res *Result, err error) {
	err = drive(ctx, sc, d, l, func(r *run) (err error) {
		res, err = r.all()
		return err
	})
	return res, err
}

// run is a scenario that is being run.
type run struct {
	ctx  context.Context
	sc   *scenario.Scenario
	d    driver
	live *live
}

// all opens the connections, measures, and judges.
func (r *run) all() (*Result, error) {
	if r.sc.Measure != scenario.Handshakes {
		if err := r.open(); err != nil {
			return nil, err
		}
	}
	return r.again(), nil
}

// again measures and judges, with connections that are open.
func (r *run) again() *Result {
	about := r.d.about()
	res := &Result{
		Scenario: r.sc.Name, Measure: string(r.sc.Measure), Mode: about.mode, Ports: about.ports, Checksums: about.checksum, Engine: about.engine,
		Flows: r.sc.Traffic.Flows, Size: round(averageSize(r.sc), 1), Drops: map[string]uint64{}, Note: about.note,
	}
	res.Cores, res.on = len(about.cores), about.cores
	if r.ctx.Err() == nil {
		r.measure(res)
	}
	e := r.d.load()
	res.Incomplete = r.ctx.Err() != nil
	res.Wrong = e.Wrong
	if e.Sent > 0 && e.Wrong == 0 { // else the run says nothing of what is lost
		res.Loss = round(100*float64(e.Sent-min(e.Arrived, e.Sent))/float64(e.Sent), 6)
	}
	if res.Incomplete {
		res.Loss = 0 // what was on its way is not lost
	}
	res.judge(r.sc, e.Faults())
	return res
}

// open opens the connections, or begins to, until ctx ends it.
func (r *run) open() error {
	total := r.sc.Traffic.Flows
	err := r.d.open(r.ctx, func(done int) { r.live.say("opening connections %s %d of %d", bar(done, total), done, total) })
	if r.ctx.Err() != nil {
		return nil
	}
	return err
}

func averageSize(sc *scenario.Scenario) float64 {
	bytes, weight := 0, 0
	for _, s := range sc.Traffic.Sizes {
		bytes += s.Bytes * s.Weight
		weight += s.Weight
	}
	return float64(bytes) / float64(weight)
}

// measure does what the scenario is about. Garbage is collected as in a data plane: what was left by making the ends and opening the connections
// before anything is measured.
func (r *run) measure(res *Result) {
	defer garbage.Hold()()
	e := r.d.load()
	e.Calm(false)
	e.Quiet(r.sc.Measure == scenario.Handshakes)
	r.trial(0, r.sc.Time.Warmup, "warming up")
	var s sample
	before := e.Counts
	switch r.sc.Measure {
	case scenario.Throughput, scenario.Handshakes:
		s = r.trial(0, r.sc.Time.Duration, "measuring")
		res.fill(r.sc, &s)
	case scenario.LossFree:
		r.lossFree(res)
	case scenario.Latency:
		r.latency(res)
	}
	e.Calm(true)
	if r.ctx.Err() == nil && e.Wrong == 0 {
		r.live.say("waiting for what is on its way")
		r.settle(&s, &before)
		if s.elsewhere > 0 && r.sc.Measure == scenario.Throughput {
			res.PacketLoss = round(100*s.lossShare(), 5)
		}
	}
}

// trial runs one trial, with a live line.
func (r *run) trial(rate float64, d time.Duration, what string) sample {
	if d <= 0 {
		return sample{}
	}
	if !r.live.on {
		return r.d.trial(r.ctx, rate, d, nil)
	}
	return r.d.trial(r.ctx, rate, d, func(s *sample, left time.Duration) {
		var now Result
		now.fill(r.sc, s)
		r.live.say("%s: %.3f Mpps, %.2f Gbit/s, %d dropped, %d wrong, %.1f s left", what, now.Mpps, now.GoodputGbps, dropped(s), r.d.load().Wrong, left.Seconds())
	})
}

func dropped(s *sample) uint64 {
	n := s.missed
	shm.NewTable().Range(func(c shm.Counter, info shm.Info) bool {
		if info.Kind == shm.KindDrop {
			n += s.block[c]
		}
		return true
	})
	return n
}

// trials is the device that a search asks.
type trials struct {
	r    *run
	last sample // of the last trial that went
}

func (t *trials) try(ctx context.Context, rate float64) bool {
	before := t.r.d.load().Counts
	s := t.r.d.trial(ctx, rate, t.r.sc.Search.Trial, nil)
	t.r.settle(&s, &before)
	if !t.r.goes(&s) {
		return false
	}
	t.last = s
	return true
}

// settle waits for what is on its way behind a trial, and notes what a gateway elsewhere has lost since before: one in this process, and its
// ports, count that themselves.
func (r *run) settle(s *sample, before *ends.Counts) {
	r.d.settle(r.ctx)
	if !s.hasBlock && r.ctx.Err() == nil {
		c := r.d.load().Counts.Since(before)
		s.elsewhere = c.Missing()
	}
}

// goes reports whether the rate of a trial goes: all was offered, and no more was lost than the search allows.
func (r *run) goes(s *sample) bool { return !s.unsent && 100*s.lossShare() <= r.sc.Search.Loss }

// mostRate is what a search begins with: a little more than goes when as much is offered as goes, and what that showed.
func (r *run) mostRate() (float64, sample) {
	s := r.trial(0, max(r.sc.Search.Trial, 10*time.Millisecond), "looking how much goes")
	r.d.settle(r.ctx) // what is on its way would be missed in the first trial
	return 1.1 * float64(s.packets()) / max(s.seconds, 1e-9), s
}

func (r *run) largest(res *Result) float64 {
	t := &trials{r: r}
	most, s := r.mostRate()
	rate := search(r.ctx, t, most, r.sc.Search.Resolution/100, func(done, about int, rate float64) {
		r.live.say("searching %s trial %d of about %d: %.3f Mpps", bar(done, about), done+1, about, rate/1e6)
	})
	switch {
	case t.last.seconds > 0:
		res.fill(r.sc, &t.last)
	case r.ctx.Err() != nil && s.seconds > 0: // stopped before a trial went: that is what there is
		res.fill(r.sc, &s)
	}
	return rate
}

// confirming is the device that is asked whether a rate goes for the scenario's time. The result is of what it was asked last.
type confirming struct {
	r   *run
	res *Result
}

func (c *confirming) try(_ context.Context, rate float64) bool {
	before := c.r.d.load().Counts
	s := c.r.trial(rate, c.r.sc.Time.Duration, "confirming")
	c.r.settle(&s, &before)
	c.res.fill(c.r.sc, &s)
	return c.r.goes(&s)
}

// lossFree looks for the largest rate without loss, and confirms it for the scenario's time.
func (r *run) lossFree(res *Result) {
	confirm(r.ctx, &confirming{r, res}, r.largest(res))
}

// latency looks for that rate likewise, and measures latency at shares of it.
func (r *run) latency(res *Result) {
	rate := confirm(r.ctx, &confirming{r, res}, r.largest(res))
	res.rate = rate
	for _, percent := range r.sc.Search.Loads {
		if r.ctx.Err() != nil || rate == 0 {
			return
		}
		before := r.d.load().Counts
		s := r.trial(rate*float64(percent)/100, r.sc.Time.Duration, fmt.Sprintf("at %d %%", percent))
		r.settle(&s, &before)
		res.fill(r.sc, &s)
		if res.Latency == nil {
			continue
		}
		res.Loads = append(res.Loads, Load{Percent: percent, Mpps: res.Mpps, Loss: res.PacketLoss, Latency: *res.Latency})
	}
}
