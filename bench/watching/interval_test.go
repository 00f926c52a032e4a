package main

import (
	"math"
	"math/rand/v2"
	"testing"
)

// noisy returns ratios around 1+cost, of which every tenth is of a turn that the machine spoiled.
func noisy(r *rand.Rand, n int, cost, noise float64) []float64 {
	ratios := make([]float64, n)
	for i := range ratios {
		ratios[i] = (1 + cost) * math.Exp(noise*r.NormFloat64())
		if i%10 == 0 {
			ratios[i] *= math.Exp(10 * noise * r.NormFloat64())
		}
	}
	return ratios
}

func TestTheIntervalHoldsWhatSomethingCostsAsOftenAsItSays(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, cost := range []float64{0, 0.01, -0.02} {
		const tries = 400
		held := 0
		for range tries {
			if i := intervalOf(noisy(r, 40, cost, 0.02)); i.low <= cost && cost <= i.high {
				held++
			}
		}
		if share := float64(held) / tries; share < 0.92 || share > 0.99 {
			t.Errorf("cost %v: held %.3f of the time, 0.95 is said", cost, share)
		}
	}
}

func TestMorePairsResolveSmallerCosts(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	few, many := intervalOf(noisy(r, 20, 0, 0.01)), intervalOf(noisy(r, 500, 0, 0.01))
	if few.narrow() || !many.narrow() || math.Abs(many.cost) > 0.005 {
		t.Errorf("%v of 20 pairs, %v of 500", few, many)
	}
}

func TestOfAFewPairsNothingIsKnown(t *testing.T) {
	if i := intervalOf(make([]float64, least-1)); i.narrow() || i.high < allowed {
		t.Errorf("%v", i)
	}
}
