// Package pulse says when a data plane stands still: it exists, holds its ports and so its network, and passes nothing any more.
package pulse

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"linecrypt/ctrlplane/instance"
	"linecrypt/ctrlplane/shm"
)

// The data plane says every 50 ms that it lives, and its workers poll, or sleep for less than that. It stands still when it has not at so many
// looks in a row.
const looks = 5

// tick is the unit in which Linux tells programs of time on cores.
const tick = 10 * time.Millisecond

// Watch returns a channel that is closed once the running data plane of an instance exists but has done nothing for as long as patience, 500 ms
// or more: it was stopped (SIGSTOP), or hangs. Time in which it wanted a core and got none does not count. Ctx ends the watch.
func Watch(ctx context.Context, in *instance.Instance, patience time.Duration) (<-chan struct{}, error) {
	dir, ok := in.LeftSegment()
	if !ok {
		return nil, errors.New("watch the data plane: it has no segment")
	}
	seg, err := shm.Open(dir, in.Name())
	if err != nil {
		return nil, fmt.Errorf("watch the data plane: %w", err)
	}
	still := make(chan struct{})
	go func() {
		defer seg.Close()
		every := patience / looks
		look := time.NewTicker(every)
		defer look.Stop()
		all := make([]pulse, 1+seg.Workers())
		for {
			select {
			case <-ctx.Done():
				return
			case <-look.C:
			}
			if standsAny(seg, all, every) {
				close(still)
				return
			}
		}
	}()
	return still, nil
}

// standsAny looks at the data plane and at each of its workers: one that hangs while its process goes on saying that it lives passes nothing.
// What workers do says nothing of whether their process, which beats in other threads, gets a core for that.
func standsAny(seg *shm.Segment, all []pulse, every time.Duration) (stands bool) {
	process, now := seg.DataPlane(), time.Now()
	stands = all[0].stands(now, process.Beat, every, func() (uint64, bool) {
		return working(process.PID, func(name string) bool { return !shm.IsWorkerThread(name) })
	})
	for i := range seg.Workers() {
		part := seg.Worker(i)
		if part == nil {
			continue
		}
		polls := atomic.LoadUint64(&part.Counters[shm.Polls])
		if all[1+i].stands(now, int64(polls), every, func() (uint64, bool) {
			return working(process.PID, func(name string) bool { return name == shm.WorkerThread(i) })
		}) {
			stands = true
		}
	}
	return stands
}

// pulse is what was seen of a data plane, or of a worker of it, so far.
type pulse struct {
	at     time.Time
	beat   int64
	cpu    uint64 // at the last look, if missed
	missed int
}

// stands reports whether the data plane has stood still for a number of looks, one every so often. Work, which is asked about one that says
// nothing, says how many clock ticks it has had on cores, and whether one of its threads wants more. One that wants them and gets few is not to
// blame, for it may be another thread that had those, and neither is it for looks that were late themselves: then the machine is busy, or was
// paused.
func (p *pulse) stands(now time.Time, beat int64, every time.Duration, work func() (cpu uint64, wants bool)) bool {
	late := now.Sub(p.at) > 3*every
	p.at = now
	if beat != p.beat || late {
		p.beat, p.missed = beat, 0
		return false
	}
	cpu, wants := work()
	starved := p.missed > 0 && wants && cpu-p.cpu < uint64(every/tick/2)
	p.cpu = cpu
	if !starved {
		p.missed++
	}
	return p.missed >= looks
}

// working returns the clock ticks that the threads of a process with certain names have had on cores, and whether one of them is to run, or
// waits for what the kernel does for it, as for pages that it is given.
func working(pid int, named func(string) bool) (ticks uint64, wants bool) {
	threads, _ := filepath.Glob(filepath.Join("/proc", strconv.Itoa(pid), "task", "*", "stat"))
	for _, path := range threads {
		text, _ := os.ReadFile(path)
		name, state, had, ok := threadStat(text)
		if !ok || !named(name) {
			continue
		}
		ticks += had
		wants = wants || state == "R" || state == "D"
	}
	return ticks, wants
}

// threadStat reads what the kernel says of a thread (proc(5), /proc/pid/task/tid/stat): its name, its state, and its time on cores in clock
// ticks. A name may hold anything, parentheses too.
func threadStat(text []byte) (name, state string, ticks uint64, ok bool) {
	from, to := bytes.IndexByte(text, '('), bytes.LastIndexByte(text, ')')
	if from < 0 || to < from {
		return "", "", 0, false
	}
	f := bytes.Fields(text[to+1:])
	if len(f) <= 12 {
		return "", "", 0, false
	}
	user, err := strconv.ParseUint(string(f[11]), 10, 64)
	system, err2 := strconv.ParseUint(string(f[12]), 10, 64)
	return string(text[from+1 : to]), string(f[0]), user + system, err == nil && err2 == nil
}
