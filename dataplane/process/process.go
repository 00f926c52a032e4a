// Package process is the data plane as a process: configuration, locks, cores, ports and buffers around a gateway. It logs to
// standard error and never from a worker.
package process

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"time"

	"linecrypt/cryptobatch"
	"linecrypt/ctrlplane/config"
	"linecrypt/ctrlplane/harden"
	"linecrypt/ctrlplane/instance"
	"linecrypt/ctrlplane/shm"
	"linecrypt/dataplane/garbage"
	"linecrypt/dataplane/gateway"
	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/port"
	"linecrypt/dataplane/port/portspec"
	"linecrypt/dataplane/port/spread"
	"linecrypt/flowtable"
)

// Main runs a data plane with the arguments of a command line until ctx is done, and returns the exit status: 0 after a
// clean stop, 1 for a failure, 2 for arguments that are wrong.
func Main(ctx context.Context, args []string, stderr io.Writer) int {
	fs := flag.NewFlagSet("linecrypt-dataplane", flag.ContinueOnError)
	fs.SetOutput(stderr)
	flags := config.AddFlags(fs)
	readyFD := fs.Int("ready-fd", -1, "write a line to this file `descriptor` when packets flow")
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	if fs.NArg() > 0 {
		fmt.Fprintf(stderr, "linecrypt-dataplane: unexpected argument %q\n", fs.Arg(0))
		return 2
	}
	cfg, err := flags.Load()
	if err == nil {
		err = cfg.RequirePorts()
	}
	if err == nil {
		err = run(ctx, cfg, readyFD, stderr)
	}
	if err != nil {
		fmt.Fprintf(stderr, "linecrypt-dataplane: %v\n", err)
		_ = report(readyFD, "failed: "+strings.ReplaceAll(err.Error(), "\n", "; "))
		return 1
	}
	return 0
}

func run(ctx context.Context, cfg *config.Config, readyFD *int, stderr io.Writer) error {
	log := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: cfg.Log.Level})).With("process", "dataplane")
	if err := harden.Process(); errors.Is(err, harden.ErrNotLocked) {
		log.Warn("secrets may reach a swap device", "reason", err)
	} else if err != nil {
		return err
	}
	in, err := instance.Open(cfg.Name)
	if err != nil {
		return err
	}
	lock, err := in.Lock(instance.DataPlane)
	if err != nil {
		return err
	}
	defer func() {
		lock.Release()
		if err := in.Tidy(); err != nil {
			log.Warn("remove what the instance left", "error", err)
		}
	}()
	cores, err := in.ClaimCores(cfg.Workers.Cores, cfg.Workers.Count)
	if err != nil {
		return cfg.Err("workers.cores", err)
	}
	defer cores.Release()
	if cores.Shared && cfg.Workers.Poll == config.Busy {
		log.Info("a core is shared by busy polling workers; workers.poll=adaptive suits such a machine better", "cores", cores.Numbers)
	}
	// The workers' threads never leave their cores to the scheduler of goroutines; the heartbeat and the garbage collector
	// need some of their own.
	runtime.GOMAXPROCS(max(runtime.GOMAXPROCS(0), len(cores.Numbers)+2))
	engine, err := makeEngine(cfg, os.Getenv(cryptobatch.EnvEngine))
	if err != nil {
		return err
	}
	p, err := openPorts(cfg, in, len(cores.Numbers), log)
	if err != nil {
		return err
	}
	defer p.close()
	place := in.SegmentPlaces(cfg.Memory.HugePages)
	g, err := gateway.New(gateway.Options{
		Config: cfg, SegmentDir: place.Plain, HugeDirs: place.Huge, StaleDirs: place.Stale, Inside: p.inside, Outside: p.outside, Caches: p.caches,
		Cores: cores.Numbers, SharedCore: cores.Shared, Engine: engine, Log: log, Hint: p.hint,
	})
	if err != nil {
		return err
	}
	if err := tellSegment(in, g.Segment(), place.Why, log); err != nil {
		return errors.Join(err, g.Close())
	}
	defer garbage.Hold()()
	err = g.Run(ctx, func() {
		log.Info("packets flow", "inside", p.inside.Name(), "outside", p.outside.Name(), "cores", cores.Numbers, "engine", engine.Name())
		if err := report(readyFD, "ready"); err != nil {
			log.Warn("could not report readiness", "error", err)
		}
	})
	return errors.Join(err, g.Close())
}

// makeEngine makes the engine that env, the value of cryptobatch.EnvEngine, names, or else the configuration. What is wrong with it is
// said of the one that named it.
func makeEngine(cfg *config.Config, env string) (cryptobatch.Engine, error) {
	engine, err := cryptobatch.New(cryptobatch.Select(cfg.Engine, env))
	switch {
	case err == nil:
		return engine, nil
	case env != "":
		return nil, fmt.Errorf("environment variable %s: %w", cryptobatch.EnvEngine, err)
	}
	return nil, cfg.Err("engine", err)
}

// tellSegment leaves word of where the segment lies, for those who look for it and in the log. Why says why it could not be in huge pages.
func tellSegment(in *instance.Instance, s *shm.Segment, why string, log *slog.Logger) error {
	log.Info("the segment is made", "folder", s.Dir(), "mib", (s.Size()+1<<20-1)>>20, "page_kib", s.PageBytes()>>10, "huge_pages", s.HugePages(), "without", why)
	return in.SetSegmentDir(s.Dir())
}

// report tells whoever started the process, through a descriptor it gave, that packets flow, or why they do not. It does so once: the
// descriptor is closed then, and becomes -1, which is none.
func report(fd *int, line string) error {
	if *fd < 0 {
		return nil
	}
	f := os.NewFile(uintptr(*fd), "ready")
	*fd = -1
	if f == nil {
		return nil
	}
	_, err := f.WriteString(line + "\n")
	return errors.Join(err, f.Close())
}

// ports are the two open ports with the buffers they share.
type ports struct {
	inside, outside port.Port
	caches          []*mbuf.Cache
	specs           [2]portspec.Spec
	claims          *claims
}

// openTimeout is how long a link may take to come up.
const openTimeout = 10 * time.Second

// sideKeys are the keys of the two ports in the configuration.
var sideKeys = [2]string{"inside", "outside"}

func openPorts(cfg *config.Config, in *instance.Instance, workers int, log *slog.Logger) (*ports, error) {
	p := &ports{}
	for i, key := range sideKeys {
		spec, err := portspec.Parse([]string{cfg.Inside, cfg.Outside}[i])
		if err == nil {
			err = spec.Check()
		}
		if err != nil {
			return nil, cfg.Err(key, err)
		}
		p.specs[i] = spec
	}
	if err := p.open(cfg, in, workers, log); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

// open claims the devices before it touches any of them.
func (p *ports) open(cfg *config.Config, in *instance.Instance, workers int, log *slog.Logger) error {
	if p.specs[0] == p.specs[1] {
		return cfg.Err("outside", fmt.Errorf("%s is the inside port already", cfg.Outside))
	}
	var err error
	if p.claims, err = newClaims(in); err != nil {
		return err
	}
	if key, err := p.claims.take(p.specs); err != nil {
		return cfg.Err(key, err)
	}
	if err := p.makeBuffers(cfg, workers, log); err != nil {
		return err
	}
	pc := port.Config{Queues: workers, Caches: p.caches, MTU: cfg.DPDK.MTU, OpenTimeout: openTimeout, Claim: p.claims.claim}
	pair, err := portspec.OpenPair(p.specs, pc)
	if failed := (*portspec.SideError)(nil); errors.As(err, &failed) {
		return cfg.Err(sideKeys[failed.Side], failed.Err)
	} else if err != nil {
		return err
	}
	p.inside, p.outside = pair.Ports[0], pair.Ports[1]
	if pair.Spread != "" {
		log.Info("the workers take turns at the one queue of each port and share out in software what it receives", "workers", workers, "reason", pair.Spread)
	}
	p.claims.warn(p.specs, log)
	return nil
}

// makeBuffers makes one pool for all workers where they share buffers: one of DPDK's where one of the ports is a DPDK device, and one that any
// thread may use where a port has one queue for all of them. Else both ports are packet ports, which the kernel spreads connections over, or
// there is one worker: each worker has a pool of its own.
func (p *ports) makeBuffers(cfg *config.Config, workers int, log *slog.Logger) error {
	room, err := p.claims.dataRoom(p.specs, cfg.DPDK.MTU)
	if err != nil {
		return err
	}
	newArena := mbuf.NewArena
	if cfg.Memory.HugePages {
		newArena = mbuf.NewReservedArena
	}
	switch {
	case p.specs[0].Kind == portspec.DPDK || p.specs[1].Kind == portspec.DPDK:
		pool, err := dpdkPool(cfg, p.specs, workers, room, p.claims.net.RxQueues, log)
		if err != nil {
			return err
		}
		p.share(pool, workers)
	case workers > 1 && (p.specs[0].AFXDP() || p.specs[1].AFXDP()):
		arena, err := newArena(workers*(gateway.Buffers(cfg, room)+spreadPerWorker), room)
		if err != nil {
			return cfg.Err("buffers.memory", err)
		}
		p.share(mbuf.NewShared(arena), workers)
	default:
		for range workers {
			arena, err := newArena(gateway.Buffers(cfg, room), room)
			if err != nil {
				return cfg.Err("buffers.memory", err)
			}
			p.caches = append(p.caches, mbuf.NewCache(arena))
		}
	}
	return nil
}

// spreadPerWorker is how many buffers may lie in the rings of both ports between workers, beside those that the configuration counts.
const spreadPerWorker = 2 * (spread.DefaultRx + spread.DefaultTx)

// share makes a cache over pool for each worker.
func (p *ports) share(pool mbuf.Pool, workers int) {
	for range workers {
		p.caches = append(p.caches, mbuf.NewShare(pool, workers))
	}
}

func (p *ports) close() {
	for _, open := range []port.Port{p.inside, p.outside} {
		if open != nil {
			_ = open.Close()
		}
	}
	if p.claims != nil {
		p.claims.release()
	}
}

// hint returns the command that turns offloads off at the senders of what a port receives.
func (p *ports) hint(side flowtable.Side) string {
	if name := p.specs[side].Interface(); name != "" {
		return p.claims.net.OffloadHint(name)
	}
	return ""
}
