package server

import "golang.org/x/sys/unix"

// How an idle server waits, in ns: it polls for a moment, because requests of one connection follow each other closely,
// then sleeps, longer and longer.
const (
	spinFor   = 30_000
	restFor   = 5_000_000 // of short sleeps
	shortest  = 50_000
	longest   = 1_000_000
	lengthens = 2
)

// idler paces a loop that finds nothing to do.
type idler struct {
	since int64 // when it found nothing first; 0 when it is busy
	sleep int64
}

func (i *idler) reset() { *i = idler{} }

// wait returns at once, or after a sleep. It does not use the runtime's timers, whose sleeps are of 1 ms at least.
func (i *idler) wait(now int64) {
	if i.since == 0 {
		i.since, i.sleep = now, shortest
	}
	switch d := now - i.since; {
	case d < spinFor:
		return
	case d > restFor:
		i.sleep = min(i.sleep*lengthens, longest)
	}
	ts := unix.NsecToTimespec(i.sleep)
	_ = unix.Nanosleep(&ts, nil)
}
