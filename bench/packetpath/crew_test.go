package packetpath

import (
	"errors"
	"fmt"
	"testing"

	"golang.org/x/sys/unix"
)

// allowed are the cores that this process may run on.
func allowed(t *testing.T) (cores []int) {
	t.Helper()
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		t.Fatal(err)
	}
	for i := range 1024 {
		if set.IsSet(i) {
			cores = append(cores, i)
		}
	}
	return cores
}

func TestWorkersAtOneQueueHandleEveryPacketOnce(t *testing.T) {
	all := allowed(t)
	for _, n := range []int{1, 2} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			cores := []int{all[0], all[len(all)-1]}[:n] // one core for both, if need be
			for _, flows := range []int{1, 1024} {
				w := newWorld(t, Options{Flows: flows, Cores: cores})
				for _, c := range []Case{Seal, Open, Both} {
					r, err := w.Measure(Load{Case: c, Size: 64, Lag: maxLag, Batch: 8192}, 10_000)
					if err != nil {
						t.Fatalf("%d flows, %s: %v", flows, c, err)
					}
					if r.Allocs > 0 {
						t.Logf("%d flows, %s: %d allocations", flows, c, r.Allocs)
					}
				}
			}
		})
	}
}

func TestCoreThatIsNotThereIsAnError(t *testing.T) {
	w := newWorld(t, Options{Flows: 10, Cores: []int{allowed(t)[0], 1023}})
	if _, err := w.Measure(Load{Case: Seal, Size: 64}, 1000); err == nil || errors.Is(err, ErrWrong) {
		t.Errorf("error %v", err)
	}
}
