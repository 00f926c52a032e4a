package turns

import (
	"slices"
	"testing"
)

func TestMedianIsTheMiddle(t *testing.T) {
	for _, tt := range []struct {
		of   []float64
		want float64
	}{{[]float64{3}, 3}, {[]float64{5, 1}, 3}, {[]float64{9, 1, 2}, 2}, {[]float64{4, 1, 100, 2}, 3}} {
		before := slices.Clone(tt.of)
		if got := Median(tt.of); got != tt.want || !slices.Equal(tt.of, before) {
			t.Errorf("%v: %v, want %v; then it is %v", before, got, tt.want, tt.of)
		}
	}
}

func TestRatiosAreThoseOfTheSameTurn(t *testing.T) {
	for _, tt := range []struct{ a, b, want []float64 }{
		{[]float64{2, 3, 6}, []float64{1, 2, 4}, []float64{2, 1.5, 1.5}},
		{[]float64{2, 3}, []float64{1, 2, 4}, []float64{2, 1.5}}, // one was interrupted
		{[]float64{2, 3}, []float64{1}, []float64{2}},
		{nil, []float64{1}, nil},
	} {
		if got := Ratios(tt.a, tt.b); !slices.Equal(got, tt.want) {
			t.Errorf("%v of %v: %v, want %v", tt.a, tt.b, got, tt.want)
		}
	}
}
