package packetpath

import (
	"errors"
	"fmt"
	"os"

	"linecrypt/cryptobatch"
	"linecrypt/ctrlplane/config"
	"linecrypt/ctrlplane/shm"
	"linecrypt/dataplane/gateway"
	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/worker"
	"linecrypt/flowtable"
)

// Options are what a World is made of.
type Options struct {
	Flows  int    // connections, 1 to MaxFlows
	Plain  bool   // they are not encrypted: for Pass alone
	Engine string // of the AEADs; "": the fastest
	Full   bool   // every segment goes through the full translator, none takes the fast path
}

// MaxFlows is the largest number of flows of a World.
const MaxFlows = 1 << 22

// mtu is what both ports carry.
const mtu = 1500

// World is a worker with flows. All it holds is its own; Close gives most of it back.
type World struct {
	opt    Options
	seg    *shm.Segment
	pool   *pool
	cache  *mbuf.Cache // the worker's
	queues [flowtable.NumSides]*queue
	worker *worker.Worker
	n      *shm.Block // the worker's counters
	mtus   worker.PortMTUs
	ctl    *control

	crypt  *crypter
	ways   [flowtable.NumSides]way // by the side that data comes from
	stash  []*mbuf.Mbuf            // free buffers of the harness
	looked []uint64                // a bit for each packet that was looked at

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
	return w, nil
}

// make makes everything but the flows.
func (w *World) make() error {
	cfg := config.Default()
	cfg.Name = fmt.Sprintf("packetpath-%d", os.Getpid())
	cfg.Flows.Max = max(w.opt.Flows, 64)
	name := w.opt.Engine
	if name == "" {
		name = cryptobatch.Auto
	}
	engine, err := cryptobatch.New(name)
	if err != nil {
		return err
	}
	if w.pool, err = newPool(gateway.Buffers(cfg)); err != nil {
		return err
	}
	w.cache = mbuf.NewCache(w.pool)
	layout, sizes, params := gateway.Sizes(cfg, w.cache)
	params.FastPath = !w.opt.Full
	dir := segmentDir()
	if err := enoughMemory(dir, layout, sizes.Keys); err != nil {
		return err
	}
	w.seg, err = shm.Create(dir, shm.Params{Name: cfg.Name, Engine: engine.Name(), Cores: []int{-1}, Flows: layout})
	if err != nil {
		return err
	}
	// Nobody else looks at it, so that nothing is left behind however the process ends.
	if err := w.seg.Unlink(); err != nil {
		return err
	}
	part := w.seg.Worker(0)
	w.n = part.Counters
	table, err := flowtable.New(part.FlowMemory, part.Layout, [2]uint64{1, 2}, w.now())
	if err != nil {
		return err
	}
	w.ctl = &control{encrypt: !w.opt.Plain, asked: shm.NewConsumer(part.Requests), answer: shm.NewProducer(part.Replies)}
	for s := range w.queues {
		w.queues[s] = &queue{cache: w.cache}
		w.mtus.Set(flowtable.Side(s), mtu)
	}
	w.worker, err = worker.New(worker.Config{
		Inside: w.queues[flowtable.Inside], Outside: w.queues[flowtable.Outside], TxCksum: [2]bool{true, true}, Cache: w.cache, Table: table,
		Requests: shm.NewProducer(part.Requests), Replies: shm.NewConsumer(part.Replies), Engine: engine, Control: w.ctl, Counters: part.Counters,
		Pairs: new(worker.Pairs), MTU: &w.mtus, Stream: sizes, Params: params,
	})
	if err != nil {
		return err
	}
	w.crypt = newCrypter(engine, w.opt.Flows)
	return nil
}

// now is the worker's clock.
func (w *World) now() int64 { return w.clock() - w.behind }

// stop stops the worker's clock, start lets it go on.
func (w *World) stop()  { w.stopped = w.clock() }
func (w *World) start() { w.behind += w.clock() - w.stopped }

// Close gives all memory back.
func (w *World) Close() error {
	var errs []error
	if w.worker != nil {
		w.worker.Close()
	}
	if w.seg != nil {
		errs = append(errs, w.seg.Close())
	}
	if w.pool != nil {
		errs = append(errs, w.pool.close())
	}
	w.seg, w.pool, w.worker = nil, nil, nil
	return errors.Join(errs...)
}
