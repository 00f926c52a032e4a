package pktgen

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"linecrypt/bench/cores"
	"linecrypt/ctrlplane/shm"
	"linecrypt/dataplane/worker"
)

// crew is several workers of a gateway that are polled in turns with the generator: while that makes packets they wait, and what has been
// delivered to the ports they then handle at the same time, each on a core of its own, the first on the generator's.
type crew struct {
	members   []*member
	delivered func() uint64 // packets that the ports have got, ever
	lost      func() uint64 // of these, those that no worker got
	clock     func() int64
	running   sync.WaitGroup
	resting   atomic.Bool // until the next round, which is not soon

	_      [128]byte
	round  atomic.Int64 // begun; -1: the end
	target uint64       // packets that the workers are to have got at its end
	_      [128]byte
}

// member is one worker of a crew.
type member struct {
	w    *worker.Worker
	n    *shm.Block
	fair switches
	wake chan struct{} // after a rest

	_     [128]byte
	got   atomic.Uint64 // packets, ever
	work  int           // in the round
	stole bool          // the thread lost its core in it
	err   error
	round atomic.Int64 // ended
	_     [128]byte
}

func (m *member) count() { m.got.Store(m.n[shm.RxInsidePackets] + m.n[shm.RxOutsidePackets]) }

// newCrew starts the workers but the first on their cores.
func newCrew(workers []*worker.Worker, blocks []*shm.Block, on []int, clock func() int64, delivered, lost func() uint64) *crew {
	c := &crew{clock: clock, delivered: delivered, lost: lost}
	runtime.GOMAXPROCS(max(runtime.GOMAXPROCS(0), len(on)+2))
	for i, w := range workers {
		m := &member{w: w, n: blocks[i], wake: make(chan struct{}, 1)}
		c.members = append(c.members, m)
		if i > 0 {
			c.running.Go(func() { c.serve(m, on[i]) })
		}
	}
	return c
}

// serve works rounds until there are no more.
func (c *crew) serve(m *member, core int) {
	undo, err := cores.Pin(core)
	if err != nil {
		m.err = err
	} else {
		defer undo()
	}
	for seen := int64(0); ; {
		round := c.round.Load()
		if round == seen { // the next one begins soon
			if c.resting.Load() {
				<-m.wake
			}
			continue
		}
		if seen = round; round < 0 {
			return
		}
		c.workRound(m)
		m.round.Store(round)
	}
}

// poll works a round: the workers handle all that has been delivered. It reports how much they found, and whether one lost its core.
func (c *crew) poll() (work int, stole bool) {
	c.rouse()
	c.target = c.delivered()
	round := c.round.Add(1)
	first := c.members[0]
	c.workRound(first)
	work, stole = first.work, first.stole
	for _, m := range c.members[1:] {
		for m.round.Load() != round {
		}
		work += m.work
		stole = stole || m.stole
	}
	return work, stole
}

// roundLimit ends a round in which packets stay where no worker finds them: the next one goes on.
const roundLimit = int64(10 * time.Millisecond)

// workRound polls one worker until all of them together have got what was delivered, and it has nothing more to do.
func (c *crew) workRound(m *member) {
	m.work = 0
	m.fair.look()
	for began := c.clock(); ; {
		now := c.clock()
		n := m.w.Poll(now)
		if m.work += n; n > 0 {
			m.count()
			continue
		}
		got := c.lost()
		for _, o := range c.members {
			got += o.got.Load()
		}
		if got >= c.target || now-began > roundLimit {
			break
		}
	}
	m.stole = m.fair.look()
}

// failed is why a worker is not on its core.
func (c *crew) failed() error {
	for _, m := range c.members {
		if m.err != nil {
			return m.err
		}
	}
	return nil
}

// rest has the threads sleep until the next round, so that their cores are free for something else.
func (c *crew) rest() { c.resting.Store(true) }

// rouse ends a rest. A member that has not gone to sleep yet finds what wakes it when it does, and looks again.
func (c *crew) rouse() {
	if !c.resting.Load() {
		return
	}
	c.resting.Store(false)
	for _, m := range c.members[1:] {
		select {
		case m.wake <- struct{}{}:
		default:
		}
	}
}

// stop ends the threads.
func (c *crew) stop() {
	c.round.Store(-1)
	c.rouse()
	c.running.Wait()
}
