package packetpath

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"linecrypt/bench/cores"
	"linecrypt/ctrlplane/shm"
	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/port"
	"linecrypt/dataplane/port/spread"
	"linecrypt/dataplane/tsc"
	"linecrypt/dataplane/worker"
	"linecrypt/flowtable"
)

// crew is the workers of a world with several, each on a core of its own, which take turns at the world's two queues. The first runs on
// the thread of the caller.
type crew struct {
	w       *World
	ports   [flowtable.NumSides]*spread.Port
	members []*member
	running sync.WaitGroup

	_    [128]byte
	gen  atomic.Int64 // batches begun; -1: the end
	want uint64       // packets of the batch
	_    [128]byte
}

// member is one worker.
type member struct {
	worker *worker.Worker
	n      *shm.Block
	ctl    *control
	before uint64        // packets handled before the batch
	used   time.Duration // of its core in the batch
	failed error

	_    [128]byte
	done atomic.Uint64 // packets handled in the batch
	gen  atomic.Int64  // batches ended
	_    [128]byte
}

// received is the number of packets that the worker got, ever.
func (m *member) received() uint64 { return m.n[shm.RxInsidePackets] + m.n[shm.RxOutsidePackets] }

// device is a world's queue as a port.
type device struct{ q *queue }

func (d device) Name() string         { return "queue" }
func (d device) Kind() string         { return "memory" }
func (d device) Queue(int) port.Queue { return d.q }
func (d device) Queues() int          { return 1 }
func (d device) Caps() port.Caps      { return port.Caps{TxTCPCksum: true} }
func (d device) MTU() int             { return mtu }
func (d device) Follow() port.State   { return port.State{Link: port.LinkUp, MTU: mtu, Attached: 1} }
func (d device) Close() error         { return nil }

// window is how many bursts one port may be ahead of the other, whose acknowledgements are for what the first brings.
const window = 8

// newCrew puts a spreader over each queue of the world.
func newCrew(w *World, caches []*mbuf.Cache) (*crew, error) {
	c := &crew{w: w}
	hash, err := spread.NewHash()
	if err != nil {
		return nil, err
	}
	for s, q := range w.queues {
		q.peer = w.queues[flowtable.Side(s).Other()]
		// A worker may be off its core for a whole batch: nothing is lost then, as it would be at the gateway.
		c.ports[s], err = spread.New(device{q}, q.cache, caches, hash, spread.Options{Rx: maxBatch, Tx: maxBatch})
		if err != nil {
			return nil, err
		}
	}
	return c, nil
}

// start starts the workers but the first on their cores.
func (c *crew) start(on []int) {
	runtime.GOMAXPROCS(max(runtime.GOMAXPROCS(0), len(on)+2))
	for i, m := range c.members[1:] {
		c.running.Go(func() {
			undo, err := cores.Pin(on[i+1])
			if err != nil {
				m.failed = err
			} else {
				defer undo()
			}
			for seen := int64(0); ; {
				gen := c.gen.Load()
				if gen == seen {
					continue // the next batch begins soon: nothing but the clock is to be waited for
				}
				if seen = gen; gen < 0 {
					return
				}
				c.work(m)
				m.gen.Store(gen)
			}
		})
	}
}

// run has all workers handle what is in the queues, want packets, and returns the ticks that took, and the time that the worker that had
// its core least had it.
func (c *crew) run(want uint64) (ticks uint64, used time.Duration, err error) {
	for _, m := range c.members {
		m.before = m.received()
		m.done.Store(0)
	}
	c.want = want
	from := tsc.Now()
	gen := c.gen.Add(1)
	first := c.members[0]
	c.work(first)
	used = first.used
	for _, m := range c.members[1:] {
		for m.gen.Load() != gen {
		}
		if used = min(used, m.used); m.failed != nil {
			return 0, 0, m.failed
		}
	}
	return tsc.Now() - from, used, nil
}

// limit ends a batch that does not end.
const limit = 10 * time.Second

// work polls until all workers together have handled the batch.
func (c *crew) work(m *member) {
	from, began := threadTime(), c.w.clock()
	for {
		if n := m.worker.Poll(c.w.now()); n > 0 {
			m.done.Store(m.received() - m.before)
			continue
		}
		sum := uint64(0)
		for _, o := range c.members {
			sum += o.done.Load()
		}
		if sum >= c.want {
			break
		}
		if c.w.clock()-began > int64(limit) {
			m.failed = fmt.Errorf("%w: %d of %d packets came within %v", ErrWrong, sum, c.want, limit)
			break
		}
	}
	m.used = threadTime() - from
}

// poll polls the workers on the caller's thread, twice each, because one may have found only what is another's: for what is not
// measured.
func (c *crew) poll(now int64) (n int) {
	for range 2 {
		for _, m := range c.members {
			n += m.worker.Poll(now)
		}
	}
	return n
}

// sum adds the workers' counters up.
func (c *crew) sum(to *shm.Block) {
	*to = shm.Block{}
	for _, m := range c.members {
		for i, n := range m.n {
			to[i] += n
		}
	}
}

// stop ends the workers' threads and gives back what the workers hold.
func (c *crew) stop() {
	c.gen.Store(-1)
	c.running.Wait()
	for _, m := range c.members {
		m.worker.Close()
	}
}
