package shm

import (
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"linecrypt/flowtable"
)

// Workers returns the number of workers.
func (s *Segment) Workers() int { return int(s.shape.Workers) }

const workerThread = "worker "

// WorkerThread is the name of the thread of worker i of a data plane, and IsWorkerThread reports whether a name is that of one.
func WorkerThread(i int) string       { return workerThread + strconv.Itoa(i) }
func IsWorkerThread(name string) bool { return strings.HasPrefix(name, workerThread) }

// Core returns the core of worker i, -1 when it is not pinned.
func (s *Segment) Core(i int) int {
	if i < 0 || i >= s.Workers() {
		return -1
	}
	return int(s.hdr.cores[i])
}

// Counters returns the table that names the counters.
func (s *Segment) Counters() *Table { return s.table }

// ControlCounters returns the counters that the control plane writes, by atomic operations, for its readers are goroutines of the same
// process too.
func (s *Segment) ControlCounters() *Block {
	return (*Block)(unsafe.Pointer(unsafe.SliceData(s.mem[s.regions.control:])))
}

// Name returns the instance's name.
func (s *Segment) Name() string { return text(s.hdr.name[:]) }

// Inside returns the inside port as configured.
func (s *Segment) Inside() string { return text(s.hdr.inside[:]) }

// Outside returns the outside port as configured.
func (s *Segment) Outside() string { return text(s.hdr.outside[:]) }

// PortKind returns the kind of a port.
func (s *Segment) PortKind(side flowtable.Side) string { return text(s.hdr.kinds[side][:]) }

// Poll returns how the workers wait for packets, as configured.
func (s *Segment) Poll() string { return text(s.hdr.poll[:]) }

// SetLink says in which state a port's link is, and the largest IP packet in bytes that the port carries. Only the data plane may
// say so.
func (s *Segment) SetLink(side flowtable.Side, l Link, mtu int) {
	if s.part != partData {
		return
	}
	store(&s.hdr.ports.links[side], uint32(l))
	store(&s.hdr.ports.mtus[side], uint32(mtu))
}

// store leaves the cache line to its readers where nothing changed.
func store(at *atomic.Uint32, v uint32) {
	if at.Load() != v {
		at.Store(v)
	}
}

// MTU returns the largest IP packet in bytes that a port carried when the data plane last looked, 0 when it has not.
func (s *Segment) MTU(side flowtable.Side) int { return int(s.hdr.ports.mtus[side].Load()) }

// Link returns the state of a port's link when the data plane last looked, LinkUnknown when that is no state.
func (s *Segment) Link(side flowtable.Side) Link {
	l := Link(s.hdr.ports.links[side].Load())
	if l > LinkGone {
		return LinkUnknown
	}
	return l
}

// Engine returns the name of the AEAD engine.
func (s *Segment) Engine() string { return text(s.hdr.engine[:]) }

// Nonce returns the random number of this segment: another one is another set of flows.
func (s *Segment) Nonce() [16]byte { return s.hdr.nonce }

// Created returns when the segment was made.
func (s *Segment) Created() time.Time { return time.Unix(0, s.hdr.created) }

// Size returns the size of the segment in bytes.
func (s *Segment) Size() int { return len(s.mem) }

// PageBytes returns the size of the pages of the segment's memory: more than 4096 where it lies on hugetlbfs.
func (s *Segment) PageBytes() int { return s.page }

// HugePages reports whether the segment lies on hugetlbfs.
func (s *Segment) HugePages() bool { return s.page > pageSize }

// Dir returns the folder that the segment lies in.
func (s *Segment) Dir() string { return filepath.Dir(s.path) }

// Locked reports whether the segment is locked into memory in this process.
func (s *Segment) Locked() bool { return s.locked }

// DataPlane returns what the data plane says about itself.
func (s *Segment) DataPlane() Process { return s.hdr.data.read() }

// ControlPlane returns what the control plane says about itself.
func (s *Segment) ControlPlane() Process { return s.hdr.control.read() }

// DataPlaneRuns reports whether a process has the data plane's part, alive or stuck. The data plane itself must not ask.
func (s *Segment) DataPlaneRuns() bool { return locked(s.fd, lockData) }

// ControlPlaneRuns reports whether a process has the control plane's part. The control plane itself must not ask.
func (s *Segment) ControlPlaneRuns() bool { return locked(s.fd, lockControl) }

// answersWithin is how old the heartbeat of a process may be that gives signs of life, in ns: several times the interval of heartbeats.
const answersWithin = 2_000_000_000

// DataPlaneAnswers reports whether the data plane runs and gives signs of life, or has only just begun. One that was stopped, or hangs,
// moves no packet.
func (s *Segment) DataPlaneAnswers() bool { return s.DataPlaneRuns() && s.DataPlane().Answers() }

// ControlPlaneAnswers reports the same of the control plane.
func (s *Segment) ControlPlaneAnswers() bool {
	return s.ControlPlaneRuns() && s.ControlPlane().Answers()
}

// Answers reports the same of a process that is known to run.
func (p Process) Answers() bool {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return p.Beat == 0 || p.Alive(ts.Nano(), answersWithin)
}

// Beat says that the process whose part this is lives. Now is CLOCK_MONOTONIC in ns. To be called every 50 to 100 ms.
func (s *Segment) Beat(now int64) {
	switch s.part {
	case partData:
		s.hdr.data.beat.Store(now)
	case partControl:
		s.hdr.control.beat.Store(now)
	}
}

// SetReady says whether packets flow. Only the data plane may say so.
func (s *Segment) SetReady(ready bool) {
	if s.part != partData {
		return
	}
	var word uint64
	if ready {
		word = 1
	}
	s.hdr.data.word.Store(word)
}

// Ready reports whether packets flow.
func (s *Segment) Ready() bool { return s.hdr.data.word.Load() == 1 }

// Policy returns the policy of the rules in force, PolicyUnset when that is no policy.
func (s *Segment) Policy() flowtable.Policy {
	word := s.hdr.control.word.Load()
	if word >= uint64(flowtable.NumPolicies) {
		return flowtable.PolicyUnset
	}
	return flowtable.Policy(word)
}
