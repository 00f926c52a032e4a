package history

import (
	"testing"
	"time"

	"linecrypt/ctrlplane/sample"
)

func at(second int, sealed uint64) sample.Sample {
	return sample.Sample{At: time.Unix(int64(second), 0), Sealed: sealed, Workers: []sample.Worker{{Core: 1, Busy: uint64(second), Idle: uint64(second)}}}
}

func TestTailKeepsTheLastTenMinutesInOrder(t *testing.T) {
	var tail Tail
	if tail.All() == nil {
		t.Error("no points are no list")
	}
	const seconds = Points + 50
	for s := range seconds + 1 {
		tail.Add(at(s+1, uint64(s)*uint64(s)))
	}
	all := tail.All()
	if len(all) != Points || all[0].Time != 1000*int64(seconds-Points+2) || all[Points-1].Time != 1000*(seconds+1) {
		t.Fatalf("%d points from %d to %d", len(all), all[0].Time, all[len(all)-1].Time)
	}
	for i := 1; i < len(all); i++ {
		if all[i].Time-all[i-1].Time != 1000 || all[i].Sealed <= all[i-1].Sealed || all[i].Workers[0].Busy != 0.5 || all[i].Workers[0].Core != 1 {
			t.Fatalf("point %d: %+v", i, all[i])
		}
	}
}

func TestAnotherDataPlaneAndAGapMakeNoPoint(t *testing.T) {
	var tail Tail
	tail.Add(at(1, 0))
	tail.Add(at(100, 1e9)) // a gap
	two := at(101, 0)
	two.Workers = append(two.Workers, sample.Worker{})
	tail.Add(two) // another number of workers
	if n := len(tail.All()); n != 0 {
		t.Errorf("%d points", n)
	}
}

func TestFollowersGetEachPointAndSlowOnesHoldUpNobody(t *testing.T) {
	var tail Tail
	quick, end := tail.Follow()
	slow, _ := tail.Follow()
	for s := range 3 * backlog {
		tail.Add(at(s+1, 0))
		if s > 0 {
			if p := <-quick; p.Time != 1000*int64(s+1) {
				t.Fatalf("point of %d", p.Time)
			}
		}
	}
	if len(slow) != backlog {
		t.Errorf("%d points wait for one that reads nothing", len(slow))
	}
	for range maxFollowers - 2 {
		if f, _ := tail.Follow(); f == nil {
			t.Fatal("refused")
		}
	}
	if f, _ := tail.Follow(); f != nil {
		t.Error("one too many follows")
	}
	end()
	if f, _ := tail.Follow(); f == nil {
		t.Error("the place of one that went is not free")
	}
}
