package shm

import (
	"linecrypt/flowtable"
	"sync/atomic"
)

// segmentHeader is the first part of a segment. What one process alone writes while the others read has a line of its own.
type segmentHeader struct {
	magic   uint64
	version uint32
	_       uint32
	layout  uint64 // layoutHash
	size    uint64 // of the segment in bytes
	shape   shape
	claimed atomic.Uint32 // another data plane is about to replace the segment
	nonce   [16]byte      // of the instance
	created int64         // unix time in ns
	name    [textRoom]byte
	inside  [textRoom]byte
	outside [textRoom]byte
	engine  [textRoom]byte
	kinds   [flowtable.NumSides][kindRoom]byte
	poll    [kindRoom]byte
	cores   [MaxWorkers]int32
	_       [56]byte // to the end of a line

	data    processLine
	control processLine
	ports   portLine
	rules   rulesBlock
	ruleSet ruleSetLine
	aware   awareTable
}

// kindRoom holds a short word and the zero byte behind it.
const kindRoom = 16

// Link is the state of a port's link.
type Link uint32

// The states of a link.
const (
	LinkUnknown Link = iota // nobody has looked yet
	LinkUp
	LinkDown
	LinkGone // the port has no interface
)

// String returns the state's name.
func (l Link) String() string {
	switch l {
	case LinkUp:
		return "up"
	case LinkDown:
		return "down"
	case LinkGone:
		return "gone"
	}
	return "unknown"
}

// portLine is what the data plane says about its ports while it runs.
type portLine struct {
	links [flowtable.NumSides]atomic.Uint32 // Link
	mtus  [2]atomic.Uint32                  // bytes
	_     [64 - 8*flowtable.NumSides]byte
}

// processLine is what a process says about itself.
type processLine struct {
	pid   atomic.Uint64
	start atomic.Uint64 // start time in clock ticks since boot, as in /proc/PID/stat
	beat  atomic.Int64  // ns of CLOCK_MONOTONIC
	epoch atomic.Uint64 // grows each time a process takes this part
	word  atomic.Uint64 // data plane: 1 when packets flow; control plane: flowtable.Policy
	_     [128 - 40]byte
}

// Process is what the segment says about the data plane or the control plane.
type Process struct {
	PID   int
	Start uint64 // start time in clock ticks since boot, as in /proc/PID/stat: with PID it names one process
	Beat  int64  // ns of CLOCK_MONOTONIC when it last said that it is alive
	Epoch uint64 // how many processes have had this part in this segment
}

// Alive reports whether the last heartbeat is at most limit ns before now, in ns of CLOCK_MONOTONIC.
func (p Process) Alive(now, limit int64) bool {
	return p.Beat != 0 && now-p.Beat <= limit
}

func (l *processLine) read() Process {
	return Process{PID: int(l.pid.Load()), Start: l.start.Load(), Beat: l.beat.Load(), Epoch: l.epoch.Load()}
}

// enter writes a new process's identity, with no heartbeat yet.
func (l *processLine) enter(pid int, start uint64) {
	l.beat.Store(0)
	l.pid.Store(uint64(pid))
	l.start.Store(start)
	l.epoch.Add(1)
}
