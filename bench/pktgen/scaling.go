package pktgen

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"linecrypt/bench/pktgen/scenario"
)

// Scale is the throughput of so many workers.
type Scale struct {
	Cores int       `json:"cores"`
	Mpps  float64   `json:"mpps"`     // median
	Runs  []float64 `json:"runs"`     // Mpps, in the order of the rounds
	Ratio float64   `json:"of_one"`   // of Mpps to that of one worker in the same run
	Core  []PerCore `json:"per_core"` // of the median run
}

// scale measures one worker and all of them, in turns. The result is the median run of all, with what both do.
func (p *plan) scale(ctx context.Context, l *live) (*Result, error) {
	var runs [2][]*Result
	counts := [2]int{1, p.workers()}
	for round := range p.sc.Time.Rounds {
		for i, n := range counts {
			res, err := p.throughputOf(ctx, n, l, fmt.Sprintf("round %d of %d, %d of %d cores: ", round+1, p.sc.Time.Rounds, n, p.workers()))
			if err != nil {
				return nil, err
			}
			runs[i] = append(runs[i], res)
			if ctx.Err() != nil {
				return scaled(p.sc, counts, runs), nil
			}
		}
	}
	return scaled(p.sc, counts, runs), nil
}

// throughputOf measures n workers.
func (p *plan) throughputOf(ctx context.Context, n int, l *live, prefix string) (*Result, error) {
	q, err := p.variant(func(sc *scenario.Scenario) {
		sc.Measure, sc.Cores.Workers = scenario.Throughput, n
		if n < p.workers() {
			sc.Limits.Mpps, sc.Limits.GoodputGbps = 0, 0
		}
	})
	if err != nil {
		return nil, err
	}
	d, err := q.driver()
	if err != nil {
		return nil, err
	}
	l.prefix = prefix
	defer func() { l.prefix = "" }()
	return driveAll(ctx, q.sc, d, l)
}

// scaled puts the results of rounds together.
func scaled(sc *scenario.Scenario, counts [2]int, runs [2][]*Result) *Result {
	var scales []Scale
	var res *Result
	var failures []string
	for i, rs := range runs {
		for _, r := range rs {
			for _, f := range r.Failures {
				if !slices.Contains(failures, f) {
					failures = append(failures, f)
				}
			}
		}
		whole := slices.DeleteFunc(slices.Clone(rs), func(r *Result) bool { return r.Incomplete })
		if len(whole) == 0 {
			if len(rs) > 0 {
				res = rs[0]
			}
			continue
		}
		s := Scale{Cores: counts[i]}
		for _, r := range whole {
			s.Runs = append(s.Runs, r.Mpps)
		}
		slices.SortFunc(whole, func(a, b *Result) int { return cmp.Compare(a.Mpps, b.Mpps) })
		res = whole[(len(whole)-1)/2]
		s.Mpps, s.Core = res.Mpps, res.PerCore
		if s.Ratio = 1; len(scales) > 0 && scales[0].Mpps > 0 {
			s.Ratio = round(s.Mpps/scales[0].Mpps, 3)
		}
		scales = append(scales, s)
	}
	res.Measure, res.Scaling, res.Failures = string(scenario.Scaling), scales, append([]string{}, failures...)
	if res.Incomplete = len(runs[1]) < sc.Time.Rounds || res.Incomplete; !res.Incomplete {
		if got := scales[1].Ratio; got < sc.Limits.Scaling {
			res.Failures = append(res.Failures, fmt.Sprintf("limits.scaling: %d cores do %.2f times what one does, less than %.2f", counts[1], got, sc.Limits.Scaling))
		}
	}
	return res
}
