package worker

import (
	"time"

	"golang.org/x/sys/unix"

	"linecrypt/dataplane/port"
	"linecrypt/dataplane/tsc"
)

// idler decides what a worker does between two polls that found nothing. A busy worker goes on polling, but for short pauses
// where it shares its core with other workers; an adaptive one sleeps until one of its ports has something. Neither calls
// sched_yield in a loop: that pushes the thread ever further back in the scheduler's time, and a thread that is new on the core
// then waits for seconds.
type idler struct {
	adaptive bool
	shared   bool
	max      time.Duration
	empty    int
	fds      []unix.PollFd
	sleeps   *uint64
	cycles   *uint64 // spent here, which are idle ones
}

const (
	spins     = 64                   // empty polls before an adaptive worker sleeps, or one that shares its core pauses
	pauseMask = 15                   // the latter pauses at every sixteenth empty poll from there on
	pause     = 1 * time.Microsecond // at least: waking up takes a few more
)

func (d *idler) init(p Params, sleeps, cycles *uint64, queues ...port.Queue) {
	d.adaptive, d.shared, d.max, d.sleeps, d.cycles = p.Adaptive, p.SharedCore, time.Duration(p.IdleSleep), sleeps, cycles
	for _, q := range queues {
		fds := port.Fds(q)
		if fds == nil {
			d.fds = nil
			return
		}
		for _, fd := range fds {
			d.fds = append(d.fds, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
		}
	}
}

// after is called behind each poll with the amount of work it found.
func (d *idler) after(work int) {
	if work > 0 {
		d.empty = 0
		return
	}
	d.empty++
	if d.empty < spins || !d.adaptive && (!d.shared || d.empty&pauseMask != 0) {
		return
	}
	t := tsc.Now()
	if d.adaptive {
		d.sleep()
	} else {
		ts := unix.NsecToTimespec(int64(pause))
		_ = unix.Nanosleep(&ts, nil)
	}
	*d.cycles += tsc.Now() - t
}

// sleep waits for a packet where the ports can tell, else for a short while. The control plane's answers cannot wake it, so
// that it is never long.
func (d *idler) sleep() {
	*d.sleeps++
	ts := unix.NsecToTimespec(int64(d.max))
	if d.fds != nil {
		_, _ = unix.Ppoll(d.fds, &ts, nil)
		return
	}
	_ = unix.Nanosleep(&ts, nil)
}
