// Package gateway puts a data plane together: the shared segment, one worker for each pair of port queues, and the
// heartbeat. It is the whole data plane but for what a process needs around it (flags, locks, opening ports), so that tests
// run it within their own process.
//
// A Gateway owns its segment and its workers. Ports and buffer pools belong to the caller and outlive it.
package gateway

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"linecrypt/cryptobatch"
	"linecrypt/ctrlplane/config"
	"linecrypt/ctrlplane/shm"
	"linecrypt/dataplane/handover"
	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/port"
	"linecrypt/dataplane/worker"
	"linecrypt/flowtable"
)

// Options are what a Gateway is made of.
type Options struct {
	Config     *config.Config
	SegmentDir string   // folder of the shared segment, where it gets no huge pages
	HugeDirs   []string // folders on hugetlbfs that are tried before
	StaleDirs  []string // further folders in which an earlier data plane may have left its segment
	Inside     port.Port
	Outside    port.Port
	Caches     []*mbuf.Cache // one a worker, those the ports were opened with
	Cores      []int         // core of each worker, -1 for one that is not pinned
	SharedCore bool          // other workers may poll on one of the cores
	Engine     cryptobatch.Engine
	Log        *slog.Logger
	// Hint returns the command that turns offloads off at the senders of what a port receives, or "".
	Hint func(flowtable.Side) string
}

// Gateway is a data plane.
type Gateway struct {
	opt     Options
	seg     *shm.Segment
	workers []*worker.Worker
	clock   func() int64
	control atomic.Bool // a control plane has its part in the segment
	mtus    worker.PortMTUs
	loader  *loader
}

// farewellPause lies between two resets of the same connections when the data plane stops.
const farewellPause = 50 * time.Millisecond

// beat is the interval of the heartbeat and of looking after the workers.
const beat = 50 * time.Millisecond

// How old the control plane's heartbeat may be, in ns: of itself, and while its process is known to be there.
const (
	controlFresh = int64(3 * beat)
	controlAlive = int64(2 * time.Second)
)

// New makes the segment and the workers. The caller closes the Gateway.
func New(o Options) (*Gateway, error) {
	if len(o.Cores) == 0 || len(o.Caches) != len(o.Cores) || o.Inside.Queues() < len(o.Cores) || o.Outside.Queues() < len(o.Cores) {
		return nil, fmt.Errorf("data plane: %d workers with %d buffer caches, %d and %d port queues",
			len(o.Cores), len(o.Caches), o.Inside.Queues(), o.Outside.Queues())
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	lost := orphans(slices.Concat(o.HugeDirs, []string{o.SegmentDir}, o.StaleDirs), o.Config.Name)
	seg, short, err := shm.CreateIn(shm.Place{Huge: o.HugeDirs, Dir: o.SegmentDir, Stale: o.StaleDirs}, shm.Params{
		Name: o.Config.Name, Inside: o.Inside.Name(), Outside: o.Outside.Name(),
		Kinds: [2]string{flowtable.Inside: o.Inside.Kind(), flowtable.Outside: o.Outside.Kind()}, Poll: string(o.Config.Workers.Poll),
		Engine: o.Engine.Name(), Cores: o.Cores,
		Flows: Layout(o.Config), Resumption: o.Config.Resumption.Cache,
	})
	if err != nil {
		return nil, fmt.Errorf("data plane: %w", err)
	}
	if short != nil {
		o.Log.Info("the segment lies in ordinary pages", "reason", short)
	}
	g := &Gateway{opt: o, seg: seg, clock: Monotonic()}
	if err := g.makeWorkers(); err != nil {
		_ = seg.Unlink()
		return nil, errors.Join(fmt.Errorf("data plane: %w", err), seg.Close())
	}
	g.bury(lost)
	return g, nil
}

func (g *Gateway) makeWorkers() error {
	var random [16]byte
	if _, err := rand.Read(random[:]); err != nil {
		return fmt.Errorf("seed of the flow tables: %w", err)
	}
	seed := [2]uint64{binary.LittleEndian.Uint64(random[:]), binary.LittleEndian.Uint64(random[8:])}
	secrets, err := g.seg.Resumption()
	if err != nil {
		return err
	}
	first, err := g.firstRules()
	if err != nil {
		return err
	}
	g.loader = &loader{g: g, reader: g.seg.RulesReader()}
	pairs, circle := worker.NewPairs(), handover.NewCircle(len(g.opt.Cores))
	g.noteMTUs()
	for i := range g.opt.Cores {
		part := g.seg.Worker(i)
		table, err := flowtable.New(part.FlowMemory, part.Layout, seed, g.clock())
		if err != nil {
			return err
		}
		control := newControl(g.seg, &g.control, first)
		g.loader.controls = append(g.loader.controls, control)
		c := worker.Config{
			ID: uint16(i), Inside: g.opt.Inside.Queue(i), Outside: g.opt.Outside.Queue(i),
			TxCksum:     [2]bool{g.opt.Inside.Caps().TxTCPCksum, g.opt.Outside.Caps().TxTCPCksum},
			TxUDPCksum:  [2]bool{g.opt.Inside.Caps().TxUDPCksum, g.opt.Outside.Caps().TxUDPCksum},
			LargeBursts: [2]bool{g.opt.Inside.Caps().LargeBursts, g.opt.Outside.Caps().LargeBursts},
			Cache:       g.opt.Caches[i], Table: table, Engine: g.opt.Engine, Counters: part.Counters, Pairs: pairs, Circle: circle, MTU: &g.mtus, Secrets: secrets, Trace: part.Trace, Outcomes: part.Outcomes,
			Requests: shm.NewProducer(part.Requests), Replies: shm.NewConsumer(part.Replies),
			Control: control, Verdicts: g.seg.Verdicts(i),
			Stream: streamConfig(g.opt.Config, g.opt.Caches[i]), Params: params(g.opt.Config),
		}
		c.Params.SharedCore = g.opt.SharedCore
		w, err := worker.New(c)
		if err != nil {
			return err
		}
		g.workers = append(g.workers, w)
	}
	return nil
}

// Segment returns the shared segment, for a control plane in the same process and for tests.
func (g *Gateway) Segment() *shm.Segment { return g.seg }

// Run polls until ctx is done, then resets the encrypted connections, which nobody would translate any more. Ready is
// called once packets flow.
func (g *Gateway) Run(ctx context.Context, ready func()) error {
	var running sync.WaitGroup
	failed := make(chan error, len(g.workers))
	for i, w := range g.workers {
		running.Go(func() {
			// It is not unlocked: a thread that is kept on a core ends with its worker, instead of serving others there.
			runtime.LockOSThread()
			nameThread(shm.WorkerThread(i))
			if err := pin(g.opt.Cores[i]); err != nil {
				failed <- fmt.Errorf("worker %d: %w", i, err)
				return
			}
			w.Run(g.clock)
			w.Shutdown(g.clock(), func() { time.Sleep(farewellPause) })
		})
	}
	g.seg.Beat(g.clock())
	watch := newPortWatch(g)
	watch.look()
	g.seg.SetReady(true)
	g.loader.look() // rules of a control plane that did not wait for them to be taken, because this one was not ready
	if ready != nil {
		ready()
	}
	watching, stopWatching := context.WithCancel(ctx)
	defer stopWatching()
	var watched sync.WaitGroup
	watched.Go(func() { watch.run(watching) })
	watched.Go(func() { g.loader.run(watching) })
	err := g.look(ctx, failed)
	g.seg.SetReady(false)
	stopWatching()
	watched.Wait()
	for _, w := range g.workers {
		w.Stop()
	}
	running.Wait()
	g.seg.ForgetSecrets()
	watch.count()
	return err
}

// look keeps the heartbeat until ctx is done.
func (g *Gateway) look(ctx context.Context, failed <-chan error) error {
	tick := time.NewTicker(beat)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-failed:
			return err
		case <-tick.C:
		}
		g.Beat()
	}
}

// noteMTUs tells the workers what the ports carry.
func (g *Gateway) noteMTUs() {
	g.mtus.Set(flowtable.Inside, g.opt.Inside.MTU())
	g.mtus.Set(flowtable.Outside, g.opt.Outside.MTU())
}

// Close erases the expanded keys, and unmaps and removes the segment. Run has returned.
func (g *Gateway) Close() error {
	for _, w := range g.workers {
		w.Close()
	}
	return errors.Join(g.seg.Unlink(), g.seg.Close())
}

// nameThread names the calling thread, by which it is found in /proc. The first thread's name is that of the process, and stays.
func nameThread(name string) {
	if unix.Gettid() == os.Getpid() {
		return
	}
	if p, err := unix.BytePtrFromString(name); err == nil {
		_ = unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(p)), 0, 0, 0)
	}
}

// pin keeps the calling thread on a core; -1 leaves it free. The shortest sleeps shall be short.
func pin(core int) error {
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1000, 0, 0, 0)
	if core < 0 {
		return nil
	}
	var set unix.CPUSet
	set.Set(core)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("pin to core %d: %w", core, err)
	}
	return nil
}

// Monotonic returns a function that reads CLOCK_MONOTONIC in ns, the clock of all heartbeats, without a system call.
func Monotonic() func() int64 {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	start, base := time.Now(), ts.Nano()
	return func() int64 { return base + int64(time.Since(start)) }
}
