package pktgen

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"linecrypt/bench/cores"
	"linecrypt/bench/pktgen/scenario"
)

// Scale is the throughput of so many workers.
type Scale struct {
	Cores     int        `json:"cores"`
	Queues    string     `json:"queues"`    // own or one, as ports.queues says
	Mpps      float64    `json:"mpps"`      // median
	Runs      []float64  `json:"runs"`      // Mpps, in the order of the rounds
	Ratio     float64    `json:"of_one"`    // of Mpps to that of one worker in the same round: median of the rounds
	Quartiles [2]float64 `json:"quartiles"` // of these ratios
	Core      []PerCore  `json:"per_core"`  // of the median run
}

// contender is a number of workers that is measured in turns with others.
type contender struct {
	p      *plan
	prefix string
	r      *run // with open connections, where it stays between rounds
	runs   []*Result
}

// contenders are one worker and all of them; and where these share a queue by the spreader, also what they do with queues of their own, which
// says what of the scaling is the spreader's and what the machine's.
func (p *plan) contenders() ([]*contender, error) {
	kinds := []scenario.Cores{{Workers: 1}, {Workers: p.workers()}}
	queues := []scenario.Queues{p.sc.Ports.Queues, p.sc.Ports.Queues}
	if p.spreads() {
		kinds, queues = slices.Insert(kinds, 1, kinds[1]), slices.Insert(queues, 1, scenario.OwnQueues)
	}
	var cs []*contender
	for i, k := range kinds {
		q, err := p.variant(func(sc *scenario.Scenario) {
			sc.Measure, sc.Cores.Workers, sc.Ports.Queues = scenario.Throughput, k.Workers, queues[i]
			if i < len(kinds)-1 {
				sc.Limits.Mpps, sc.Limits.GoodputGbps = 0, 0
			}
		})
		if err != nil {
			return nil, err
		}
		q.suffix = fmt.Sprintf("-%d", i)
		cs = append(cs, &contender{p: q, prefix: fmt.Sprintf("%d of %d cores, queues %s: ", k.Workers, p.workers(), queues[i])})
	}
	return cs, nil
}

// scale measures the contenders in turns, in short rounds: a machine that changes its speed does so for all of them. The result is the median run
// of all workers, with what each contender does.
func (p *plan) scale(ctx context.Context, l *live) (res *Result, err error) {
	cs, err := p.contenders()
	if err != nil {
		return nil, err
	}
	defer func() {
		for _, c := range cs {
			err = errors.Join(err, c.close())
		}
		l.prefix = ""
		l.clear()
	}()
	var handovers []float64
	for round := 0; round < p.sc.Time.Rounds && ctx.Err() == nil; round++ {
		if on := p.set.cores; len(on) > 1 {
			ns, err := cores.Handover(on[0], on[1])
			if err != nil {
				return nil, err
			}
			handovers = append(handovers, ns)
		}
		for i := 0; i < len(cs) && ctx.Err() == nil; i++ { // each is the first as often as any other
			c := cs[(i+round)%len(cs)]
			l.prefix = fmt.Sprintf("round %d of %d, %s", round+1, p.sc.Time.Rounds, c.prefix)
			if err := c.measure(ctx, l); err != nil {
				return nil, err
			}
		}
	}
	res = scaled(p.sc, cs)
	slices.Sort(handovers)
	if n := len(handovers); n > 0 {
		res.Handover = &Handover{Median: round(handovers[n/2], 0), Most: round(handovers[n-1], 0)}
	}
	return res, nil
}

// stays reports whether contenders are kept between rounds: those that the generator takes turns with, whose threads can rest. Others are
// made anew, because their workers poll all the time.
func (p *plan) stays() bool { return p.set.mode == string(scenario.ModeTurns) }

// measure measures it for a round.
func (c *contender) measure(ctx context.Context, l *live) error {
	if !c.p.stays() {
		d, err := c.p.driver()
		if err != nil {
			return err
		}
		res, err := driveAll(ctx, c.p.sc, d, l)
		c.runs = append(c.runs, res)
		return err
	}
	undo, err := cores.Pin(c.p.set.genCore)
	if err != nil {
		return err
	}
	defer undo()
	if c.r == nil {
		d, err := c.p.driver()
		if err != nil {
			return err
		}
		c.r = &run{ctx: ctx, sc: c.p.sc, d: d, live: l}
		if err := c.r.open(); err != nil {
			return err
		}
	}
	c.runs = append(c.runs, c.r.again())
	c.r.d.(*turns).rest()
	return nil
}

func (c *contender) close() error {
	if c.r == nil {
		return nil
	}
	return c.r.d.close()
}

// scaled puts the results of rounds together.
func scaled(sc *scenario.Scenario, cs []*contender) *Result {
	res := cs[len(cs)-1].median()
	var scales []Scale
	failures, whole := []string{}, 0
	for _, c := range cs {
		for _, r := range c.runs {
			for _, f := range r.Failures {
				if !slices.Contains(failures, f) {
					failures = append(failures, f)
				}
			}
		}
		if m := c.median(); m != nil {
			scales = append(scales, c.scale(m, cs[0]))
		}
		whole += len(c.whole())
	}
	if res == nil { // stopped before all have been measured
		for _, c := range cs {
			if len(c.runs) > 0 {
				res = c.runs[0]
			}
		}
		if res == nil {
			res = &Result{Scenario: sc.Name, Drops: map[string]uint64{}}
		}
	}
	res.Measure, res.Scaling, res.Failures = string(scenario.Scaling), scales, failures
	if res.Incomplete = whole < len(cs)*sc.Time.Rounds; !res.Incomplete {
		if last := scales[len(scales)-1]; last.Ratio < sc.Limits.Scaling {
			res.Failures = append(res.Failures, fmt.Sprintf("limits.scaling: %d cores do %.2f times what one does, less than %.2f", last.Cores, last.Ratio, sc.Limits.Scaling))
		}
	}
	return res
}

// whole are the rounds that were not stopped.
func (c *contender) whole() []*Result {
	return slices.DeleteFunc(slices.Clone(c.runs), func(r *Result) bool { return r == nil || r.Incomplete })
}

// median is the median round, nil where there is none.
func (c *contender) median() *Result {
	whole := c.whole()
	if len(whole) == 0 {
		return nil
	}
	slices.SortFunc(whole, func(a, b *Result) int { return cmp.Compare(a.Mpps, b.Mpps) })
	return whole[(len(whole)-1)/2]
}

// scale compares its rounds with those of one worker.
func (c *contender) scale(median *Result, one *contender) Scale {
	s := Scale{Cores: c.p.workers(), Queues: string(c.p.sc.Ports.Queues), Mpps: median.Mpps, Core: median.PerCore}
	var ratios []float64
	for i, r := range c.whole() {
		s.Runs = append(s.Runs, r.Mpps)
		if i < len(one.runs) && one.runs[i].Mpps > 0 {
			ratios = append(ratios, r.Mpps/one.runs[i].Mpps)
		}
	}
	if slices.Sort(ratios); len(ratios) > 0 {
		at := func(share int) float64 { return round(ratios[(len(ratios)-1)*share/4], 3) }
		s.Ratio, s.Quartiles = at(2), [2]float64{at(1), at(3)}
	}
	return s
}
