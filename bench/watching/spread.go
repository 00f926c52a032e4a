package main

import "slices"

// spread is a median with what lies around it: the first and the third quarter.
type spread struct{ low, median, high float64 }

func spreadOf(x []float64) spread {
	if len(x) == 0 {
		return spread{}
	}
	x = slices.Sorted(slices.Values(x))
	at := func(part float64) float64 {
		i := part * float64(len(x)-1)
		n := int(i)
		return x[n] + (i-float64(n))*(x[min(n+1, len(x)-1)]-x[n])
	}
	return spread{at(0.25), at(0.5), at(0.75)}
}
