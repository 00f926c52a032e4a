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
	OfOwn     float64    `json:"of_own"`    // of Mpps to that of as many workers with a queue each in the same round: median; 0 where that was not measured
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
	for turn := 0; turn < p.sc.Time.Rounds && ctx.Err() == nil; turn++ {
		if on := p.set.cores; len(on) > 1 {
			ns, err := cores.Handover(on[0], on[1])
			if err != nil {
				return nil, err
			}
			handovers = append(handovers, round(ns, 0))
		}
		for i := 0; i < len(cs) && ctx.Err() == nil; i++ { // each is the first as often as any other
			c := cs[(i+turn)%len(cs)]
			l.prefix = fmt.Sprintf("round %d of %d, %s", turn+1, p.sc.Time.Rounds, c.prefix)
			if err := c.measure(ctx, l); err != nil {
				return nil, err
			}
		}
	}
	res = scaled(p.sc, cs)
	if n := len(handovers); n > 0 {
		sorted := slices.Sorted(slices.Values(handovers))
		res.Handover = &Handover{Median: sorted[n/2], Most: sorted[n-1], Rounds: handovers}
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
		if err == nil {
			c.runs = append(c.runs, res)
		}
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
			s := c.scale(m, cs[0])
			if own := cs[1]; len(cs) > 2 && c != own {
				if ratios := c.over(own); s.Cores > 1 && len(ratios) > 0 {
					s.OfOwn = quartile(ratios, 2)
				}
			}
			scales = append(scales, s)
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
	return slices.DeleteFunc(slices.Clone(c.runs), func(r *Result) bool { return r.Incomplete })
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
	for _, r := range c.whole() {
		s.Runs = append(s.Runs, r.Mpps)
	}
	if ratios := c.over(one); len(ratios) > 0 {
		s.Ratio, s.Quartiles = quartile(ratios, 2), [2]float64{quartile(ratios, 1), quartile(ratios, 3)}
	}
	return s
}

// over returns its throughput as a multiple of another's by round, in ascending order.
func (c *contender) over(o *contender) (ratios []float64) {
	for i := range min(len(c.runs), len(o.runs)) {
		if a, b := c.runs[i], o.runs[i]; !a.Incomplete && !b.Incomplete && b.Mpps > 0 {
			ratios = append(ratios, a.Mpps/b.Mpps)
		}
	}
	slices.Sort(ratios)
	return ratios
}

// quartile returns quartile n of values in ascending order.
func quartile(of []float64, n int) float64 { return round(of[(len(of)-1)*n/4], 3) }
