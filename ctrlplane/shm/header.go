package shm

import "sync/atomic"

// segmentHeader is the first part of a segment. What one process alone writes while the others read has a line of its own.
type segmentHeader struct {
	magic   uint64
	version uint32
	_       uint32
	layout  uint64 // layoutHash
	size    uint64 // of the segment in bytes
	shape   shape
	_       uint32
	nonce   [16]byte // of the instance
	created int64    // unix time in ns
	name    [textRoom]byte
	inside  [textRoom]byte
	outside [textRoom]byte
	engine  [textRoom]byte
	kinds   [numSides][kindRoom]byte
	poll    [kindRoom]byte
	cores   [MaxWorkers]int32

	data    processLine
	control processLine
	ports   portLine
}

// kindRoom holds a short word and the zero byte behind it.
const kindRoom = 16

// Side is one of the two ports.
type Side uint8

// The sides.
const (
	Inside Side = iota
	Outside
	numSides
)

// String returns the side's name as in the configuration.
func (s Side) String() string {
	switch s {
	case Inside:
		return "inside"
	case Outside:
		return "outside"
	}
	return "invalid"
}

// Link is the state of a port's link.
type Link uint32

// The states of a link.
const (
	LinkUnknown Link = iota // nobody has looked yet
	LinkUp
	LinkDown
)

// String returns the state's name.
func (l Link) String() string {
	switch l {
	case LinkUp:
		return "up"
	case LinkDown:
		return "down"
	}
	return "unknown"
}

// portLine is what the data plane says about its ports while it runs.
type portLine struct {
	links [numSides]atomic.Uint32 // Link
	_     [64 - 4*numSides]byte
}

// processLine is what a process says about itself.
type processLine struct {
	pid   atomic.Uint64
	start atomic.Uint64 // start time in clock ticks since boot, as in /proc/PID/stat
	beat  atomic.Int64  // ns of CLOCK_MONOTONIC
	epoch atomic.Uint64 // grows each time a process takes this part
	word  atomic.Uint64 // data plane: 1 when packets flow; control plane: Policy
	_     [128 - 40]byte
}

// Policy is what the control plane published for the time when it is away.
type Policy uint64

// The policies.
const (
	PolicyUnset         Policy = iota // no control plane has been there yet
	PolicyOpportunistic               // new connections pass in the clear
	PolicyRequire                     // new connections are refused
	PolicyDisabled                    // nothing is to be encrypted
)

var policyNames = [...]string{"unset", "opportunistic", "require", "disabled"}

// String returns the policy's name as in the configuration.
func (p Policy) String() string {
	if int64(p) >= 0 && int64(p) < int64(len(policyNames)) {
		return policyNames[p]
	}
	return "invalid"
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
