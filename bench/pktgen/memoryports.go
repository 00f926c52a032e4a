package pktgen

import (
	"linecrypt/bench/pktgen/ends"
	"linecrypt/bench/pktgen/scenario"
	"linecrypt/bench/pktgen/wire"
	"linecrypt/cryptobatch"
	"linecrypt/ctrlplane/config"
	"linecrypt/dataplane/mbuf"
)

// queueSlots is how many packets a receive queue of the gateway holds, as those of NICs do.
const queueSlots = 1024

// overMemory makes a driver that takes turns over ports in memory.
func overMemory(sc *scenario.Scenario, cfg *config.Config, engine cryptobatch.Engine, core int) (d driver, err error) {
	t := &turns{sc: sc, set: setting{mode: "turns", ports: "memory", checksum: string(sc.Ports.Checksum), core: core, genCore: core, engine: engine.Name()}}
	defer func() {
		if err != nil {
			_ = t.undo()
		}
	}()
	arena, err := mbuf.NewArena(gatewayBuffers(sc)+generatorBuffers, mbuf.DefaultDataRoom)
	if err != nil {
		return nil, err
	}
	t.done = append(t.done, arena.Close)
	cache := mbuf.NewCache(arena)
	nic := sc.Ports.Checksum == scenario.ByPort
	in, out := wire.NewTurn("inside", queueSlots, nic, cache), wire.NewTurn("outside", queueSlots, nic, cache)
	t.wires = [2]turnWire{in, out}
	sum := ends.Software
	if nic {
		sum = ends.Trusted
	}
	shared := masterOf(sc)
	t.ends, err = ends.New(ends.Config{
		Scenario: sc, Engine: engine, Shared: shared, Seed: seed,
		Ports: [2]ends.Port{{Wire: in, Cache: cache, Checksum: sum}, {Wire: out, Cache: cache, Checksum: sum}},
	})
	if err != nil {
		return nil, err
	}
	t.inst, err = newInstance(sc, cfg, in, out, cache, core, engine, shared)
	if err != nil {
		return nil, err
	}
	t.done = append(t.done, t.inst.close, in.Close, out.Close)
	t.start()
	return t, nil
}

// seed makes runs of a scenario alike.
const seed = 8548
