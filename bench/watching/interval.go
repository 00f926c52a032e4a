package main

import (
	"fmt"
	"math"
	"slices"
)

// interval is what something costs, as a share of what there is without it, and between what it lies with 95 % confidence.
type interval struct{ low, cost, high float64 }

// String is as 0.12 % (-0.20 to +0.43).
func (i interval) String() string {
	return fmt.Sprintf("%+.2f %% (%+.2f to %+.2f)", 100*i.cost, 100*i.low, 100*i.high)
}

// narrow reports whether the interval is as narrow as is wanted.
func (i interval) narrow() bool { return i.high-i.low <= 2*resolved }

// over is what each of n costs that cost as much together.
func (i interval) over(n float64) interval { return interval{i.low / n, i.cost / n, i.high / n} }

// least is how many pairs an interval takes.
const least = 8

// intervalOf takes ratios of a packet's time with and without something, each of a pair of turns. The estimate is the median of the means
// of all pairs of ratios (Hodges and Lehmann), the interval the one that Wilcoxon's signed ranks give: neither wants the noise to be
// normal, and turns in which the machine did something else weigh no more than others. Of fewer than least ratios nothing is known.
func intervalOf(ratios []float64) interval {
	n := len(ratios)
	if n < least {
		return interval{math.Inf(-1), math.NaN(), math.Inf(1)}
	}
	logs := make([]float64, n)
	for i, r := range ratios {
		logs[i] = math.Log(r)
	}
	means := make([]float64, 0, n*(n+1)/2)
	for i := range logs {
		for j := range i + 1 {
			means = append(means, (logs[i]+logs[j])/2)
		}
	}
	slices.Sort(means)
	f := float64(n)
	const normal = 1.96 // of 95 %
	outside := max(int(math.Round(f*(f+1)/4-normal*math.Sqrt(f*(f+1)*(2*f+1)/24))), 1)
	middle := (means[(len(means)-1)/2] + means[len(means)/2]) / 2
	return interval{math.Expm1(means[outside-1]), math.Expm1(middle), math.Expm1(means[len(means)-outside])}
}

// verdict prints what something costs and whether that is as little as it may be: nothing above allowed is likely.
func verdict(what string, i interval, beside string) bool {
	fmt.Printf("%-44s %-28s%s\n", what, i, beside)
	return i.high < allowed
}
