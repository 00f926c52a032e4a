package pktgen

import (
	"fmt"
	"os"
	"slices"
	"time"

	"linecrypt/bench/cores"
	"linecrypt/bench/pktgen/ends"
	"linecrypt/bench/pktgen/scenario"
	"linecrypt/cryptobatch"
	"linecrypt/ctrlplane/config"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/port"
	"linecrypt/dataplane/port/portspec"
	"linecrypt/dataplane/port/spread"
)

// plan is how a scenario is run on this machine.
type plan struct {
	sc      *scenario.Scenario
	cfg     *config.Config // of the gateway, nil for one elsewhere
	engine  cryptobatch.Engine
	kind    scenario.PortKind // not auto
	master  *tcpcrypt.MasterKey
	hash    *spread.Hash // which worker has which connection
	pool    mbuf.Pool    // DPDK's, once EAL runs
	suffix  string       // of its rings' names, where other plans have some at the same time
	against bool         // an io forwarder is measured, not a gateway
	set     setting
	tap     func(ends.Wire) ends.Wire // between the gateway and the ends, for tests of the checks; nil for none
}

// driver makes what drives the scenario. What the machine cannot run was refused by newPlan, or is here, before anything is measured.
func (p *plan) driver() (driver, error) {
	switch {
	case p.kind == scenario.PortsDevice:
		return p.overDevices()
	case p.set.mode == string(scenario.ModeBeside):
		return p.beside()
	}
	return p.turns()
}

// newPlan settles how a scenario is run. It refuses one that this machine cannot run, with what to change, before anything is started.
func newPlan(sc *scenario.Scenario) (*plan, error) {
	p := &plan{sc: sc, kind: sc.Ports.Kind, master: masterOf(sc)}
	var err error
	if p.hash, err = spread.NewHash(); err != nil {
		return nil, err
	}
	if p.engine, err = cryptobatch.New(cryptobatch.Select("", os.Getenv(cryptobatch.EnvEngine))); err != nil {
		return nil, fmt.Errorf("environment variable %s: %w", cryptobatch.EnvEngine, err)
	}
	p.set.engine = p.engine.Name()
	if err := p.takeCores(); err != nil {
		return nil, err
	}
	if p.kind != scenario.PortsDevice {
		if p.cfg, err = gatewayConfig(sc); err != nil {
			return nil, err
		}
	}
	n, err := p.need()
	if err == nil {
		err = n.check(sc)
	}
	if err != nil {
		return nil, err
	}
	if err := p.takePorts(); err != nil {
		return nil, err
	}
	p.set.ports = string(p.kind)
	return p, nil
}

// takeCores chooses mode and cores.
func (p *plan) takeCores() error {
	allowed, err := cores.Allowed()
	if err != nil {
		return err
	}
	slices.Reverse(allowed)
	need, workers := p.workers(), min(p.workers(), len(allowed))
	p.set.cores, p.set.genCore = allowed[:workers], allowed[0]
	switch {
	case p.kind == scenario.PortsDevice:
		p.set.mode, p.set.cores = "device", nil
		return nil
	case p.sc.Cores.Mode == scenario.ModeBeside:
		p.set.mode = string(scenario.ModeBeside)
		need++
	default:
		p.set.mode = string(scenario.ModeTurns)
	}
	if need > len(allowed) {
		return p.fewCores(need, len(allowed))
	}
	if p.set.mode == string(scenario.ModeBeside) {
		p.set.genCore = allowed[workers]
	}
	return nil
}

// fewCores is the error about a run that takes more cores than there are.
func (p *plan) fewCores(need, have int) error {
	if p.workers() == 1 {
		return p.sc.Err("cores.mode", fmt.Errorf("beside takes two cores, and this process may use %d: say turns, or allow it more (taskset)", have))
	}
	if p.set.mode == string(scenario.ModeTurns) {
		return p.sc.Err("cores.workers", fmt.Errorf("%d workers take as many cores, and this process may use %d: take fewer workers, or allow it more (taskset)", p.workers(), have))
	}
	return p.sc.Err("cores.workers", fmt.Errorf("%d workers and the generator beside them take %d cores, and this process may use %d: take fewer workers, say cores.mode turns, or allow it more (taskset)",
		p.workers(), need, have))
}

// takePorts settles the kind of ports.
func (p *plan) takePorts() error {
	switch p.kind {
	case scenario.PortsAuto:
		p.kind = scenario.PortsMemory
		if !portspec.HasDPDK {
			return nil
		}
		if why := hugePagesFor(p.poolMB()); why != nil {
			p.set.note = fmt.Sprintf("ports in memory, not rings of DPDK: %v", why)
			return nil
		}
		p.kind = scenario.PortsRings
	case scenario.PortsRings:
		if !portspec.HasDPDK {
			return p.sc.Err("ports.kind", fmt.Errorf("rings: %w; or say memory", portspec.ErrNoDPDK))
		}
		if why := hugePagesFor(p.poolMB()); why != nil {
			return p.sc.Err("ports.kind", fmt.Errorf("rings: %w; or say memory", why))
		}
	}
	return nil
}

func (p *plan) newEnds(ports [2]ends.Port) (*ends.Ends, error) {
	for s := range ports {
		if p.tap != nil {
			ports[s].Wire = p.tap(ports[s].Wire)
		}
	}
	from := uint64(seed)
	if p.kind == scenario.PortsDevice {
		from = uint64(time.Now().UnixNano()) // the gateway may know the connections of an earlier run yet
	}
	return ends.New(ends.Config{Scenario: p.sc, Engine: p.engine, Shared: p.master, Seed: from, Ports: ports})
}

// newSubject makes what is measured over two ports. Polled says that the caller polls it.
func (p *plan) newSubject(ports [2]port.Port, caches []*mbuf.Cache, polled bool) (subject, error) {
	on := p.set.cores
	if polled {
		on = slices.Repeat([]int{-1}, len(caches))
	}
	if p.against {
		return &forwarder{queues: [2]port.Queue{ports[inside].Queue(0), ports[outside].Queue(0)}, cache: caches[0], core: on[0]}, nil
	}
	i, err := newInstance(p.sc, p.cfg, ports[inside], ports[outside], caches, on, p.engine, p.master)
	if err != nil {
		return nil, err
	}
	return i, nil
}

// seed makes runs of a scenario in one process alike.
const seed = 8548

// queueSlots is how many packets a receive queue of the gateway holds, as those of NICs do.
const queueSlots = 1024
