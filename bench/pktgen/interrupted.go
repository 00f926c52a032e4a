package pktgen

import (
	"golang.org/x/sys/unix"

	"linecrypt/ctrlplane/shm"
)

// Polls that take longer than this, in seconds, are looked at: a switch of threads meanwhile, or a time that no poll takes, tells that
// the machine ran something else.
const (
	longPoll   = 100e-6
	stolenPoll = 1e-3
)

// timed are the counters of cycles that an interrupted poll spoils.
var timed = func() (all [shm.NumStages + 1]shm.Counter) {
	for st := range shm.NumStages {
		all[st] = st.Cycles()
	}
	all[shm.NumStages] = shm.BusyCycles
	return all
}()

// stageCycles are the values of those counters.
type stageCycles [shm.NumStages + 1]uint64

// switches counts how often the thread lost its core to another one.
type switches struct {
	seen int64
	use  unix.Rusage // here, so that asking allocates nothing
}

func (s *switches) look() (changed bool) {
	if unix.Getrusage(unix.RUSAGE_THREAD, &s.use) != nil {
		return false
	}
	changed = s.use.Nivcsw != s.seen
	s.seen = s.use.Nivcsw
	return changed
}

// pace is what polls usually take.
type pace struct {
	each float64 // cycles for a packet, the last polls counting most; 0: not known yet
	long int     // polls in a row that took longer than one should
}

// usual is what a poll takes that does that much work.
func (p *pace) usual(work int) float64 { return p.each * float64(max(work, 1)) }

func (p *pace) learn(work int, took float64) {
	each := took / float64(work)
	if p.each == 0 {
		p.each = each
	}
	p.each += (each - p.each) / 64
}

// longRow is how many polls in a row that take too long are no exception any more.
const longRow = 8

// exception reports whether a poll is one that takes longer than it should. When many in a row do, that is what they take.
func (p *pace) exception(long bool) bool {
	if !long {
		p.long = 0
		return false
	}
	p.long++
	return p.long < longRow
}

// preempted reports whether the thread lost its core since the last call, or something says for certain that it did.
func (s *switches) preempted(certain bool) bool { return s.look() || certain }
