package pktgen

import (
	"errors"

	"linecrypt/bench/pktgen/ends"
	"linecrypt/bench/pktgen/scenario"
	"linecrypt/bench/pktgen/wire"
	"linecrypt/dataplane/gateway"
	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/port"
	"linecrypt/dataplane/port/memory"
	"linecrypt/dataplane/port/spread"
)

// pair is a port of what is measured with the one of the generator at its other end.
type pair struct {
	gateway, generator port.Port
}

var sideNames = [2]string{"inside", "outside"}

// turns makes a driver in which what is measured and the ends take turns.
func (p *plan) turns() (d driver, err error) {
	t := &turns{sc: p.sc, set: p.set, clock: gateway.Monotonic()}
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
	pool := p.shared(arena)
	caches, cache := p.workerCaches(pool), mbuf.NewCache(pool)
	nic, sum := p.sc.Ports.Checksum == scenario.ByPort, ends.Software
	if nic {
		sum = ends.Trusted
	}
	t.set.checksum = string(p.sc.Ports.Checksum)
	var ports [2]port.Port
	for s, name := range sideNames {
		var all wire.Turns
		var clocked []wire.Clocked
		for range p.queues() {
			w := wire.NewTurn(name, queueSlots, nic, cache)
			all, clocked = append(all, w), append(clocked, w)
		}
		t.wires[s] = p.clocks(clocked)
		t.done = append(t.done, t.wires[s].Close)
		if ports[s] = all; p.spreads() {
			if ports[s], err = p.spread(all[0], mbuf.NewShare(pool, p.workers()), caches); err != nil {
				return err
			}
			t.done = append(t.done, ports[s].Close)
		}
	}
	return p.completeTurns(t, ports, caches, ends.Port{Cache: cache, Checksum: sum})
}

func (p *plan) turnsOverRings(t *turns) error {
	pool, err := p.startEAL(false)
	if err != nil {
		return err
	}
	caches, cache := p.workerCaches(pool), mbuf.NewCache(pool)
	pairs, undo, err := p.openRings(pool, caches)
	if err != nil {
		return err
	}
	t.done = append(t.done, func() error { flush(append(caches, cache)); return nil }, undo)
	var ports [2]port.Port
	for s := range pairs {
		var clocked []wire.Clocked
		for q := range p.queues() {
			clocked = append(clocked, wire.NewPaced(pairs[s].generator.Queue(q), cache))
		}
		ports[s] = pairs[s].gateway
		t.wires[s] = p.clocks(clocked)
		t.done = append(t.done, t.wires[s].Close)
	}
	t.set.checksum = checksumOf(ports[inside])
	return p.completeTurns(t, ports, caches, ends.Port{Cache: cache})
}

// clocks makes one wire of those of a port's queues.
func (p *plan) clocks(all []wire.Clocked) wire.Clocked {
	if len(all) == 1 {
		return all[0]
	}
	return wire.NewClocks(all, p.hash, ends.MaxOffer)
}

// completeTurns makes ends and subject over ports, which the workers poll, and wires. Far is what the ends' ports have in common.
func (p *plan) completeTurns(t *turns, ports [2]port.Port, caches []*mbuf.Cache, far ends.Port) (err error) {
	var ways [2]ends.Port
	for s := range ports {
		ways[s] = far
		ways[s].Wire = t.wires[s]
		if shared, ok := ports[s].(*spread.Port); ok {
			t.spread = append(t.spread, shared)
		}
	}
	if t.ends, err = p.newEnds(ways); err != nil {
		return err
	}
	if t.sub, err = p.newSubject(ports, caches, true); err != nil {
		return err
	}
	t.done = append(t.done, t.sub.close)
	if i, ok := t.sub.(*instance); ok && p.workers() > 1 {
		i.together(p.set.cores, t.clock, t.delivered, t.spreadLost)
	}
	return nil
}

// checksumOf says who computes the TCP checksums of what a port sends.
func checksumOf(p port.Port) string {
	if p.Caps().TxTCPCksum {
		return string(scenario.ByPort)
	}
	return string(scenario.ByGateway)
}

// beside makes a driver in which what is measured runs on cores of its own.
func (p *plan) beside() (d driver, err error) {
	r := &realTime{sc: p.sc, set: p.set}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.close())
		}
	}()
	var pairs [2]pair
	var caches []*mbuf.Cache
	var cache *mbuf.Cache // the generator's
	if p.kind == scenario.PortsRings {
		pairs, caches, cache, err = p.ringPairs(r)
	} else {
		pairs, caches, cache, err = p.memoryPairs(r)
	}
	if err != nil {
		return nil, err
	}
	r.set.checksum = checksumOf(pairs[inside].gateway)
	var far [2]ends.Port
	var ports [2]port.Port
	for s := range far {
		ports[s] = pairs[s].gateway
		far[s] = ends.Port{Wire: p.wireOf(r, pairs[s].generator, cache), Cache: cache, Checksum: ends.Software}
	}
	r.ports = ports[:]
	if r.ends, err = p.newEnds(far); err != nil {
		return nil, err
	}
	if r.sub, err = p.newSubject(ports, caches, false); err != nil {
		return nil, err
	}
	r.done = append(r.done, r.sub.close)
	r.start()
	return r, nil
}

// wireOf returns a wire over all queues of a port of the generator's.
func (p *plan) wireOf(r *realTime, far port.Port, cache *mbuf.Cache) ends.Wire {
	if far.Queues() == 1 {
		return r.wireOf(far, 0)
	}
	var all []*wire.Queue
	for q := range far.Queues() {
		all = append(all, r.wireOf(far, q))
	}
	f := wire.NewFan(all, p.hash, ends.MaxOffer)
	r.done = append(r.done, func() error { f.Free(cache); return nil })
	return f
}

// ringPairs joins gateway and generator by DPDK's rings.
func (p *plan) ringPairs(r *realTime) (pairs [2]pair, caches []*mbuf.Cache, cache *mbuf.Cache, err error) {
	pool, err := p.startEAL(false)
	if err != nil {
		return pairs, nil, nil, err
	}
	caches, cache = p.workerCaches(pool), mbuf.NewCache(pool)
	var undo func() error
	if pairs, undo, err = p.openRings(pool, caches); err != nil {
		return pairs, nil, nil, err
	}
	r.done = append(r.done, func() error { flush(append(caches, cache)); return nil }, undo)
	return pairs, caches, cache, nil
}

// memoryPairs joins gateway and generator by ports in memory that copy packets, because several threads use them.
func (p *plan) memoryPairs(r *realTime) (pairs [2]pair, caches []*mbuf.Cache, cache *mbuf.Cache, err error) {
	var arenas [2]*mbuf.Arena
	for i, n := range []int{gatewayBuffers(p.sc), generatorBuffers} {
		if arenas[i], err = mbuf.NewArena(n, mbuf.DefaultDataRoom); err != nil {
			return pairs, nil, nil, err
		}
		r.done = append(r.done, arenas[i].Close)
	}
	pool := p.shared(arenas[0])
	caches, cache = p.workerCaches(pool), mbuf.NewCache(arenas[1])
	near, far := caches, make([]*mbuf.Cache, p.queues())
	for q := range far {
		far[q] = cache
	}
	for s, name := range sideNames {
		if p.spreads() {
			near = []*mbuf.Cache{mbuf.NewShare(pool, p.workers())}
		}
		a, b, err := memory.NewPair(name, "generator-"+name, memory.Options{RingFrames: queueSlots}, near, far)
		if err != nil {
			return pairs, nil, nil, err
		}
		r.done = append(r.done, b.Close)
		pairs[s] = pair{gateway: a, generator: b}
		if pairs[s].gateway, err = p.spread(a, near[0], caches); err != nil {
			return pairs, nil, nil, errors.Join(err, a.Close())
		}
		r.done = append(r.done, pairs[s].gateway.Close)
	}
	return pairs, caches, cache, nil
}
