package pktgen

import (
	"errors"

	"linecrypt/bench/pktgen/ends"
	"linecrypt/bench/pktgen/scenario"
	"linecrypt/bench/pktgen/wire"
	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/port"
	"linecrypt/dataplane/port/memory"
)

// pair is a port of the gateway with the one of the generator at its other end.
type pair struct {
	gateway, generator port.Port
}

// turns makes a driver in which worker and ends take turns.
func (p *plan) turns() (d driver, err error) {
	t := &turns{sc: p.sc, set: p.set}
	defer func() {
		if err != nil {
			_ = t.close()
		}
	}()
	if p.kind == scenario.PortsRings {
		err = p.turnsOverRings(t)
	} else {
		err = p.turnsInMemory(t)
	}
	if err != nil {
		return nil, err
	}
	t.start()
	return t, nil
}

func (p *plan) turnsInMemory(t *turns) error {
	arena, err := mbuf.NewArena(gatewayBuffers(p.sc)+generatorBuffers, mbuf.DefaultDataRoom)
	if err != nil {
		return err
	}
	t.done = append(t.done, arena.Close)
	cache := mbuf.NewCache(arena)
	nic, sum := p.sc.Ports.Checksum == scenario.ByPort, ends.Software
	if nic {
		sum = ends.Trusted
	}
	t.set.checksum = string(p.sc.Ports.Checksum)
	in, out := wire.NewTurn("inside", queueSlots, nic, cache), wire.NewTurn("outside", queueSlots, nic, cache)
	t.wires = [2]turnWire{in, out}
	if t.ends, err = p.newEnds([2]ends.Port{{Wire: in, Cache: cache, Checksum: sum}, {Wire: out, Cache: cache, Checksum: sum}}); err != nil {
		return err
	}
	if t.inst, err = p.newInstance(in, out, cache, -1); err != nil {
		return err
	}
	t.done = append(t.done, t.inst.close, in.Close, out.Close)
	return nil
}

func (p *plan) turnsOverRings(t *turns) error {
	pool, err := p.startEAL(false)
	if err != nil {
		return err
	}
	pairs, undo, err := openRings(pool)
	if err != nil {
		return err
	}
	t.done = append(t.done, undo)
	cache := mbuf.NewCache(pool)
	in, out := wire.NewPaced(pairs[inside].generator.Queue(0), cache), wire.NewPaced(pairs[outside].generator.Queue(0), cache)
	t.wires = [2]turnWire{in, out}
	t.set.checksum = checksumOf(pairs[inside].gateway)
	if t.ends, err = p.newEnds([2]ends.Port{{Wire: in, Cache: cache}, {Wire: out, Cache: cache}}); err != nil {
		return err
	}
	if t.inst, err = p.newInstance(pairs[inside].gateway, pairs[outside].gateway, mbuf.NewCache(pool), -1); err != nil {
		return err
	}
	t.done = append(t.done, t.inst.close, in.Close, out.Close)
	return nil
}

// checksumOf says who computes the TCP checksums of what a port sends.
func checksumOf(p port.Port) string {
	if p.Caps().TxTCPCksum {
		return string(scenario.ByPort)
	}
	return string(scenario.ByGateway)
}

// beside makes a driver in which the worker runs on a core of its own.
func (p *plan) beside() (d driver, err error) {
	r := &realTime{sc: p.sc, set: p.set}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.close())
		}
	}()
	var pairs [2]pair
	caches := [2]*mbuf.Cache{} // the gateway's and the generator's
	if p.kind == scenario.PortsRings {
		pool, err := p.startEAL(false)
		if err != nil {
			return nil, err
		}
		var undo func() error
		if pairs, undo, err = openRings(pool); err != nil {
			return nil, err
		}
		r.done = append(r.done, undo)
		caches = [2]*mbuf.Cache{mbuf.NewCache(pool), mbuf.NewCache(pool)}
	} else if pairs, caches, err = p.memoryPairs(r); err != nil {
		return nil, err
	}
	r.set.checksum = checksumOf(pairs[inside].gateway)
	r.ports = []port.Port{pairs[inside].gateway, pairs[outside].gateway}
	var far [2]ends.Port
	for s := range far {
		far[s] = ends.Port{Wire: r.wireOf(pairs[s].generator), Cache: caches[1], Checksum: ends.Software}
	}
	if r.ends, err = p.newEnds(far); err != nil {
		return nil, err
	}
	if r.inst, err = p.newInstance(pairs[inside].gateway, pairs[outside].gateway, caches[0], p.set.core); err != nil {
		return nil, err
	}
	r.done = append(r.done, r.inst.close)
	r.start()
	return r, nil
}

// memoryPairs joins gateway and generator by ports in memory that copy packets, because two threads use them.
func (p *plan) memoryPairs(r *realTime) (pairs [2]pair, caches [2]*mbuf.Cache, err error) {
	for i, n := range []int{gatewayBuffers(p.sc), generatorBuffers} {
		arena, err := mbuf.NewArena(n, mbuf.DefaultDataRoom)
		if err != nil {
			return pairs, caches, err
		}
		r.done = append(r.done, arena.Close)
		caches[i] = mbuf.NewCache(arena)
	}
	for s, name := range []string{"inside", "outside"} {
		a, b, err := memory.NewPair(name, "generator-"+name, memory.Options{RingFrames: queueSlots}, caches[:1], caches[1:])
		if err != nil {
			return pairs, caches, err
		}
		pairs[s] = pair{gateway: a, generator: b}
		r.done = append(r.done, a.Close, b.Close)
	}
	return pairs, caches, nil
}
