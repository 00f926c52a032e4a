package pktgen

import (
	"context"
	"errors"
	"slices"
	"time"

	"linecrypt/bench/pktgen/ends"
	"linecrypt/bench/pktgen/scenario"
	"linecrypt/bench/pktgen/wire"
	"linecrypt/dataplane/port/spread"
	"linecrypt/dataplane/tsc"
)

// turnPackets is how many packets the ends offer in one turn to each worker.
const turnPackets = 512

// openPackets is how many connections are begun in one turn: each is three packets to the outside port, of three turns.
const openPackets = queueSlots / 4

// turns drives the workers and the ends in turns: one worker in the thread of the ends, several as a crew. The clock is in cycles of the time-stamp counter.
type turns struct {
	sc      *scenario.Scenario
	ends    *ends.Ends
	sub     subject
	spread  []*spread.Port // the ports, where workers share their queues
	wires   [2]wire.Clocked
	set     setting
	clock   func() int64
	hz      float64
	packets int            // that are offered in a turn
	done    []func() error // what close does beside

	now  int64   // of the wires' clock, in cycles
	next float64 // when the next packet leaves, at a rate
	pace pace
	fair switches
	runs goRuntime

	busy        uint64
	interrupted uint64
	taken       stageCycles // by interrupted polls
	churn       float64     // connections to close, with the fraction that is left
	churned     int64       // by the wires' clock
}

func (t *turns) load() *ends.Ends { return t.ends }
func (t *turns) about() setting   { return t.set }

// rest frees the cores until it is used again.
func (t *turns) rest() {
	if i, ok := t.sub.(*instance); ok && i.crew != nil {
		i.crew.rest()
	}
}

// start is called when ends and subject are there.
func (t *turns) start() {
	t.packets = turnPackets * max(t.sc.Cores.Workers, 1)
	t.hz = tsc.PerSecond(50 * time.Millisecond)
	t.fair.look()
}

// prepare is what the ends and the control plane do before a turn of the worker.
func (t *turns) prepare() {
	now := t.clock()
	t.ends.Tell(now)
	t.ends.Collect()
	t.sub.tend(now, true)
	t.ends.Watch()
	t.fair.look()
}

// poll has the worker poll once, or a crew work a round, and moves the clock by what it took.
func (t *turns) poll() int {
	before := t.sub.stages()
	t0 := tsc.Now()
	work, stole := t.sub.poll(t.clock())
	took := tsc.Now() - t0
	if t.interruptedBy(stole, work, float64(took)) {
		t.interrupted++
		after := t.sub.stages()
		for i := range after {
			t.taken[i] += after[i] - before[i]
		}
		took = uint64(t.pace.usual(work))
	} else if work > 0 {
		t.pace.learn(work, float64(took))
	}
	t.now += int64(took)
	if work > 0 {
		t.busy += took
	}
	for _, w := range t.wires {
		w.Stamp(t.now)
	}
	return work
}

// interruptedBy reports whether the machine ran something else during a poll. A crew knows of its threads; its rounds take long. That a
// virtual machine itself lost a core shows only by the time, for both alike.
func (t *turns) interruptedBy(stole bool, work int, took float64) bool {
	if t.pace.each == 0 {
		return false
	}
	long := 4 * t.pace.usual(work)
	if t.sc.Cores.Workers > 1 {
		return stole || t.pace.exception(took > max(t.hz*stolenPoll, long))
	}
	return took > max(t.hz*longPoll, long) && t.fair.preempted(took > t.hz*stolenPoll)
}

// drain has the worker poll until it finds nothing more to do.
func (t *turns) drain() {
	for {
		left := t.wires[inside].Release(t.now) + t.wires[outside].Release(t.now)
		if t.poll() == 0 && left == 0 {
			return
		}
	}
}

// run has the worker poll until everything that is to come has come.
func (t *turns) run() {
	for {
		left := t.wires[inside].Release(t.now) + t.wires[outside].Release(t.now)
		t.poll()
		if left == 0 {
			return
		}
	}
}

func (t *turns) open(ctx context.Context, tell func(int)) error {
	o := opens{total: t.sc.Traffic.Flows}
	t.ends.Quiet(true)
	defer t.ends.Quiet(false)
	for ctx.Err() == nil {
		t.prepare()
		_, left := t.ends.Open(openPackets)
		t.ends.Offer(openPackets, float64(t.now), 0)
		t.drain()
		if left == 0 {
			return nil
		}
		if err := o.look(t.ends, left, tell); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (t *turns) settle(ctx context.Context) bool {
	t.ends.Quiet(true)
	defer t.ends.Quiet(false)
	for end := time.Now().Add(settleTime(t.sc)); ctx.Err() == nil && time.Now().Before(end); {
		made := 1
		for range settleRounds {
			t.prepare()
			made = t.ends.Offer(t.packets, float64(t.now), 0)
			t.drain()
			if made == 0 {
				break
			}
		}
		t.prepare()
		t.ends.Flush()
		t.drain()
		if made == 0 && t.ends.InFlight() == 0 {
			return true
		}
		t.ends.AcknowledgeAll()
	}
	return false
}

// settleRounds is how many turns there are between two looks at all connections.
const settleRounds = 64

// settleTime is how long it may take until all is acknowledged.
func settleTime(sc *scenario.Scenario) time.Duration { return 10*time.Second + 20*sc.Traffic.Patience }

func (t *turns) trial(ctx context.Context, rate float64, d time.Duration, tell func(*sample, time.Duration)) sample {
	before := t.take()
	t.ends.Latency.Reset()
	start, busy := t.now, t.busy
	elapsed := func() float64 {
		if rate > 0 {
			return float64(t.now-start) / t.hz
		}
		return float64(t.busy-busy) / t.hz
	}
	step := 0.0
	if rate > 0 {
		step = t.hz / rate
		t.next = float64(t.now)
	}
	t.churned = t.now
	told, unsent := time.Now(), false
	finish := func() sample {
		s := t.take()
		s.since(&before)
		s.seconds, s.unsent = elapsed(), unsent
		s.latency = quantiles(&t.ends.Latency, t.hz/1e6)
		if rate == 0 {
			s.latency = latencies{}
		}
		return s
	}
	var idle stall
	for ctx.Err() == nil && elapsed() < d.Seconds() && !idle.look(t.busy) {
		t.prepare()
		t.closeSome()
		if rate > 0 {
			unsent = t.turnAt(step) || unsent
		} else {
			t.ends.Offer(t.packets, float64(t.now), 0)
			t.drain()
		}
		if tell != nil && time.Since(told) >= liveEvery {
			told = time.Now()
			mallocs, gcs := t.runs.read()
			s := finish()
			tell(&s, time.Duration((d.Seconds()-elapsed())*1e9))
			after, gcsAfter := t.runs.read() // telling is not measured
			before.allocs, before.gcs = before.allocs+after-mallocs, before.gcs+gcsAfter-gcs
		}
	}
	t.prepare()
	return finish()
}

// turnAt is a turn at a rate. It reports whether the ends could not keep it up.
func (t *turns) turnAt(step float64) (unsent bool) {
	made := t.ends.Offer(t.packets, t.next, step)
	t.next += float64(made) * step
	t.run()
	if made == t.packets {
		return false
	}
	t.next = max(t.next, float64(t.now))
	return true
}

// closeSome closes as many connections as the time that has passed wants.
func (t *turns) closeSome() {
	if t.sc.Disturb.Churn == 0 {
		return
	}
	t.churn += float64(t.now-t.churned) / t.hz * float64(t.sc.Disturb.Churn)
	t.churned = t.now
	n := int(t.churn)
	t.churn -= float64(n)
	t.ends.CloseSome(n)
}

// delivered counts the packets that the ports have got, spreadLost those of them that a spreader lost.
func (t *turns) delivered() uint64 { return t.wires[inside].Delivered() + t.wires[outside].Delivered() }

func (t *turns) spreadLost() (n uint64) {
	for _, p := range t.spread {
		n += p.Lost()
	}
	return n
}

// take reads all counters.
func (t *turns) take() sample {
	s := sample{
		busy: t.busy, ends: t.ends.Counts, missed: t.wires[inside].Missed() + t.wires[outside].Missed(), interrupted: t.interrupted,
	}
	t.sub.read(&s)
	s.ports.RxSpreadFull = t.spreadLost()
	for i, c := range timed {
		s.block[c] -= t.taken[i]
	}
	s.allocs, s.gcs = t.runs.read()
	return s
}

func (t *turns) close() error {
	if t.ends != nil {
		t.ends.Close()
	}
	return undoAll(t.done)
}

// undoAll gives back what was made, the last first.
func undoAll(done []func() error) error {
	var errs []error
	for _, f := range slices.Backward(done) {
		errs = append(errs, f())
	}
	return errors.Join(errs...)
}
