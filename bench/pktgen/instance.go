package pktgen

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"linecrypt/bench/pktgen/scenario"
	"linecrypt/cryptobatch"
	"linecrypt/ctrlplane/config"
	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/dataplane/gateway"
	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/port"
	"linecrypt/dataplane/worker"
	"linecrypt/flowtable"
)

// instance is a gateway in this process, with its control plane.
type instance struct {
	dir     string
	data    *gateway.Gateway
	control *control
	blocks  []*shm.Block // the workers' counters
	crew    *crew        // of several workers that the caller polls; nil for one
	beaten  int64
}

// gatewayConfig is the configuration of the gateway for a scenario.
func gatewayConfig(sc *scenario.Scenario) (*config.Config, error) {
	c := config.Default()
	for _, kv := range [][2]string{
		{"name", "bench-" + strconv.Itoa(os.Getpid())},
		{"workers.count", strconv.Itoa(sc.Cores.Workers)},
		{"flows.max", strconv.Itoa(tableFlows(sc))},
		{"buffers.memory", strconv.Itoa(workerBuffers(sc) * mbuf.BufferSize(mbuf.DefaultDataRoom))},
		{"rekey.frames", strconv.Itoa(sc.Rekey.Gateway)},
	} {
		if err := c.Set("bench", kv[0], kv[1]); err != nil {
			return nil, err
		}
	}
	if sc.Rekey.Gateway == 0 {
		c.Rekey.Bytes, c.Rekey.Time = 0, 0
	}
	return c, c.Validate()
}

// lingering is for how long, in seconds, a connection that is over has a record yet, with some to spare.
const lingering = 20

// tableFlows is how many connections the table of a worker must hold.
func tableFlows(sc *scenario.Scenario) int {
	n := shareOf(sc, sc.Traffic.Flows+lingering*sc.Disturb.Churn)
	return min(n+n/16+1024, 1<<22)
}

// shareOf is how much of n one worker may get: of several, which a hash gives their shares, somewhat more than the mean.
func shareOf(sc *scenario.Scenario, n int) int {
	if w := sc.Cores.Workers; w > 1 {
		return n/w + n/(4*w)
	}
	return n
}

// gatewayBuffers is how many packet buffers the gateway's workers need together.
func gatewayBuffers(sc *scenario.Scenario) int { return sc.Cores.Workers * workerBuffers(sc) }

// mostBuffers is how many packet buffers the gateway lets a worker have.
var mostBuffers = (8 << 30) / mbuf.BufferSize(mbuf.DefaultDataRoom)

// workerBuffers is how many packet buffers a worker needs: what it has by default, and more where many frames may be in flight.
func workerBuffers(sc *scenario.Scenario) int {
	const standard = (64 << 20) / 2304
	pending := max(sc.Traffic.AckEvery-1, 0)
	if sc.Traffic.Run >= sc.Traffic.AckEvery && sc.Traffic.Run%sc.Traffic.AckEvery == 0 {
		pending = 0 // a connection's turn ends with an acknowledgement
	}
	inFlight := sc.Traffic.Flows * pending
	if sc.Disturb.Disturbed() {
		inFlight = sc.Traffic.Flows * min(sc.Traffic.Window, 64)
	}
	return min(max(standard, 2*shareOf(sc, inFlight)+standard/2), mostBuffers)
}

// newInstance makes the gateway over two open ports, with a worker for each of caches, and its control plane. Cores are those of run, -1
// where the caller polls.
func newInstance(sc *scenario.Scenario, cfg *config.Config, in, out port.Port, caches []*mbuf.Cache, cores []int, engine cryptobatch.Engine, shared *tcpcrypt.MasterKey) (i *instance, err error) {
	i = new(instance)
	defer func() {
		if err != nil {
			err = errors.Join(err, i.close())
		}
	}()
	if i.dir, err = os.MkdirTemp(segmentFolder(), "linecrypt-bench-"); err != nil {
		return i, fmt.Errorf("folder for the segment: %w", err)
	}
	i.data, err = gateway.New(gateway.Options{
		Config: cfg, SegmentDir: i.dir, Inside: in, Outside: out, Caches: caches, Cores: cores, Engine: engine,
	})
	if err != nil {
		return i, err
	}
	for w := range caches {
		i.blocks = append(i.blocks, i.data.Segment().Worker(w).Counters)
	}
	if i.control, err = newControl(i.dir, cfg, sc.Traffic.AEAD, shared); err != nil {
		return i, err
	}
	// Both have it mapped, and nobody else comes: so nothing stays behind a run that is killed.
	return i, os.RemoveAll(i.dir)
}

// together makes several workers a crew, which the caller polls with.
func (i *instance) together(on []int, clock func() int64, delivered, lost func() uint64) {
	var ws []*worker.Worker
	for n := range i.blocks {
		ws = append(ws, i.data.Worker(n))
	}
	i.crew = newCrew(ws, i.blocks, on, clock, delivered, lost)
}

func (i *instance) poll(now int64) (work int, stole bool) {
	if i.crew != nil {
		return i.crew.poll()
	}
	return i.data.Worker(0).Poll(now), false
}

func (i *instance) run(ctx context.Context, ready func()) error {
	return i.data.Run(ctx, func() {
		go func() {
			i.awaitRules(ctx)
			ready()
		}()
	})
}

// rulesTime is how long a data plane may take to go by its first rules.
const rulesTime = 5 * time.Second

// awaitRules waits until the data plane goes by the rules that the control plane has published.
func (i *instance) awaitRules(ctx context.Context) {
	seg := i.data.Segment()
	for end := time.Now().Add(rulesTime); seg.RulesTaken() != seg.RulesVersion() && ctx.Err() == nil && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
}

func (i *instance) tend(now int64, alone bool) {
	if alone && now-i.beaten >= beatEvery {
		i.beaten = now
		i.data.Beat()
	}
	i.control.pump(now)
}

func (i *instance) read(s *sample) {
	s.hasBlock, s.cores = true, len(i.blocks)
	for n, b := range i.blocks {
		s.perCore[n] = coreCounts{packets: b[shm.RxInsidePackets] + b[shm.RxOutsidePackets], busy: b[shm.BusyCycles], idle: b[shm.IdleCycles]}
		for c := range s.block {
			s.block[c] += b[c]
		}
	}
	s.control, s.answered = i.control.cycles, i.control.answered
}

func (i *instance) stages() (v stageCycles) {
	for _, b := range i.blocks {
		for n, c := range timed {
			v[n] += b[c]
		}
	}
	return v
}

func (i *instance) close() error {
	if i == nil {
		return nil
	}
	errs := []error{i.control.close()}
	if i.crew != nil {
		i.crew.stop()
		errs = append(errs, i.crew.failed())
	}
	if i.data != nil {
		errs = append(errs, i.data.Close())
	}
	if i.dir != "" {
		errs = append(errs, os.RemoveAll(i.dir))
	}
	return errors.Join(errs...)
}

// masterOf returns the master key that connections share, nil where each agrees on its own.
func masterOf(sc *scenario.Scenario) *tcpcrypt.MasterKey {
	if sc.Agreed() || sc.Ports.Kind == scenario.PortsDevice {
		return nil
	}
	k := new(tcpcrypt.MasterKey)
	_, _ = rand.Read(k[:])
	return k
}

const (
	inside  = flowtable.Inside
	outside = flowtable.Outside
)
