package worker

import (
	"time"

	"golang.org/x/sys/unix"

	"linecrypt/dataplane/port"
)

// idler decides what a worker does between two polls that found nothing. A busy worker only yields now and then, so that a
// core it must share is shared in small pieces; an adaptive one sleeps, longer the longer nothing came, until one of its
// ports has something.
type idler struct {
	adaptive bool
	max      time.Duration
	empty    int
	fds      []unix.PollFd
	sleeps   *uint64
}

const (
	spins     = 64  // empty polls before the core is offered to others
	naps      = 256 // empty polls before an adaptive worker sleeps
	yieldMask = 15  // a busy worker yields at every sixteenth empty poll behind that
)

func (d *idler) init(p Params, sleeps *uint64, queues ...port.Queue) {
	d.adaptive, d.max, d.sleeps = p.Adaptive, time.Duration(p.IdleSleep), sleeps
	for _, q := range queues {
		f, ok := q.(port.Waiter)
		if !ok {
			d.fds = nil
			return
		}
		d.fds = append(d.fds, unix.PollFd{Fd: int32(f.Fd()), Events: unix.POLLIN})
	}
}

// after is called behind each poll with the amount of work it found.
func (d *idler) after(work int) {
	if work > 0 {
		d.empty = 0
		return
	}
	d.empty++
	switch {
	case d.empty < spins:
	case !d.adaptive:
		if d.empty&yieldMask == 0 {
			yield()
		}
	case d.empty < naps:
		yield()
	default:
		d.sleep()
	}
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

// yield offers the core to other threads.
func yield() { _, _, _ = unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0) }
