package flowtable

import (
	"math"
	"testing"
)

func TestMomentsAreNeverLaterThanTheirTime(t *testing.T) {
	const second = int64(1e9)
	r := &Record{}
	r.Rare.Created = 12345 * second
	for _, d := range []int64{0, 1, second / 10, second, 3600 * second, 5 * 24 * 3600 * second, 17 * 365 * 24 * 3600 * second} {
		at := r.Rare.Created + d
		m := r.Moment(at)
		if got := r.At(m); m == 0 || got > at || at-got >= 1<<momentShift {
			t.Errorf("%d ns: %d ns", d, got-r.Rare.Created)
		}
	}
	if r.At(0) != 0 {
		t.Error("none is some")
	}
	if m := r.Moment(math.MaxInt64); m != math.MaxUint32 {
		t.Errorf("the far future is %d", m)
	}
	if m := r.Moment(0); r.At(m) != r.Rare.Created {
		t.Errorf("what was before the connection is %d", m)
	}
}

func TestLimitsAreRoundedDownToPowersOfTwo(t *testing.T) {
	for limit, want := range map[uint64]uint64{0: 77, 1: 2, 2: 2, 3: 2, 4: 4, 1000: 512, 1 << 40: 1 << 40, math.MaxUint64: 1 << 63} {
		if got := Limit(Log2(limit), 77); got != want {
			t.Errorf("%d becomes %d, not %d", limit, got, want)
		}
	}
}
