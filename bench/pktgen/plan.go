package pktgen

import (
	"fmt"
	"os"
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
)

// plan is how a scenario is run on this machine.
type plan struct {
	sc     *scenario.Scenario
	cfg    *config.Config // of the gateway, nil for one elsewhere
	engine cryptobatch.Engine
	kind   scenario.PortKind // not auto
	shared *tcpcrypt.MasterKey
	set    setting
	tap    func(ends.Wire) ends.Wire // between the gateway and the ends, for tests of the checks; nil for none
}

// prepare makes the driver of a scenario. It refuses one that this machine cannot run, with what to change, before anything is started.
func prepare(sc *scenario.Scenario) (driver, error) {
	p, err := newPlan(sc)
	if err != nil {
		return nil, err
	}
	return p.driver()
}

func (p *plan) driver() (driver, error) {
	switch {
	case p.kind == scenario.PortsDevice:
		return p.overDevices()
	case p.set.mode == string(scenario.ModeBeside):
		return p.beside()
	}
	return p.turns()
}

func newPlan(sc *scenario.Scenario) (*plan, error) {
	p := &plan{sc: sc, kind: sc.Ports.Kind, shared: masterOf(sc)}
	var err error
	if p.engine, err = cryptobatch.New(cryptobatch.Select("", os.Getenv(cryptobatch.EnvEngine))); err != nil {
		return nil, err
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
	if err := needOf(sc, p.cfg).check(sc); err != nil {
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
	last := allowed[len(allowed)-1]
	p.set.core, p.set.genCore = last, last
	switch {
	case p.kind == scenario.PortsDevice:
		p.set.mode, p.set.core = "device", -1
	case p.sc.Cores.Mode == scenario.ModeBeside:
		if len(allowed) < 2 {
			return p.sc.Err("cores.mode", fmt.Errorf("beside takes two cores, and this process may use %d: say turns, or allow it more (taskset)", len(allowed)))
		}
		p.set.mode, p.set.genCore = string(scenario.ModeBeside), allowed[len(allowed)-2]
	default:
		p.set.mode = string(scenario.ModeTurns)
	}
	return nil
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
	return ends.New(ends.Config{Scenario: p.sc, Engine: p.engine, Shared: p.shared, Seed: from, Ports: ports})
}

func (p *plan) newInstance(in, out port.Port, cache *mbuf.Cache, core int) (*instance, error) {
	return newInstance(p.sc, p.cfg, in, out, cache, core, p.engine, p.shared)
}

// seed makes runs of a scenario in one process alike.
const seed = 8548

// queueSlots is how many packets a receive queue of the gateway holds, as those of NICs do.
const queueSlots = 1024
