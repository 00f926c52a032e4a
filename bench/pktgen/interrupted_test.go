package pktgen

import "testing"

func TestPollsThatAllTakeLongAreNoExceptions(t *testing.T) {
	var p pace
	p.learn(100, 1000)
	if got := p.usual(1000); got != 10000 {
		t.Errorf("a poll of ten times the work takes %g cycles, not ten times as much", got)
	}
	if p.exception(false) || !p.exception(true) || p.exception(false) {
		t.Error("one that takes long among others is none")
	}
	for n := range 3 * longRow {
		if got, want := p.exception(true), n < longRow-1; got != want {
			t.Errorf("poll %d in a row: an exception is %v, not %v", n, got, want)
		}
	}
}

// What is not known yet is learned from the first poll whole: a fraction of it would make all that follow exceptions, of that fraction.
func TestTheFirstPollCountsWhole(t *testing.T) {
	var p pace
	if p.learn(512, 512*5000); p.each != 5000 {
		t.Errorf("%g cycles a packet after polls that took 5000", p.each)
	}
}
