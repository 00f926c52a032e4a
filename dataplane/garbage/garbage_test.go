package garbage

import (
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"time"
)

const tick = time.Millisecond

var sink []byte

func collections() uint64 {
	s := []metrics.Sample{{Name: "/gc/cycles/total:gc-cycles"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}

func TestGarbageIsCollectedWhereThereIsSome(t *testing.T) {
	defer hold(1<<20, tick)()
	end := time.Now().Add(10 * time.Second)
	for range 3 {
		for before := collections(); collections() == before; time.Sleep(tick) {
			sink = make([]byte, 1<<20)
			if time.Now().After(end) {
				t.Fatal("nothing is collected")
			}
		}
	}
}

func TestNothingIsCollectedWithinTheBudget(t *testing.T) {
	defer hold(64<<20, tick)()
	before := collections()
	for range 8 {
		sink = make([]byte, 1<<20)
	}
	time.Sleep(50 * tick)
	if n := collections() - before; n != 0 {
		t.Errorf("%d collections", n)
	}
}

// The runtime begins a collection because of the time where the percentage is not negative.
func TestRuntimeCollectsNothingByItselfWhileTheCollectorIsHeld(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(77))
	release := hold(1<<20, tick)
	if got := debug.SetGCPercent(-1); got != -1 {
		t.Errorf("the percentage is %d", got)
	}
	release()
	if got := debug.SetGCPercent(77); got != 77 {
		t.Errorf("the percentage is %d afterwards", got)
	}
}

func TestLookingAtTheHeapAllocatesNothing(t *testing.T) {
	var h heap
	if n := testing.AllocsPerRun(100, func() { h.bytes() }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
