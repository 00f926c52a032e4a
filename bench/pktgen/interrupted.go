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

// preempted reports whether the thread lost its core since the last call, or something says for certain that it did.
func (s *switches) preempted(certain bool) bool { return s.look() || certain }
