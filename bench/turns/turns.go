// Package turns compares what was measured in turns. A machine that others share changes its speed from turn to turn: what was measured in the
// same one is compared, and of that the median counts.
package turns

import "slices"

// Median returns the median of some numbers, the mean of the middle two where their number is even. There is one at least.
func Median(x []float64) float64 {
	x = slices.Sorted(slices.Values(x))
	n := len(x)
	return (x[(n-1)/2] + x[n/2]) / 2
}

// Ratios returns what a is of b, turn by turn, for the turns that both had.
func Ratios(a, b []float64) []float64 {
	ratios := make([]float64, min(len(a), len(b)))
	for i := range ratios {
		ratios[i] = a[i] / b[i]
	}
	return ratios
}
