package packetpath

import (
	"errors"
	"fmt"
	"slices"

	"linecrypt/cryptobatch"
	"linecrypt/ctrlplane/config"
	"linecrypt/ctrlplane/instance"
	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/trace"
	"linecrypt/dataplane/gateway"
	"linecrypt/dataplane/handover"
	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/port"
	"linecrypt/dataplane/worker"
	"linecrypt/flowtable"
)

// Options are what a World is made of.
type Options struct {
	Flows  int    // connections, 1 to MaxFlows
	Plain  bool   // they are not encrypted: for Pass alone
	Engine string // of the AEADs; "": the fastest
	NoHuge bool   // tables lie in ordinary pages even where reserved huge pages are free, which are used as the data plane does otherwise
	Full   bool   // every segment goes through the full translator, none takes the fast path
	// Instance is whose data plane the worker is, so that programs can look at it; this process holds none of its locks yet. Nil: nobody can.
	Instance *instance.Instance
	// Cores are those of several workers, which take turns at the two queues (package spread); the first is that of the caller's
	// thread. Empty: one worker, to which the queues belong.
	Cores []int
}

// MaxFlows is the largest number of flows of a World.
const MaxFlows = 1 << 22

// mtu is what both ports carry.
const mtu = 1500

// World is a worker with flows. All it holds is its own; Close gives most of it back.
type World struct {
	opt    Options
	seg    *shm.Segment
	shown  *shown // nil where nobody can look
	pool   *pool
	cache  *mbuf.Cache // the worker's
	queues [flowtable.NumSides]*queue
	worker *worker.Worker // the first
	n      *shm.Block     // the worker's counters, or the sum of them
	crew   *crew          // nil for one worker to which the queues belong
	total  shm.Block      // of a crew
	mtus   worker.PortMTUs
	ctls   []*control

	crypt    *crypter
	ways     [flowtable.NumSides]way // by the side that data comes from
	stash    []*mbuf.Mbuf            // free buffers of the harness
	together int                     // flows that are set up at a time: few enough for the share of key exchanges that their network has
	looked   []uint64                // a bit for each packet that was looked at

	clock   func() int64 // ns
	behind  int64        // ns that the worker's clock is behind that one: it stands while nothing is measured
	stopped int64        // when it was stopped
	written int64        // packets, from which timestamps come
}

// New makes a worker and takes all flows through connection set-up. Where the machine has too little memory the error wraps
// ErrMemory.
func New(o Options) (*World, error) {
	if o.Flows < 1 || o.Flows > MaxFlows {
		return nil, fmt.Errorf("%d flows: want 1 to %d", o.Flows, MaxFlows)
	}
	w := &World{opt: o, clock: gateway.Monotonic()}
	if err := w.make(); err != nil {
		return nil, errors.Join(fmt.Errorf("world of %d flows: %w", o.Flows, err), w.Close())
	}
	if err := w.establish(); err != nil {
		return nil, errors.Join(fmt.Errorf("set up %d flows: %w", o.Flows, err), w.Close())
	}
	if w.shown != nil {
		w.seg.SetReady(true)
	}
	return w, nil
}

// make makes everything but the flows.
func (w *World) make() error {
	cfg := settings(w.opt.Flows)
	cfg.Memory.HugePages = !w.opt.NoHuge
	name := w.opt.Engine
	if name == "" {
		name = cryptobatch.Auto
	}
	engine, err := cryptobatch.New(name)
	if err != nil {
		return err
	}
	workers := max(len(w.opt.Cores), 1)
	if w.pool, err = newPool(workers*gateway.Buffers(cfg, mbuf.DefaultDataRoom), cfg.Memory.HugePages); err != nil {
		return err
	}
	var caches []*mbuf.Cache
	for range workers {
		caches = append(caches, mbuf.NewShare(w.pool, workers))
	}
	w.cache = caches[0]
	layout, sizes, limits := gateway.Sizes(cfg, w.cache)
	limits.FastPath = !w.opt.Full
	w.together = min(together, limits.Blocks/2)
	reserved := uint64(0)
	if cfg.Memory.HugePages {
		reserved = freeReserved()
	}
	if err := enoughMemory(segmentDir(), layout, sizes.Keys, workers, reserved); err != nil {
		return err
	}
	if err := w.makeSegment(cfg, shm.Params{Name: cfg.Name, Engine: engine.Name(), Cores: slices.Repeat([]int{-1}, workers), Flows: layout}); err != nil {
		return err
	}
	for s := range w.queues {
		w.queues[s] = &queue{cache: w.cache}
		w.mtus.Set(flowtable.Side(s), mtu)
	}
	common := worker.Config{
		TxCksum: [2]bool{true, true}, Engine: engine, Pairs: worker.NewPairs(), Circle: handover.NewCircle(workers), MTU: &w.mtus, Stream: sizes, Params: limits,
	}
	if len(w.opt.Cores) == 0 {
		m, err := w.hire(0, common, w.cache, [2]port.Queue{w.queues[0], w.queues[1]})
		if err != nil {
			return err
		}
		w.worker, w.n, w.ctls = m.worker, m.n, []*control{m.ctl}
	} else if err := w.makeCrew(common, caches); err != nil {
		return err
	}
	w.crypt = newCrypter(engine, w.opt.Flows)
	return nil
}

// makeSegment makes the shared memory.
func (w *World) makeSegment(cfg *config.Config, p shm.Params) (err error) {
	if w.opt.Instance != nil {
		if w.shown, err = show(w.opt.Instance, cfg, p, w.clock); err == nil {
			w.seg = w.shown.seg
		}
		return err
	}
	place := shm.Place{Dir: segmentDir()}
	if cfg.Memory.HugePages {
		place.Huge = instance.HugeMounts()
	}
	if w.seg, _, err = shm.CreateIn(place, p); err != nil {
		return err
	}
	// Nobody else looks at it, so that nothing is left behind however the process ends.
	return w.seg.Unlink()
}

// makeCrew makes several workers.
func (w *World) makeCrew(common worker.Config, caches []*mbuf.Cache) (err error) {
	for _, q := range w.queues {
		q.cache = mbuf.NewShare(w.pool, len(caches))
	}
	if w.crew, err = newCrew(w, caches); err != nil {
		return err
	}
	for i, cache := range caches {
		m, err := w.hire(i, common, cache, [2]port.Queue{w.crew.ports[0].Queue(i), w.crew.ports[1].Queue(i)})
		if err != nil {
			return err
		}
		w.crew.members, w.ctls = append(w.crew.members, m), append(w.ctls, m.ctl)
	}
	w.n = &w.total
	w.crew.start(w.opt.Cores)
	return nil
}

// hire makes worker i.
func (w *World) hire(i int, cfg worker.Config, cache *mbuf.Cache, queues [2]port.Queue) (*member, error) {
	part := w.seg.Worker(i)
	table, err := flowtable.New(part.FlowMemory, part.Layout, [2]uint64{1, 2}, w.now())
	if err != nil {
		return nil, err
	}
	m := &member{n: part.Counters, ctl: &control{encrypt: !w.opt.Plain, asked: shm.NewConsumer(part.Requests), answer: shm.NewProducer(part.Replies)}}
	cfg.ID, cfg.Inside, cfg.Outside, cfg.Cache, cfg.Table = uint16(i), queues[0], queues[1], cache, table
	cfg.Requests, cfg.Replies, cfg.Control, cfg.Counters = shm.NewProducer(part.Requests), shm.NewConsumer(part.Replies), m.ctl, part.Counters
	if w.opt.Instance != nil {
		cfg.Trace, cfg.Outcomes = part.Trace, part.Outcomes
	}
	if m.worker, err = worker.New(cfg); err != nil {
		return nil, err
	}
	return m, nil
}

// Traceable says whether somebody could trace packets of the one worker, which nobody does.
func (w *World) Traceable(could bool) {
	var r trace.Region
	if could {
		r = w.seg.Worker(0).Trace
	}
	w.worker.TraceIn(r)
}

// poll polls each worker once.
func (w *World) poll() int {
	if w.crew == nil {
		return w.worker.Poll(w.now())
	}
	n := w.crew.poll(w.now())
	w.crew.sum(&w.total)
	return n
}

// HugePages reports whether the segment, and all else that is as large, lies in reserved huge pages.
func (w *World) HugePages() bool { return w.seg.HugePages() }

// now is the worker's clock.
func (w *World) now() int64 { return w.clock() - w.behind }

// stop stops the worker's clock, start lets it go on.
func (w *World) stop()  { w.stopped = w.clock() }
func (w *World) start() { w.behind += w.clock() - w.stopped }

// Close gives all memory back.
func (w *World) Close() error {
	var errs []error
	if w.crew != nil {
		w.crew.stop()
		w.crew = nil
	}
	if w.worker != nil {
		w.worker.Close()
	}
	if w.shown != nil {
		errs = append(errs, w.shown.close())
	}
	if w.seg != nil {
		errs = append(errs, w.seg.Close())
	}
	if w.pool != nil {
		errs = append(errs, w.pool.close())
	}
	w.shown, w.seg, w.pool, w.worker = nil, nil, nil, nil
	return errors.Join(errs...)
}
