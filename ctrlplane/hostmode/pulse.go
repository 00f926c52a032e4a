package hostmode

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"linecrypt/ctrlplane/instance"
	"linecrypt/ctrlplane/shm"
)

// The data plane says every 50 ms that it lives. It is looked at every lookAtPulse, and stands still when it has said nothing at
// missedBeats looks: within a second, with the time for what follows.
const (
	lookAtPulse = 100 * time.Millisecond
	missedBeats = 5
)

// Pulse returns a channel that is closed once the running data plane of an instance exists but does nothing any more: it was stopped
// (SIGSTOP), or hangs. Ctx ends the watch.
func Pulse(ctx context.Context, in *instance.Instance) (<-chan struct{}, error) {
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
		tick := time.NewTicker(lookAtPulse)
		defer tick.Stop()
		var p pulse
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			process := seg.DataPlane()
			if p.stands(time.Now(), process.Beat, func() (uint64, bool) { return working(process.PID) }) {
				close(still)
				return
			}
		}
	}()
	return still, nil
}

// pulse is what was seen of a data plane so far.
type pulse struct {
	at     time.Time
	beat   int64
	cpu    uint64
	missed int
}

// stands reports whether the data plane stands still. Work says how much time on cores it has had, in any unit, and whether one of its threads
// wants some. One that wants and gets none is not to blame, and neither is it for looks that were late themselves: then the
// machine is busy, or was paused.
func (p *pulse) stands(now time.Time, beat int64, work func() (cpu uint64, wants bool)) bool {
	late := now.Sub(p.at) > 3*lookAtPulse
	p.at = now
	if beat != p.beat || late {
		p.beat, p.missed = beat, 0
		p.cpu, _ = work()
		return false
	}
	cpu, wants := work()
	starved := wants && cpu == p.cpu
	p.cpu = cpu
	if !starved {
		p.missed++
	}
	return p.missed >= missedBeats
}

// working returns the clock ticks that a process has had on cores, and whether one of its threads is to run.
func working(pid int) (ticks uint64, wants bool) {
	stat := func(path string) (fields [][]byte) {
		text, _ := os.ReadFile(path)
		if at := bytes.LastIndexByte(text, ')'); at >= 0 {
			fields = bytes.Fields(text[at+1:])
		}
		return fields
	}
	base := filepath.Join("/proc", strconv.Itoa(pid))
	if f := stat(filepath.Join(base, "stat")); len(f) > 12 {
		user, _ := strconv.ParseUint(string(f[11]), 10, 64)
		system, _ := strconv.ParseUint(string(f[12]), 10, 64)
		ticks = user + system
	}
	threads, _ := filepath.Glob(filepath.Join(base, "task", "*", "stat"))
	for _, path := range threads {
		if f := stat(path); len(f) > 0 && string(f[0]) == "R" {
			return ticks, true
		}
	}
	return ticks, false
}
