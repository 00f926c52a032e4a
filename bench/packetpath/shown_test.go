package packetpath

import (
	"errors"
	"os"
	"sync/atomic"
	"testing"

	"linecrypt/ctrlplane/instance"
	"linecrypt/ctrlplane/shm"
	"linecrypt/flowtable"
)

func TestProgramsTakeAWorldForTheDataPlaneOfItsInstance(t *testing.T) {
	t.Setenv(instance.EnvRunDir, t.TempDir())
	in, err := instance.Open("shown")
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, Options{Flows: 100, Instance: in})
	if found, err := instance.Find("shown"); err != nil || found.Dir() != in.Dir() {
		t.Fatalf("%v, %v", found, err)
	}
	dir, err := in.SegmentDir()
	if err != nil {
		t.Fatal(err)
	}
	seg, err := shm.Open(dir, in.Name())
	if err != nil {
		t.Fatal(err)
	}
	defer seg.Close()
	if _, err := w.Measure(Load{Case: Both, Size: 100}, 10_000); err != nil {
		t.Fatal(err)
	}
	part := seg.Worker(0)
	if n := atomic.LoadUint64(&part.Counters[shm.SealedFrames]); n == 0 || !seg.Ready() || !seg.DataPlaneRuns() || seg.DataPlane().PID != os.Getpid() {
		t.Errorf("%d frames, ready %v, running %v", n, seg.Ready(), seg.DataPlaneRuns())
	}
	if flows, err := part.Flows(); err != nil || flows.Count(flowtable.Encrypted) != 100 {
		t.Errorf("%v", err)
	}
	if _, err := New(Options{Flows: 1, Instance: in}); !errors.Is(err, instance.ErrRunning) {
		t.Errorf("a second one: %v", err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := instance.Find("shown"); !errors.Is(err, instance.ErrNotRunning) {
		t.Errorf("when it is over: %v", err)
	}
}

func TestCompareTurnsOnAndOffAlike(t *testing.T) {
	w := newWorld(t, Options{Flows: 10})
	turns := map[bool]int{}
	list, err := w.Compare(Load{Case: Seal, Size: 64, Batch: 512}, 3, func(on bool) { turns[on]++ })
	if err != nil || turns[true] != turns[false] || turns[true] < 4*len(list) {
		t.Fatalf("%v: %v for %v", err, turns, list)
	}
	for _, r := range list {
		if r < 0.1 || r > 10 {
			t.Errorf("%v of nothing", r)
		}
	}
}

func TestBatchesGoOnUntilToldToEnd(t *testing.T) {
	w := newWorld(t, Options{Flows: 10})
	n := 0
	err := w.Batches(Load{Case: Both, Size: 64, Batch: 512}, func(b Taken) bool {
		if b.Whole && (b.Packets < 512 || b.Ticks == 0) {
			t.Errorf("%+v", b)
		}
		n++
		return n < 5
	})
	if err != nil || n != 5 {
		t.Errorf("%d batches, %v", n, err)
	}
}
